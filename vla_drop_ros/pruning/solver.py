# SPDX-License-Identifier: Apache-2.0
"""Choose what goes: by the scores of a criterion, within the constraints, to a budget."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.picking import pick, pick_pairs, Scored, scored
from vla_drop_ros.pruning.plan import Plan, Unit, UNIT_OF_MODE, WIDTH_UNITS
from vla_drop_ros.pruning.prediction import blocks_gone, blocks_twice, predict
from vla_drop_ros.pruning.ranking import CriterionRanking, Ranking
from vla_drop_ros.pruning.widths import Direction, NAMES, narrow

# Criteria whose scores are changes of the loss, so that those of two stacks may be added up.
IN_LOSS = ('leave-one-out', 'gateprobe', 'taylor', 'fisher')
BUDGETS = ('blocks', 'params', 'flops', 'latency')
_ROUNDING = 1e-9
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
        channels, heads: stack -> share that goes, in (0, 1).
        direction: which of those go first; None: what the ranking's probes found, else ``low``.
        even: as many from every block.

    """

    criterion: str
    drops: Mapping[str, int] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    stacks: tuple[str, ...] = ()
    protect: Mapping[str, Collection[int]] = field(default_factory=dict)
    channels: Mapping[str, float] = field(default_factory=dict)
    heads: Mapping[str, float] = field(default_factory=dict)
    direction: Direction | None = None
    even: bool = False


def solve(ranking: Ranking, request: Request) -> Plan:
    """Return the plan that loses least by the criterion.

    Raises:
        PlanError: a constraint or the budget cannot be met; says how far it goes.

    """
    layout, scores = ranking.layout, ranking.pick(request.criterion)
    for name in (*request.drops, *request.modes, *request.protect, *request.stacks):
        layout[name]
    for name, blocks in request.protect.items():
        outside = [index for index in blocks if not 0 <= index < layout[name].depth]
        if outside:
            raise PlanError(f'{name} block {outside} cannot be protected; valid: 0 to '
                            f'{layout[name].depth - 1}')
    if request.budget:
        plan = _within(ranking, layout, scores, request)
    else:
        plan = Plan()
        for name, number in request.drops.items():
            mode = mode_of(layout, request, name)
            plan = plan.with_blocks(name, mode, pick(
                layout[name], scored(scores, request.criterion, name, mode), number,
                request.protect.get(name, ()), name)[0])
    for unit in WIDTH_UNITS:
        shares = request.channels if unit == 'channel' else request.heads
        for name, ratio in shares.items():
            plan = _narrowed(layout, scores, request, plan, unit, name, ratio)
    return _signed(ranking, request, plan)


def _narrowed(layout: Layout, scores: CriterionRanking, request: Request, plan: Plan, unit: Unit,
              name: str, ratio: float) -> Plan:
    """Return the plan with a share of a stack's channels or heads gone too."""
    units = scores.units.get(unit, {})
    if name not in units:
        raise PlanError(f'criterion {request.criterion!r} has no scores for the {NAMES[unit]} of '
                        f'{name}; it has them for {sorted(units) or "none"}')
    direction = request.direction or units[name].extra.get('direction', 'low')
    widths = narrow(layout, unit, {one: scores.width_importance(unit, one) for one in units},
                    name, ratio, direction, even=request.even)
    # What a block loses that goes altogether needs no mention.
    left = {stack: {index: found for index, found in blocks.items()
                    if index not in blocks_gone(layout, plan, stack)}
            for stack, blocks in widths.items()}
    return plan.with_widths(unit, left)


def solve_widths(ranking: Ranking, request: Request) -> Plan:
    """Return the channels and heads that lose least by the ranking's probes and meet the budget.

    The joint scheme of adaptation divergence (arXiv 2606.31382) for any criterion: each module
    gives no share or one that was probed, in the direction that it bears better, and the losses
    that the probes added are added up.

    Raises:
        PlanError: no probes, or the budget cannot be met.

    """
    check_budget(ranking, request.budget)
    if not request.budget:
        raise PlanError('--width needs a budget, such as --budget params=85%')
    layout, scores = ranking.layout, ranking.pick(request.criterion)
    options: list[list[tuple[float, Plan]]] = []
    for unit in WIDTH_UNITS:
        joint = False
        for name, ranked in scores.units.get(unit, {}).items():
            if (request.stacks and name not in request.stacks) or (
                    unit == 'head' and name in layout.same_heads and joint):
                continue
            joint = joint or name in layout.same_heads
            direction = request.direction or ranked.extra.get('direction', 'low')
            rows = ranked.extra.get('probe', {}).get(direction, ())
            options.append([(0.0, Plan()), *(
                (max(0.0, row[1]), _narrowed(layout, scores, request, Plan(), unit, name, row[0]))
                for row in rows)])
    if not any(len(rows) > 1 for rows in options):
        raise PlanError(f'the ranking has no probes of {request.criterion!r}; rank again without '
                        '--no-probes, by a criterion that scores channels or heads')
    best = _cheapest_widths(ranking, request, options)
    return _signed(ranking, request, best)


def _cheapest_widths(ranking: Ranking, request: Request,
                     options: list[list[tuple[float, Plan]]]) -> Plan:
    best: tuple[float, Plan] | None = None
    nearest = np.inf
    for combination in product(*options):
        lost = sum(one[0] for one in combination)
        if best is not None and lost >= best[0]:
            continue
        plan = Plan(channels={k: v for one in combination for k, v in one[1].channels.items()},
                    heads={k: v for one in combination for k, v in one[1].heads.items()})
        over = max(_over(ranking, request.budget, plan).values())
        if over <= _ROUNDING:
            best = (lost, plan)
        nearest = min(nearest, over)
    if best is None:
        raise PlanError(f'no probed shares meet the budget {dict(request.budget)}: the nearest is '
                        f'over by {nearest:.3g}; take blocks too, or a larger budget')
    return best[1]


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


def _within(ranking: Ranking, layout: Layout, scores: CriterionRanking, request: Request) -> Plan:
    """Return the plan that loses least among all that meet the budget."""
    check_budget(ranking, request.budget)
    names = request.stacks or tuple(
        name for name in layout.stacks
        if name in scores.units.get(UNIT_OF_MODE[mode_of(layout, request, name)], {}))
    best: tuple[float, Plan] | None = None
    nearest: dict[str, float] = {}
    for combination in product(*_groups(layout, scores, request, names)):
        plan, lost = Plan(), sum(option.lost for option in combination)
        if best is not None and lost >= best[0]:
            continue
        for option in combination:
            for name, mode, indices in option.blocks:
                if indices:
                    plan = plan.with_blocks(name, mode, indices)
        if not _legal(layout, plan):
            continue
        over = _over(ranking, request.budget, plan)
        if all(value <= _ROUNDING for value in over.values()):
            best = (lost, plan)
        for key, value in over.items():
            nearest[key] = min(value, nearest.get(key, np.inf))
    if best is None:
        raise PlanError(f'no plan meets the budget {dict(request.budget)}: the nearest is over by '
                        f'{ {key: float(f"{value:.3g}") for key, value in nearest.items()} }; '
                        'allow more stacks or other modes, or a larger budget')
    return best[1]


class Option(NamedTuple):
    """Some blocks of a stack, or of two that share ties, and the importance that goes."""

    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]
    lost: float


def _groups(layout: Layout, scores: CriterionRanking, request: Request, names: Sequence[str],
            ) -> list[list[Option]]:
    """Return what can be chosen independently: by stack, or by two whose blocks go together."""
    groups, done = [], set()
    for name in names:
        reader = layout[name].reader
        if mode_of(layout, request, name) == 'tied' and reader in names:
            groups.append(_pair_options(layout, scores, request, name, reader))
            done |= {name, reader}
    return groups + [list(_options(layout, scores, request, name)) for name in names
                     if name not in done]


def _numbers(layout: Layout, request: Request, name: str) -> Sequence[int]:
    """Return how many blocks of a stack may go."""
    return [request.drops[name]] if name in request.drops else range(layout[name].depth)


def _options(layout: Layout, scores: CriterionRanking, request: Request, name: str,
             ) -> Iterator[Option]:
    """Yield the best choice for every number of blocks of a stack that may go."""
    mode = mode_of(layout, request, name)
    found = scored(scores, request.criterion, name, mode)
    curve = found.ranked.extra.get('loss')
    for number in _numbers(layout, request, name):
        try:
            indices, lost = pick(layout[name], found, number, request.protect.get(name, ()), name)
        except PlanError:
            if name in request.drops:
                raise
            continue
        if curve and number <= len(curve):
            lost = float(curve[number - 1]) if number else 0.0
        yield Option(((name, mode, indices),), lost / _scale(request, found))


def _scale(request: Request, found: Scored) -> float:
    """Return what makes the scores of two stacks comparable."""
    if request.criterion in IN_LOSS or found.ranked.extra.get('loss'):
        return 1.0
    return max(float(np.abs(np.nan_to_num(found.importance)).sum()), 1e-12)


def _pair_options(layout: Layout, scores: CriterionRanking, request: Request, name: str,
                  reader: str) -> list[Option]:
    """Return choices for two stacks at once, none of which takes a block twice.

    A block of the one goes with the block that reads it; the other may lose blocks of its own.
    """
    mode = mode_of(layout, request, reader)
    ties = scored(scores, request.criterion, name, 'tied')
    alone = scored(scores, request.criterion, reader, mode)
    if 'lowest' == ties.ranked.rule == alone.ranked.rule and not layout[name].roles:
        costs = (ties.importance / _scale(request, ties),
                 alone.importance / _scale(request, alone))
        chosen = pick_pairs(layout[name], layout[reader].depth, costs, (
            request.protect.get(name, ()), request.protect.get(reader, ())))
        return [Option(((name, 'tied', tied), (reader, mode, own)), lost)
                for (some, others), (lost, tied, own) in chosen.items()
                if some in _numbers(layout, request, name)
                and others in _numbers(layout, request, reader)]
    options = []
    for first in _options(layout, scores, request, name):
        tied = first.blocks[0][2]
        partners = {layout[name].pairs[index] for index in tied}
        sub = replace(request, protect={**request.protect, reader: (
            *request.protect.get(reader, ()), *partners)})
        options += [Option(first.blocks + second.blocks, first.lost + second.lost)
                    for second in _options(layout, scores, sub, reader)]
    return options


def _legal(layout: Layout, plan: Plan) -> bool:
    """Return whether every stack keeps a block, ties included."""
    for name, stack in layout.stacks.items():
        gone, modes = blocks_gone(layout, plan, name), plan.blocks.get(name, {})
        if len(gone) + len(modes.get('keep-kv', ())) >= stack.depth:
            return False
        if blocks_twice(layout, plan, name):
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
