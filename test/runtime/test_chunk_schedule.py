# SPDX-License-Identifier: Apache-2.0
"""Chunks live on an absolute time base; control rate and policy rate are independent."""

from typing import Literal

import numpy as np
import pytest

from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import build_trajectory, ChunkSchedule, Trajectory
from vla_drop_ros.runtime.pose import Pose

START = Pose(np.array([0.5, 0.0, 0.3]), rotation.IDENTITY)
NAMES = ('x', 'y', 'z', 'gripper')


def trajectory(stamp: float, actions: list[list[float]], names: tuple[str, ...] = NAMES,
               reference: Literal['delta', 'absolute'] = 'delta') -> Trajectory:
    """Return a trajectory with a period of 0.1 s from START."""
    times = np.arange(1.0, len(actions) + 1.0) * 0.1
    return build_trajectory(names, stamp, times, np.array(actions), reference, START)


def test_delta_steps_sum_onto_the_measured_pose() -> None:
    """The target after step i is the pose at the stamp plus the sum of steps 0..i."""
    moving = trajectory(10.0, [[0.01, 0, 0, 0.04], [0.02, 0, -0.01, 0.04]])
    assert moving.target(10.1).pose.position == pytest.approx([0.51, 0.0, 0.3])
    assert moving.target(10.2).pose.position == pytest.approx([0.53, 0.0, 0.29])


def test_targets_between_steps_are_interpolated() -> None:
    """Half way through a step, half of its displacement is done."""
    assert trajectory(10.0, [[0.02, 0, 0, 0]]).target(10.05).pose.position[0] == (
        pytest.approx(0.51))


def test_stands_still_outside_the_chunk() -> None:
    """Before the stamp and after the end there is no extrapolation."""
    moving = trajectory(10.0, [[0.02, 0, 0, 0.01], [0.02, 0, 0, 0.03]])
    assert moving.target(0.0).pose.position == pytest.approx([0.5, 0.0, 0.3])
    assert moving.target(99.0).pose.position == pytest.approx([0.54, 0.0, 0.3])
    assert moving.target(99.0).gripper == 0.03


def test_gripper_is_absolute_and_holds_during_its_step() -> None:
    """Step i's width is commanded from the beginning of step i on, never mixed."""
    moving = trajectory(10.0, [[0, 0, 0, 0.08], [0, 0, 0, 0.0]])
    assert [moving.target(t).gripper for t in (10.0, 10.09, 10.11)] == [0.08, 0.08, 0.0]


def test_absolute_steps_are_poses_and_unnamed_axes_stay() -> None:
    """An absolute chunk without y and gripper leaves y as measured and the gripper alone."""
    target = trajectory(10.0, [[0.6, 0.2]], ('x', 'z'), 'absolute').target(10.1)
    assert target.pose.position == pytest.approx([0.6, 0.0, 0.2])
    assert target.gripper is None


def test_rotation_deltas_compose() -> None:
    """Two quarter turns about z are half a turn."""
    moving = trajectory(0.0, [[np.pi / 2], [np.pi / 2]], ('rz',))
    turned = rotation.between(rotation.IDENTITY, moving.target(0.2).pose.quaternion)
    assert np.linalg.norm(turned) == pytest.approx(np.pi)


def test_no_chunk_no_target() -> None:
    """Before the first chunk, and after clear, there is nothing to execute."""
    schedule = ChunkSchedule(blend=0.1)
    assert schedule.target(0.0) is None
    schedule.accept(trajectory(0.0, [[0.01, 0, 0, 0]]), 0.0)
    schedule.clear()
    assert schedule.target(0.0) is None and schedule.end is None


def test_takeover_is_continuous() -> None:
    """A contradicting chunk bends the target over the blend time instead of stepping it."""
    schedule = ChunkSchedule(blend=0.1)
    schedule.accept(trajectory(0.0, [[0.03, 0, 0, 0]] * 5), 0.0)
    before = schedule.target(0.2)
    schedule.accept(trajectory(0.1, [[-0.03, 0, 0, 0]] * 5), 0.2)
    after = schedule.target(0.2)
    assert before is not None and after is not None
    assert after.pose.position == pytest.approx(before.pose.position)
    targets = [schedule.target(t) for t in np.arange(0.2, 0.4, 0.01)]
    xs = np.array([target.pose.position[0] for target in targets if target is not None])
    assert np.abs(np.diff(xs)).max() < 0.02  # a switch at once would be 0.09 m
    assert xs[-1] == pytest.approx(trajectory(0.1, [[-0.03, 0, 0, 0]] * 5).target(
        0.39).pose.position[0])


def test_takeover_without_blend_is_at_once() -> None:
    """With blend 0 the newest chunk alone counts."""
    schedule = ChunkSchedule(blend=0.0)
    schedule.accept(trajectory(0.0, [[0.03, 0, 0, 0]] * 5), 0.0)
    newest = trajectory(0.1, [[-0.03, 0, 0, 0]] * 5)
    schedule.accept(newest, 0.2)
    target = schedule.target(0.2)
    assert target is not None
    assert target.pose.position == pytest.approx(newest.target(0.2).pose.position)


def test_ensemble_is_the_weighted_mean_of_all_chunks_that_cover_now() -> None:
    """With a long time constant two chunks count alike; with a short one the newest rules."""
    for ensemble, expected in ((1e9, 0.515), (1e-3, 0.52)):
        schedule = ChunkSchedule(blend=0.0, ensemble=ensemble)
        schedule.accept(trajectory(10.0, [[0.01, 0, 0, 0.04]] + [[0.0, 0, 0, 0.04]] * 9), 10.0)
        schedule.accept(trajectory(10.1, [[0.02, 0, 0, 0.02]] + [[0.0, 0, 0, 0.02]] * 9), 10.1)
        target = schedule.target(10.3)
        assert target is not None and target.gripper == 0.02
        assert target.pose.position[0] == pytest.approx(expected)


@pytest.mark.parametrize('ensemble', [0.0, 0.5])
def test_nothing_jumps_when_chunks_come_and_end(ensemble: float) -> None:
    """With a blend the target is continuous: at each takeover, and where an old chunk ends."""
    rng, schedule = np.random.default_rng(3), ChunkSchedule(blend=0.1, ensemble=ensemble)
    positions = []
    for tick in range(600):
        now = 10.0 + tick * 0.01
        if tick % 40 == 0:
            schedule.accept(trajectory(
                now - 0.05, [[*rng.uniform(-0.01, 0.01, 3), 0.04] for _ in range(8)]), now)
        target = schedule.target(now)
        assert target is not None
        positions.append(target.pose.position)
    # chunks are up to 0.08 m apart and move by at most 0.02 m a tenth of a second
    assert np.abs(np.diff(positions, axis=0)).max() < 0.02


def test_chunks_that_never_end_in_an_ensemble_are_bounded() -> None:
    """The number of chunks kept is bounded however often one comes."""
    schedule = ChunkSchedule(blend=0.1, ensemble=1e9)
    for step in range(100):
        schedule.accept(trajectory(10.0 + step * 0.001, [[0.0, 0, 0, 0.04]] * 50), 10.0)
    assert schedule.target(10.5) is not None and len(schedule._chunks) <= 16  # noqa: SLF001
