# SPDX-License-Identifier: Apache-2.0
"""The joint interface of the simulated arm: straight lines through the points, then it stands."""

import math

import numpy as np
import pytest

from vla_drop_ros.simulation.trajectory_inlet import TrajectoryInlet

JOINTS = ('a', 'b')


def test_points_are_reached_in_their_time_and_kept() -> None:
    """In straight lines, matched by name; afterwards the set points stay."""
    inlet, here = TrajectoryInlet(JOINTS), np.array([0.0, 1.0])
    assert inlet.offer(('b', 'a'), [(0.1, (2.0, 0.5)), (0.2, (2.0, 0.0))]) is None
    seen = []
    for _ in range(6):
        here = inlet.advance(0.05, here)
        seen.append(here.tolist())
    np.testing.assert_allclose(seen, [[0.25, 1.5], [0.5, 2.0], [0.25, 2.0], [0.0, 2.0],
                                      [0.0, 2.0], [0.0, 2.0]], atol=1e-12)


def test_a_newer_trajectory_takes_over_where_the_arm_is() -> None:
    """From the set points of the moment, at once."""
    inlet = TrajectoryInlet(JOINTS)
    inlet.offer(JOINTS, [(0.1, (1.0, 0.0))])
    here = inlet.advance(0.05, np.zeros(2))
    inlet.offer(JOINTS, [(0.1, (0.0, 0.0))])
    np.testing.assert_allclose(inlet.advance(0.05, here), [0.25, 0.0])


@pytest.mark.parametrize(('names', 'points', 'why'), [
    (('a',), [(0.1, (1.0,))], 'joints'), (('a', 'c'), [(0.1, (1.0, 0.0))], 'joints'),
    (JOINTS, [], 'point'), (JOINTS, [(0.1, (1.0,))], 'point'),
    (JOINTS, [(0.1, (math.nan, 0.0))], 'finite'), (JOINTS, [(math.inf, (0.0, 0.0))], 'finite'),
    (JOINTS, [(0.2, (0.0, 0.0)), (0.1, (0.0, 0.0))], 'grow'),
    (JOINTS, [(-0.1, (0.0, 0.0))], 'grow')])
def test_what_is_no_trajectory_moves_nothing_and_is_counted(
        names: tuple[str, ...], points: list[tuple[float, tuple[float, ...]]], why: str) -> None:
    """Other joints, missing numbers, NaN and times that run back are refused by name."""
    inlet = TrajectoryInlet(JOINTS)
    assert why in str(inlet.offer(names, points))
    assert inlet.rejected.total() == 1
    np.testing.assert_array_equal(inlet.advance(0.05, np.ones(2)), np.ones(2))


def test_a_reset_ends_the_motion() -> None:
    """What was meant for the last scene moves nothing in this one."""
    inlet = TrajectoryInlet(JOINTS)
    inlet.offer(JOINTS, [(0.1, (1.0, 0.0))])
    inlet.forget()
    np.testing.assert_array_equal(inlet.advance(0.05, np.zeros(2)), np.zeros(2))
