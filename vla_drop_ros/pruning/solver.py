# SPDX-License-Identifier: Apache-2.0
"""Choose what goes: by the scores of a criterion, within the constraints, to a budget."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.pruning.layout import Layout, StackLayout
from vla_drop_ros.pruning.plan import Plan, UNIT_OF_MODE
from vla_drop_ros.pruning.prediction import blocks_gone, predict
from vla_drop_ros.pruning.ranking import CriterionRanking, Ranking, UnitRanking
from vla_drop_ros.types import FloatArray

# Criteria whose scores are changes of the loss, so that those of two stacks may be added up.
IN_LOSS = ('leave-one-out', 'gateprobe', 'taylor', 'fisher')
BUDGETS = ('blocks', 'params', 'flops', 'latency')
_COST_OF = {'params': 'parameters', 'flops': 'flops', 'latency': 'latency'}


@dataclass(frozen=True, slots=True)
class Request:
    """What a plan shall do.

    Attributes:
        criterion: whose scores count.
        drops: stack -> how many of its blocks go; empty with a budget: as many as it takes.
        budget: of ``blocks`` (how many go), ``params``, ``flops`` (share that is left, (0, 1)) and
            ``latency`` [s] -> bound.
        modes: stack -> drop mode; a stack that is not named: the family's default.
        stacks: which stacks a budget may take from; empty: all that are scored.
        protect: stack -> blocks that never go.

    """

    criterion: str
    drops: Mapping[str, int] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    stacks: tuple[str, ...] = ()
    protect: Mapping[str, Collection[int]] = field(default_factory=dict)


def solve(ranking: Ranking, request: Request) -> Plan:
    """Return the plan that loses least by the criterion.

    Raises:
        PlanError: a constraint or the budget cannot be met; says how far it goes.

    """
    layout, scores = ranking.layout, ranking.pick(request.criterion)
    for name in {*request.drops, *request.modes, *request.protect, *request.stacks}:
        layout[name]
    if request.budget:
        plan = _within(ranking, layout, scores, request)
    else:
        plan = Plan()
        for name, number in request.drops.items():
            mode = mode_of(layout, request, name)
            plan = plan.with_blocks(name, mode, pick(
                layout[name], scored(scores, request.criterion, name, mode), number,
                request.protect.get(name, ()), name)[0])
    return _signed(ranking, request, plan)


def _signed(ranking: Ranking, request: Request, plan: Plan) -> Plan:
    """Return the plan with the checkpoint it is for and where it comes from."""
    scores = ranking.pick(request.criterion)
    chosen = {name: {unit: ranked[name].values for unit, ranked in scores.units.items()
                     if name in ranked and unit in ('block', 'tied', 'attention', 'mlp')}
              for name in plan.blocks}
    origin: dict[str, Any] = {
        'criterion': {'name': request.criterion, 'source': scores.source,
                      'higher_means': scores.higher_means,
                      'scores': {name: {unit: np.round(values, 8).tolist()
                                        for unit, values in units.items()}
                                 for name, units in chosen.items()}},
        'calibration': ranking.calibration, 'budget': dict(request.budget)}
    if ranking.costs:
        origin['predicted'] = predict(ranking.costs, ranking.layout, plan)
        origin['before'] = {name: cost['total'] for name, cost in ranking.costs.items() if cost}
    return Plan(plan.blocks, plan.channels, plan.heads, plan.dead,
                str(ranking.checkpoint['sha256']), origin)


def mode_of(layout: Layout, request: Request, name: str) -> str:
    """Return the drop mode for a stack: as asked, or the family's default."""
    valid = layout[name].modes
    mode = request.modes.get(name, valid[0])
    if mode not in valid:
        raise PlanError(f'{name} blocks: {unknown("drop mode", mode, valid)}')
    return mode


@dataclass(frozen=True, slots=True)
class Scored:
    """What picks blocks: importance by block, and the criterion's own way to pick."""

    importance: FloatArray
    ranked: UnitRanking


def scored(scores: CriterionRanking, criterion: str, name: str, mode: str) -> Scored:
    """Return the scores that a drop mode goes by."""
    unit = UNIT_OF_MODE[mode]
    if name not in scores.units.get(unit, {}):
        valid = sorted(f'{stack} ({unit})' for unit, ranked in scores.units.items()
                       for stack in ranked)
        raise PlanError(f'criterion {criterion!r} has no scores for {name} blocks in mode '
                        f'{mode!r}; it scores {", ".join(valid)}')
    return Scored(scores.importance(unit, name), scores.units[unit][name])


def pick(stack: StackLayout, found: Scored, number: int, protect: Collection[int], name: str,
         ) -> tuple[tuple[int, ...], float]:
    """Return the blocks to remove and the importance that goes with them.

    Args:
        stack: facts about the stack.
        found: its scores.
        number: how many go.
        protect: blocks that stay.
        name: of the stack, for errors.

    Raises:
        PlanError: the constraints leave no such choice.

    """
    if not 0 <= number < stack.depth:
        raise PlanError(f'{name} has {stack.depth} blocks; {number} cannot go, at most '
                        f'{stack.depth - 1}')
    if number == 0:
        return (), 0.0
    usable = np.isfinite(found.importance)
    usable[list(protect)] = False
    cost = found.importance
    if found.ranked.rule != 'lowest':
        # The rule's own choice, or the legal one that has most in common with it.
        wanted = _RULES[found.ranked.rule](found, number, usable)
        small = 1e-6 * np.nan_to_num(found.importance - np.nanmin(found.importance))
        cost = np.where(np.isin(np.arange(stack.depth), wanted), 0.0, 1.0) + small
    chosen = _cheapest(stack, cost, number, usable)
    if chosen is None:
        numbers = [k for k in range(stack.depth) if _cheapest(stack, cost, k, usable) is not None]
        raise PlanError(
            f'no {number} {name} blocks can go: the roles {"/".join(stack.roles) or "(none)"} '
            f'must stay in order and {sorted(protect) or "no block"} is protected; valid: '
            f'{numbers}')
    return chosen, float(np.nan_to_num(found.importance[list(chosen)]).sum())


def _cheapest(stack: StackLayout, cost: FloatArray, number: int, usable: Any,
              ) -> tuple[int, ...] | None:
    """Return the ``number`` blocks of least cost whose removal leaves the roles in order.

    Dynamic programming over blocks and how many were kept: exact, L^2 steps.
    """
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for index in range(stack.depth):
        following: dict[int, tuple[float, tuple[int, ...]]] = {}
        for kept, (total, gone) in best.items():
            options = []
            if not stack.roles or stack.roles[index] == stack.roles[kept]:
                options.append((kept + 1, total, gone))
            if usable[index] and len(gone) < number:
                options.append((kept, total + float(cost[index]), (*gone, index)))
            for key, value, removed in options:
                if key not in following or value < following[key][0]:
                    following[key] = (value, removed)
        best = following
    found = best.get(stack.depth - number)
    return None if found is None else found[1]


def _contiguous(found: Scored, number: int, usable: Any) -> list[int]:
    """Return the run of blocks that turns the hidden states least."""
    runs = found.ranked.extra['runs'][number - 1]
    starts = [start for start in range(len(runs)) if usable[start:start + number].all()]
    if not starts:
        return []
    best = min(starts, key=lambda start: runs[start])
    return list(range(best, best + number))


def _twins(found: Scored, number: int, usable: Any) -> list[int]:
    """Return Algorithm 1 of arXiv 2606.20246: of the clusters of twins all but the first.

    tau falls until the pool holds enough; then the most similar of the pool go.
    """
    similarity = -found.importance
    for tau in sorted(similarity[np.isfinite(similarity)], reverse=True):
        twin = similarity >= tau
        # The first of a cluster is the block before the first that resembles its input.
        pool = [index for index in range(1, len(twin)) if twin[index] and usable[index]]
        if len(pool) >= number:
            return sorted(pool, key=lambda index: -similarity[index])[:number]
    return []


def _uniform(found: Scored, number: int, usable: Any) -> list[int]:
    """Return what is between evenly spread blocks, of which the first is block 0."""
    depth = len(found.importance)
    kept = np.floor(np.arange(depth - number) * depth / (depth - number)).astype(int)
    return [index for index in range(depth) if index not in kept and usable[index]]


_RULES: dict[str, Callable[[Scored, int, Any], list[int]]] = {
    'contiguous': _contiguous, 'twins': _twins, 'uniform': _uniform}


def _within(ranking: Ranking, layout: Layout, scores: CriterionRanking, request: Request) -> Plan:
    """Return the plan that loses least among all that meet the budget."""
    check_budget(ranking, request.budget)
    names = request.stacks or tuple(
        name for name in layout.stacks
        if name in scores.units.get(UNIT_OF_MODE[mode_of(layout, request, name)], {}))
    options = {name: list(_options(layout, scores, request, name)) for name in names}
    best: tuple[float, Plan] | None = None
    nearest: dict[str, float] = {}
    for combination in product(*options.values()):
        plan, lost = Plan(), 0.0
        for name, (mode, indices, importance) in zip(options, combination, strict=True):
            if indices:
                plan = plan.with_blocks(name, mode, indices)
            lost += importance
        if not _legal(layout, plan):
            continue
        over = _over(ranking, request.budget, plan)
        if any(value > 0 for value in over.values()):
            for key, value in over.items():
                nearest[key] = min(value, nearest.get(key, np.inf))
            continue
        if best is None or lost < best[0]:
            best = (lost, plan)
    if best is None:
        raise PlanError(f'no plan meets the budget {dict(request.budget)}: the nearest is over by '
                        f'{ {key: float(f"{value:.3g}") for key, value in nearest.items()} }; '
                        'allow more stacks or other modes, or a larger budget')
    return best[1]


def _options(layout: Layout, scores: CriterionRanking, request: Request, name: str,
             ) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Yield mode, blocks and lost importance for every number of blocks that may go."""
    mode = mode_of(layout, request, name)
    found = scored(scores, request.criterion, name, mode)
    curve = found.ranked.extra.get('loss')
    scale = 1.0 if request.criterion in IN_LOSS or curve else max(
        float(np.abs(np.nan_to_num(found.importance)).sum()), 1e-12)
    numbers = [request.drops[name]] if name in request.drops else range(layout[name].depth)
    for number in numbers:
        try:
            indices, lost = pick(layout[name], found, number, request.protect.get(name, ()), name)
        except PlanError:
            if name in request.drops:
                raise
            continue
        if curve and number <= len(curve):
            lost = float(curve[number - 1]) if number else 0.0
        yield mode, indices, lost / scale


def _legal(layout: Layout, plan: Plan) -> bool:
    """Return whether every stack keeps a block, ties included."""
    for name, stack in layout.stacks.items():
        gone, modes = blocks_gone(layout, plan, name), plan.blocks.get(name, {})
        if len(gone) + len(modes.get('keep-kv', ())) >= stack.depth:
            return False
        if sum(len(found) for found in modes.values()) != len(
                {index for found in modes.values() for index in found}):
            return False
    return True


def check_budget(ranking: Ranking, budget: Mapping[str, float]) -> None:
    """Refuse a bound that is no bound, or one whose costs were not measured."""
    for name, bound in budget.items():
        if name not in BUDGETS:
            raise PlanError(unknown('budget', name, BUDGETS))
        if name in ('params', 'flops') and not 0 < bound < 1:
            raise PlanError(f'budget {name}: {bound} must be a share between 0 and 1, such as 70%')
        if bound <= 0:
            raise PlanError(f'budget {name}: {bound} must be > 0')
        if name != 'blocks' and not (ranking.costs or {}).get(_COST_OF[name]):
            raise PlanError(f'the ranking has no costs for the budget {name!r}; rank again '
                            'without --no-latency')


def _over(ranking: Ranking, budget: Mapping[str, float], plan: Plan) -> dict[str, float]:
    """Return by how much a plan exceeds each bound; positive is too much."""
    over, costs = {}, ranking.costs or {}
    left = predict(costs, ranking.layout, plan) if costs else {}
    for name, bound in budget.items():
        if name == 'blocks':
            gone = sum(len(found) for modes in plan.blocks.values() for found in modes.values())
            over[name] = abs(gone - bound)
        else:
            cost = _COST_OF[name]
            scale = 1.0 if name == 'latency' else float(costs[cost]['total'])
            over[name] = left[cost] / scale - bound
    return over
