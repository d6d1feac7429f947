# SPDX-License-Identifier: Apache-2.0
"""Pick so many blocks of a stack: by importance, or by a criterion's own rule, roles in order."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import StackLayout
from vla_drop_ros.pruning.plan import UNIT_OF_MODE
from vla_drop_ros.pruning.ranking import CriterionRanking, UnitRanking
from vla_drop_ros.types import FloatArray


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
        why = [f'the roles {"/".join(stack.roles)} must stay in order'] if stack.roles else []
        why += [f'{sorted(protect)} are protected'] if protect else []
        raise PlanError(f'no {number} {name} blocks can go: {" and ".join(why)}; valid numbers: '
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


Pairs = dict[tuple[int, int], tuple[float, tuple[int, ...], tuple[int, ...]]]


def pick_pairs(stack: StackLayout, depth: int, costs: tuple[FloatArray, FloatArray],
               protect: tuple[Collection[int], Collection[int]]) -> Pairs:
    """Return the best choices of ties and of the reader's own blocks that share no block.

    Dynamic programming over the blocks of the reader, each of which stays, goes with the block
    that it reads, or goes alone: exact.

    Args:
        stack: whose blocks are read.
        depth: of the reader.
        costs: importance of the ties and of the reader's blocks.
        protect: blocks of either that stay.

    Returns:
        (number of ties, number of own blocks) -> lost importance, ties, own blocks.

    """
    source = {partner: index for index, partner in stack.pairs.items()}
    best: Pairs = {(0, 0): (0.0, (), ())}
    for own in range(depth):
        tie, following = source.get(own), dict(best)
        for (ties, alone), (lost, tied, gone) in best.items():
            options = []
            if tie is not None and tie not in protect[0] and np.isfinite(costs[0][tie]):
                options.append(((ties + 1, alone), (lost + costs[0][tie], (*tied, tie), gone)))
            if own not in protect[1] and np.isfinite(costs[1][own]):
                options.append(((ties, alone + 1), (lost + costs[1][own], tied, (*gone, own))))
            for key, value in options:
                if key not in following or value[0] < following[key][0]:
                    following[key] = value
        best = following
    return best


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
