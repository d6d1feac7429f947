# SPDX-License-Identifier: Apache-2.0
"""Channels and heads: by rank over a stack, or evenly; joint heads go together."""

import numpy as np
import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import Layout, StackLayout
from vla_drop_ros.pruning.widths import narrow


def layout(*, even: bool = False, joint: bool = False) -> Layout:
    """Return two stacks, their heads joint or not."""
    one = StackLayout(2, (), ('whole',), 'b' if joint else '', {0: 0, 1: 1}, (4, 4), (3, 3))
    other = StackLayout(2, (), ('whole',), '', {}, (4, 4), (3, 3))
    return Layout({'a': one, 'b': other}, ('a', 'b') if joint else (), even)


SCORES = {'a': [np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.5, 9.0, 8.0, 7.0])]}


def test_the_least_important_of_the_whole_stack_go() -> None:
    """A quarter of eight channels are two, wherever they are."""
    assert narrow(layout(), 'channel', SCORES, 'a', 0.25) == {'a': {0: (0,), 1: (0,)}}
    assert narrow(layout(), 'channel', SCORES, 'a', 0.5) == {'a': {0: (0, 1, 2), 1: (0,)}}


def test_evenly_means_as_many_from_each() -> None:
    """So that a configuration can say it."""
    assert narrow(layout(), 'channel', SCORES, 'a', 0.5, even=True) == {
        'a': {0: (0, 1), 1: (0, 3)}}


def test_the_most_important_can_go_first() -> None:
    """Where adaptation moved a module most it may be what the policy needs least."""
    assert narrow(layout(), 'channel', SCORES, 'a', 0.25, 'high') == {'a': {1: (1, 2)}}


def test_every_block_keeps_one() -> None:
    """However large the share."""
    found = narrow(layout(), 'channel', SCORES, 'a', 0.99)['a']
    assert {index: len(units) for index, units in found.items()} == {0: 3, 1: 3}
    assert 3 not in found[0] and 1 not in found[1]


def test_joint_heads_go_from_both_streams() -> None:
    """Heads that meet in one attention are chosen by the sum of both streams' scores."""
    scores = {'a': [np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0])],
              'b': [np.array([9.0, 0.0, 0.0]), np.array([5.0, 5.0, 5.0])]}
    found = narrow(layout(joint=True), 'head', scores, 'b', 0.34)
    assert found['a'] == found['b'] == {0: (1, 2)}
    even = narrow(layout(joint=True, even=True), 'head', scores, 'a', 0.34)
    assert even['a'] == even['b'] == {0: (1,), 1: (0,)}


@pytest.mark.parametrize(('scores', 'stack', 'ratio', 'message'), [
    (SCORES, 'a', 1.5, 'between 0 and 1'), (SCORES, 'a', 0.0, 'between 0 and 1'),
    (SCORES, 'b', 0.5, r"no scores for the channels of b; it has \['a'\]")])
def test_bad_requests_are_refused(
        scores: dict[str, list[np.ndarray]], stack: str, ratio: float, message: str) -> None:
    """A share that is none, or a stack that was not scored."""
    with pytest.raises(PlanError, match=message):
        narrow(layout(), 'channel', scores, stack, ratio)


def test_joint_heads_need_both_scores() -> None:
    """Half of a joint attention cannot be judged alone."""
    with pytest.raises(PlanError, match=r"shares its heads with \['b'\]"):
        narrow(layout(joint=True), 'head', {'a': SCORES['a']}, 'a', 0.5)
