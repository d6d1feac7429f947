# SPDX-License-Identifier: Apache-2.0
"""A pose is looked up by stamp, or not found; never guessed."""

import numpy as np
import pytest

from vla_drop_ros.runtime.pose import Pose, PoseHistory
from vla_drop_ros.runtime.rotation import IDENTITY


def pose(x: float) -> Pose:
    """Return a pose at x, not rotated."""
    return Pose(np.array([x, 0.0, 0.0]), IDENTITY)


def history(*entries: tuple[float, float]) -> PoseHistory:
    """Return a history of (stamp, x)."""
    poses = PoseHistory(1.0)
    for stamp, x in entries:
        assert poses.add(stamp, pose(x)) is None
    return poses


def test_interpolates_between_stamps() -> None:
    """Between two poses the position is proportional to time."""
    found = history((0.0, 0.0), (0.4, 4.0)).at(0.1, tolerance=0.2)
    assert found is not None and found.position[0] == pytest.approx(1.0)


@pytest.mark.parametrize(('stamp', 'found'), [(0.95, True), (0.85, False), (2.05, True),
                                              (2.2, False)])
def test_outside_the_history_only_within_tolerance(stamp: float, found: bool) -> None:
    """Before the first and after the last pose, the end is used only within the tolerance."""
    assert (history((1.0, 0.0), (2.0, 1.0)).at(stamp, tolerance=0.1) is not None) == found


def test_old_poses_are_forgotten() -> None:
    """Only the horizon before the newest is kept."""
    assert history((0.0, 0.0), (5.0, 1.0)).at(0.0, tolerance=0.5) is None


def test_refuses_nan_and_old_stamps() -> None:
    """A pose that is not finite or not newer is refused, and says why."""
    poses = history((1.0, 0.0))
    assert 'finite' in str(poses.add(2.0, pose(float('nan'))))
    assert 'newer' in str(poses.add(1.0, pose(0.0)))
    assert poses.newest_stamp == 1.0
