# SPDX-License-Identifier: Apache-2.0
"""The oracle is a real drop: the loss after it, on the same draws."""

import numpy as np
import pytest

from vla_drop_ros.pruning.criteria import greedy, leave_one_out
from vla_drop_ros.pruning.criterion import Scores, Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.plan import Plan


def by_key(scores: list[Scores]) -> dict[tuple[str, str], Scores]:
    """Return the scores by stack and unit."""
    return {(one.stack, one.unit): one for one in scores}


@pytest.mark.parametrize(('stack', 'unit', 'plan', 'index'), [
    ('language', 'tied', Plan({'language': {'tied': (1,)}}), 1),
    ('language', 'block', Plan({'language': {'keep-kv': (2,)}}), 2),
    ('vision', 'mlp', Plan({'vision': {'mlp': (0,)}}), 0),
    ('action', 'block', Plan({'action': {'whole': (3,)}}), 3),
    ('action', 'attention', Plan({'action': {'mha': (0,)}}), 0),
])
def test_scores_are_losses_after_a_drop(
        subject: Subject, stack: str, unit: str, plan: Plan, index: int) -> None:
    """By sample, the loss with the block gone minus the loss with it."""
    found, full = by_key(leave_one_out.measure(subject))[stack, unit], subject.losses()
    with dropped(subject.family, subject.model, plan):
        without = subject.losses()
    assert np.array_equal(found.samples[:, index], without - full)
    assert found.values[index] == pytest.approx(float((without - full).mean()))


def test_the_dead_block_costs_nothing(subject: Subject) -> None:
    """Exactly: nothing reads the last language block but for its keys and values."""
    found = by_key(leave_one_out.measure(subject))['language', 'block']
    assert (found.samples[:, -1] == 0).all() and (found.samples[:, 0] != 0).any()


def test_greedy_takes_the_least_missed_first(subject: Subject) -> None:
    """Its first step is the argmin of leave-one-out on its samples, its losses are real."""
    found = by_key(greedy.measure(subject))['language', 'tied']
    order, losses = found.extra['order'], found.extra['loss']
    assert len(order) == 3 and len(set(order)) == 3
    for step in range(3):
        with dropped(subject.family, subject.model, Plan(
                {'language': {'tied': tuple(order[:step + 1])}})):
            assert float(subject.losses(greedy.SHARE).mean()) == pytest.approx(losses[step])
    singles = []
    for index in range(4):
        with dropped(subject.family, subject.model, Plan({'language': {'tied': (index,)}})):
            singles.append(float(subject.losses(greedy.SHARE).mean()))
    assert order[0] == int(np.argmin(singles))
    assert [found.values[index] for index in order] == [0.0, 1.0, 2.0]
    left = next(index for index in range(4) if index not in order)
    assert found.values[left] == 3.0


def test_progress_ends_at_one(subject: Subject) -> None:
    """What a bar is told rises and ends full."""
    told: list[float] = []
    subject.tick = told.append
    leave_one_out.measure(subject)
    assert told == sorted(told) and told[-1] == 1.0
