# SPDX-License-Identifier: Apache-2.0
"""Greedy: take away the block that is missed least, look again, and so on.

    repeat: drop argmin_i L(model without what went before and i)

(SLEB, arXiv 2402.09025, with the action loss instead of perplexity.) The score of a block is the
step at which it went: the first to go has 0. Runs on half of the samples, since L blocks cost
L (L + 1) / 2 passes. Higher means keep.
"""

import numpy as np

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.criteria.leave_one_out import droppable, removable, without
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import Unit
from vla_drop_ros.types import FloatArray

SHARE = 0.5


def measure(subject: Subject) -> list[Scores]:
    """Score blocks and ties."""
    units = removable(subject, 'block', 'tied')
    depths = {stack: len(subject.stacks[stack]) for stack, _ in units}
    total, done, scores = sum(depths[s] * (depths[s] + 1) // 2 - 1 for s, _ in units), 0, []
    for stack, unit in units:
        order: list[int] = []
        losses: list[float] = []
        for _ in range(depths[stack] - 1):
            found = _round(subject, stack, unit, order)
            done += depths[stack] - len(order)
            subject.tick(min(1.0, done / max(1, total)))
            if not found:
                break
            best = min(found, key=lambda index: found[index])
            order.append(best)
            losses.append(found[best])
        scores.append(Scores(stack, unit, _steps(order, depths[stack]),
                             extra={'order': order, 'loss': losses}))
    return scores


def _round(subject: Subject, stack: str, unit: Unit, gone: list[int]) -> dict[int, float]:
    """Return the mean loss without what is gone and one more block, for each that may go."""
    found = {}
    for index in range(len(subject.stacks[stack])):
        if index in gone or not droppable(subject, stack, unit, index):
            continue
        try:
            with without(subject, stack, unit, (*gone, index)):
                found[index] = float(subject.losses(SHARE).mean())
        except PlanError:  # a constraint forbids this one now
            continue
    return found


def _steps(order: list[int], depth: int) -> FloatArray:
    """Return the step at which each block went; those that stayed share the last."""
    steps = np.full(depth, float(len(order)))
    steps[order] = np.arange(len(order), dtype=float)
    return steps


CRITERION = Criterion('greedy', 'keep', 'SLEB, arXiv 2402.09025', measure, needs=('data',))
