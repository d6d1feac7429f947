# SPDX-License-Identifier: Apache-2.0
"""The velocity interface of the simulated arm: valid twists only, each for a moment only."""

import math

import numpy as np
import pytest

from vla_drop_ros.simulation.twist_inlet import HALTS, TwistInlet

REST = (0.0, 0.0, 0.0)


def test_a_twist_moves_until_the_arm_halts_by_itself() -> None:
    """Without another one the way is the velocity times the time-out, however long one waits."""
    inlet = TwistInlet('base_link')
    assert not inlet.advance(0.02).any()
    assert inlet.offer('base_link', (0.3, 0.0, -0.1), REST) is None
    way = sum(inlet.advance(0.02) for _ in range(50))
    np.testing.assert_allclose(way, np.array([0.3, 0.0, -0.1]) * HALTS)


@pytest.mark.parametrize(('frame', 'linear', 'angular', 'why'), [
    ('tool', (0.1, 0.0, 0.0), REST, 'frame'), ('base_link', (math.nan, 0.0, 0.0), REST, 'finite'),
    ('base_link', REST, (0.0, math.inf, 0.0), 'finite')])
def test_what_is_no_twist_moves_nothing_and_is_counted(
        frame: str, linear: tuple[float, ...], angular: tuple[float, ...], why: str) -> None:
    """Another frame and NaN are refused by name."""
    inlet = TwistInlet('base_link')
    assert why in str(inlet.offer(frame, linear, angular))
    assert inlet.rejected.total() == 1
    assert not inlet.advance(0.02).any()


def test_a_reset_ends_the_motion() -> None:
    """What was meant for the last scene moves nothing in this one."""
    inlet = TwistInlet('base_link')
    inlet.offer('base_link', (0.3, 0.0, 0.0), REST)
    inlet.forget()
    assert not inlet.advance(0.02).any()
