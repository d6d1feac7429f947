# SPDX-License-Identifier: Apache-2.0
"""The simulated arm takes valid commands only, and none that was meant for the last scene."""

import math

import numpy as np
import pytest

from vla_drop_ros.simulation.command_inlet import CommandInlet

DOWN = (1.0, 0.0, 0.0, 0.0)


def test_holds_before_the_first_command() -> None:
    """Without a command there is no target."""
    inlet = CommandInlet('base_link')
    assert inlet.position is None
    assert inlet.width is None


def test_takes_the_newest_command() -> None:
    """The newest valid command is the target."""
    inlet = CommandInlet('base_link')
    assert inlet.offer_pose('base_link', (0.4, 0.0, 0.2), DOWN) is None
    assert inlet.offer_width((0.03,)) is None
    assert inlet.position is not None
    np.testing.assert_allclose(inlet.position, np.array([0.4, 0.0, 0.2]))
    assert inlet.width == pytest.approx(0.03)


@pytest.mark.parametrize(('frame', 'position', 'quaternion', 'why'), [
    ('world', (0.4, 0.0, 0.2), DOWN, 'frame'),
    ('base_link', (math.nan, 0.0, 0.2), DOWN, 'finite'),
    ('base_link', (0.4, 0.0, math.inf), DOWN, 'finite'),
    ('base_link', (0.4, 0.0, 0.2), (math.nan, 0.0, 0.0, 0.0), 'finite'),
])
def test_rejects_and_counts_poses(frame: str, position: tuple[float, ...],
                                  quaternion: tuple[float, ...], why: str) -> None:
    """A pose in another frame or with NaN is refused, counted, and moves nothing."""
    inlet = CommandInlet('base_link')
    reason = inlet.offer_pose(frame, position, quaternion)
    assert reason is not None and why in reason
    assert inlet.rejected[reason] == 1
    assert inlet.position is None


@pytest.mark.parametrize('values', [(), (0.02, 0.02), (math.nan,)])
def test_rejects_and_counts_widths(values: tuple[float, ...]) -> None:
    """A gripper command that is not one finite number is refused and counted."""
    inlet = CommandInlet('base_link')
    assert inlet.offer_width(values) is not None
    assert inlet.rejected.total() == 1
    assert inlet.width is None


def test_repetitions_from_before_a_reset_are_not_obeyed() -> None:
    """A gate that still holds the old pose cannot pull the arm back after a reset."""
    inlet = CommandInlet('base_link')
    inlet.offer_pose('base_link', (0.4, 0.0, 0.2), DOWN)
    inlet.offer_width((0.01,))
    inlet.forget()
    inlet.offer_pose('base_link', (0.4, 0.0, 0.2), DOWN)
    inlet.offer_width((0.01,))
    assert (inlet.position, inlet.width) == (None, None)
    inlet.offer_pose('base_link', (0.41, 0.0, 0.2), DOWN)
    inlet.offer_width((0.02,))
    inlet.offer_width((0.01,))
    np.testing.assert_allclose(np.array(inlet.position), (0.41, 0.0, 0.2))
    assert inlet.width == pytest.approx(0.01)
