# SPDX-License-Identifier: Apache-2.0
"""So many blocks, the least important ones, or as a criterion's own rule says; roles in order."""

from itertools import combinations

import numpy as np
import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import StackLayout
from vla_drop_ros.pruning.picking import pick, Scored
from vla_drop_ros.pruning.ranking import UnitRanking


def stack(depth: int, *roles: str) -> StackLayout:
    """Return a stack whose roles repeat."""
    return StackLayout(depth, tuple(roles[i % len(roles)] for i in range(depth)) if roles else (),
                       ('whole',), '', {}, (8,) * depth, (2,) * depth)


def scored(importance: list[float], rule: str = 'lowest', **extra: object) -> Scored:
    """Return scores with a rule."""
    return Scored(np.array(importance), UnitRanking(importance, rule=rule, extra=extra))


def test_the_least_important_go() -> None:
    """Without roles the choice is a sort, and NaN never goes."""
    found = scored([3.0, 1.0, 2.0, float('nan'), 0.5])
    assert pick(stack(5), found, 2, (), 'x') == ((1, 4), 1.5)
    assert pick(stack(5), found, 3, (), 'x')[0] == (1, 2, 4)
    assert pick(stack(5), found, 2, (4,), 'x')[0] == (1, 2)
    assert pick(stack(5), found, 0, (), 'x') == ((), 0.0)


@pytest.mark.parametrize('number', [2, 4, 6])
def test_with_roles_the_best_legal_choice_is_found(number: int) -> None:
    """Exactly: as good as the best of all choices that leave the roles alternating."""
    layout, rng = stack(10, 'self', 'cross'), np.random.default_rng(number)
    values = rng.uniform(0, 1, 10)
    gone, lost = pick(layout, scored(values.tolist()), number, (), 'x')
    legal = [choice for choice in combinations(range(10), number)
             if all(index % 2 == place % 2 for place, index in enumerate(
                 index for index in range(10) if index not in choice))]
    assert gone in legal
    assert lost == pytest.approx(min(sum(values[list(choice)]) for choice in legal))


def test_an_odd_number_may_end_the_stack() -> None:
    """One block can go from the end without breaking the order, but not from the middle."""
    layout = stack(4, 'self', 'cross')
    assert pick(layout, scored([0.0, 0.0, 1.0, 1.0]), 1, (), 'x')[0] == (3,)
    with pytest.raises(PlanError, match=r'no 1 x blocks can go.*valid numbers: \[0, 2\]'):
        pick(layout, scored([0.0] * 4), 1, (3,), 'x')


def test_a_run_goes_by_angular_distance() -> None:
    """The contiguous rule takes the run that turns the states least, not the smallest scores."""
    runs = [[0.5, 0.1, 0.5, 0.1], [0.9, 0.8, 0.2], [1.0, 1.0]]
    found = scored([0.5, 0.1, 0.5, 0.1], 'contiguous', runs=runs)
    assert pick(stack(4), found, 2, (), 'x')[0] == (2, 3)
    assert pick(stack(4), found, 1, (), 'x')[0] == (1,)


def test_twins_go_and_anchors_stay() -> None:
    """Algorithm 1 of arXiv 2606.20246: of each cluster of similar blocks the first is kept."""
    similarity = [0.2, 0.99, 0.98, 0.5, 0.97, 0.3]
    found = scored([-value for value in similarity], 'twins')
    assert pick(stack(6), found, 2, (), 'x')[0] == (1, 2)
    assert pick(stack(6), found, 3, (), 'x')[0] == (1, 2, 4)
    assert pick(stack(3), scored([-1.0, -0.1, -0.2], 'twins'), 1, (), 'x')[0] == (2,)


def test_block_zero_has_no_twin_before_it() -> None:
    """Its input is an embedding: however similar, it is never removed as a twin."""
    found = scored([-0.999, -0.9, -0.1, -0.1], 'twins')
    assert pick(stack(4), found, 2, (), 'x')[0][0] != 0


@pytest.mark.parametrize(('depth', 'number', 'gone'), [
    (8, 4, (1, 3, 5, 7)), (18, 9, tuple(range(1, 18, 2))), (6, 2, (2, 5)), (4, 3, (1, 2, 3)),
    (6, 4, (1, 2, 4, 5))])
def test_uniform_spreads_evenly(depth: int, number: int, gone: tuple[int, ...]) -> None:
    """Half of a stack: its odd blocks, as in Drop-Then-Recovery."""
    found = scored([1.0 - index % 2 for index in range(depth)], 'uniform')
    assert pick(stack(depth), found, number, (), 'x')[0] == gone


def test_uniform_with_roles_is_the_nearest_legal_choice() -> None:
    """Where the even spread would break the roles, pairs go."""
    found = scored([1.0 - index % 2 for index in range(8)], 'uniform')
    gone = pick(stack(8, 'self', 'cross'), found, 4, (), 'x')[0]
    kept = [index for index in range(8) if index not in gone]
    assert [index % 2 for index in kept] == [0, 1, 0, 1]


@pytest.mark.parametrize('number', [5, -1, 9])
def test_too_many_are_refused(number: int) -> None:
    """At least one block stays."""
    with pytest.raises(PlanError, match='x has 5 blocks'):
        pick(stack(5), scored([1.0] * 5), number, (), 'x')
