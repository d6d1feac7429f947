# SPDX-License-Identifier: Apache-2.0
"""The prefix is the rest of the chunk in force, and frozen for as long as chunks really take."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import build_trajectory, Trajectory
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.runtime.real_time_chunking import ChunkMemory
from vla_drop_ros.types import ActionChunk, ActionSpec, FloatArray

SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 4)
TURNING = replace(SPEC, names=('x', 'y', 'z', 'rx', 'ry', 'rz'))
START = Pose(np.array([0.4, 0.0, 0.2]), rotation.from_vector(np.array([0.3, -0.2, 0.5])))


def chunk(stamp: float, spec: ActionSpec = SPEC, seed: int = 0) -> ActionChunk:
    """Return a chunk of random steps."""
    shape = (spec.chunk_length, len(spec.names))
    return ActionChunk(stamp, np.random.default_rng(seed).normal(0.0, 0.3, shape), spec)


def memory(*delays: float, old: ActionChunk | None = None) -> ChunkMemory:
    """Return one that knows delays, after a cold start, and a chunk in force."""
    found = ChunkMemory()
    for delay in (9.0, *delays):
        found.add_delay(delay)
    found.remember(old or chunk(10.0))
    return found


def placed(values: FloatArray) -> Pose:
    """Return the pose that x .. rz tell."""
    return Pose(values[:3], rotation.from_vector(values[3:6]))


def path(one: ActionChunk, actions: FloatArray, stamp: float, start: Pose) -> list[Pose]:
    """Return the poses that the gate makes of some steps."""
    return list(trajectory(one, actions, stamp, start).poses)


def trajectory(one: ActionChunk, actions: FloatArray, stamp: float, start: Pose) -> Trajectory:
    """Return the path that the gate makes of some steps."""
    times = np.array([one.spec.period * (i + 1) for i in range(len(actions))], dtype=np.float64)
    return build_trajectory(
        one.spec.names, stamp, times, actions, one.spec.reference, start)


def test_on_the_same_grid_it_is_the_rest_of_the_chunk() -> None:
    """Three steps later the first three rows are gone and the others unchanged."""
    old = chunk(10.0)
    prefix = memory(0.15, old=old).prefix(10.3, SPEC)
    assert prefix is not None and prefix.frozen == 2
    assert np.allclose(prefix.actions, old.actions[3:], atol=1e-9)


@pytest.mark.parametrize('period', [0.1, 0.04, 0.25])
@pytest.mark.parametrize('offset', [0.0, 0.033, 0.25, 0.4])
def test_displacements_follow_the_path(offset: float, period: float) -> None:
    """Summed up from where the old path is at the stamp, they lie on it at every new knot."""
    old = chunk(10.0, TURNING)
    whole = trajectory(old, old.actions, 10.0, START)
    spec, stamp = replace(TURNING, period=period), 10.0 + offset
    prefix = memory(0.1, old=old).prefix(stamp, spec)
    assert prefix is not None
    begun = whole.target(stamp).pose
    new = replace(old, stamp=stamp, spec=spec, actions=np.zeros((8, 6)))
    for step, pose in enumerate(path(new, prefix.actions, stamp, begun)):
        expected = whole.target(stamp + period * step).pose
        assert np.allclose(pose.position, expected.position, atol=1e-9)
        assert np.linalg.norm(rotation.between(pose.quaternion, expected.quaternion)) < 1e-6


@pytest.mark.parametrize('spec', [TURNING, replace(SPEC, names=('joint.a', 'joint.b', 'gripper'))])
def test_the_first_step_makes_up_for_the_lag(spec: ActionSpec) -> None:
    """From where the arm is measured the prefix leads onto the path that it is commanded."""
    old, turning, rng = chunk(10.0, spec), spec is TURNING, np.random.default_rng(7)
    start, here = rng.normal(0.0, 0.3, (2, len(spec.names)))
    found = ChunkMemory()
    assert found.prefix(10.0, spec, start) is None
    found.remember(old)
    prefix = found.prefix(10.25, spec, here)
    plain = memory(old=old).prefix(10.25, spec)
    assert prefix is not None and plain is not None
    assert np.allclose(prefix.actions[1:], plain.actions[1:], atol=1e-9)
    if not turning:
        begun = start[:2] + old.actions[:2, :2].sum(0) + old.actions[2, :2] / 2
        assert np.allclose(here[:2] + prefix.actions[0, :2], begun + plain.actions[0, :2])
        assert prefix.actions[0, 2] == plain.actions[0, 2]
        return
    whole = trajectory(old, old.actions, 10.0, placed(start))
    new = replace(old, stamp=10.25, actions=np.zeros((8, 6)))
    for step, pose in enumerate(path(new, prefix.actions, 10.25, placed(here))[1:]):
        expected = whole.target(10.35 + 0.1 * step).pose
        assert np.allclose(pose.position, expected.position, atol=1e-9)
        assert np.linalg.norm(rotation.between(pose.quaternion, expected.quaternion)) < 1e-6


def test_without_both_measurements_the_lag_is_not_known() -> None:
    """A place that belongs to another observation than the chunk's is not taken for its start."""
    old, here = chunk(10.0), np.ones(4)
    found = ChunkMemory()
    found.prefix(9.0, SPEC, here)
    found.remember(old)
    prefix = found.prefix(10.3, SPEC, here)
    assert prefix is not None and np.allclose(prefix.actions, old.actions[3:], atol=1e-9)


def test_poses_are_those_on_the_path() -> None:
    """An absolute step says where the arm is at its end, turned as the path turns."""
    spec = replace(TURNING, reference='absolute')
    old = chunk(10.0, spec)
    whole = trajectory(old, old.actions, 10.0, START)
    prefix = memory(0.1, old=old).prefix(10.15, spec)
    assert prefix is not None and len(prefix.actions) == 6
    for step, row in enumerate(prefix.actions):
        pose = whole.target(10.15 + 0.1 * (step + 1)).pose
        assert np.allclose(row[:3], pose.position, atol=1e-9)
        assert np.linalg.norm(rotation.between(
            rotation.from_vector(row[3:]), pose.quaternion)) < 1e-6


def test_joints_are_summed_like_positions() -> None:
    """Joint displacements at half a step are means of their neighbours."""
    spec = replace(SPEC, names=('joint.a', 'joint.b'))
    old = chunk(10.0, spec)
    prefix = memory(0.1, old=old).prefix(10.05, spec)
    assert prefix is not None and len(prefix.actions) == 7
    assert np.allclose(prefix.actions, (old.actions[:-1] + old.actions[1:]) / 2)


def test_a_width_is_never_interpolated() -> None:
    """Between open and closed there is nothing that the policy ever said."""
    old = chunk(10.0)
    old.actions[:, 3] = [0.08, 0.08, 0.0, 0.0, 0.08, 0.0, 0.0, 0.0]
    for offset, expected in ((0.03, [0.08, 0.08, 0.0, 0.0, 0.08, 0.0, 0.0]),
                             (0.07, [0.08, 0.0, 0.0, 0.08, 0.0, 0.0, 0.0])):
        prefix = memory(0.1, old=old).prefix(10.0 + offset, SPEC)
        assert prefix is not None and prefix.actions[:, 3].tolist() == expected


@pytest.mark.parametrize(('left', 'rows'), [(0.8, 8), (0.75, 7), (0.1, 1), (0.0999, 0), (0.0, 0),
                                            (-1.0, 0)])
def test_nothing_beyond_the_end_of_the_old_chunk(left: float, rows: int) -> None:
    """A step counts only if the chunk in force covers it whole."""
    prefix = memory(0.1, old=chunk(1e9)).prefix(1e9 + 0.8 - left, SPEC)
    assert (0 if prefix is None else len(prefix.actions)) == rows


@pytest.mark.parametrize(('delays', 'frozen'), [
    ((), 5), ((0.0,), 1), ((0.1,), 1), ((0.11,), 2), ((0.2, 0.1), 2), ((0.35,), 4), ((2.0,), 5)])
def test_frozen_is_the_delay_within_what_is_left(delays: tuple[float, ...], frozen: int) -> None:
    """At least a step; all of it while no delay is known, and for one longer than the chunk."""
    prefix = memory(*delays).prefix(10.3, SPEC)
    assert prefix is not None and (len(prefix.actions), prefix.frozen) == (5, frozen)


def test_the_cold_start_is_left_out() -> None:
    """Half a second of warm-up must not make the robot sluggish for the next thirty chunks."""
    found = ChunkMemory()
    assert found.delay(0.1) is None
    found.add_delay(5.0)
    assert found.delay(0.1) is None
    found.add_delay(0.12)
    assert found.delay(0.1) == 2 and found.delay(0.05) == 3
    found.restart()
    assert found.delay(0.1) is None
    found.add_delay(5.0)
    found.add_delay(0.3)
    assert found.delay(0.1) == 3


def test_a_high_quantile_of_the_last_delays() -> None:
    """One in fifty does not count, three do; what is long ago is forgotten."""
    found = ChunkMemory(window=50)
    found.add_delay(0.0)
    for late in range(3):
        for _ in range(49):
            found.add_delay(0.1)
        found.add_delay(0.9)
        assert found.delay(0.1) == 1, late
    for _ in range(3):
        found.add_delay(0.9)
    assert found.delay(0.1) == 9
    for _ in range(50):
        found.add_delay(0.2)
    assert found.delay(0.1) == 2


@pytest.mark.parametrize('seconds', [float('nan'), float('inf'), -0.1])
def test_what_is_no_duration_is_no_delay(seconds: float) -> None:
    """A clock that jumped says nothing, and is not the cold start either."""
    found = ChunkMemory()
    for delay in (seconds, 5.0, seconds, 0.1, seconds):
        found.add_delay(delay)
    assert found.delay(0.1) == 1


def test_nothing_survives_a_restart() -> None:
    """Another instruction must not be begun with the old one's motion."""
    found = memory(0.1)
    found.restart()
    assert found.prefix(10.3, SPEC) is None and ChunkMemory().prefix(10.3, SPEC) is None


def test_only_a_newer_usable_chunk_takes_over() -> None:
    """What the gate refuses, older or not finite, is not what the robot does."""
    old, newer = chunk(10.0), chunk(10.2, seed=1)
    found = memory(0.1, old=old)
    broken = replace(newer, actions=np.full((8, 4), np.nan))
    for refused in (chunk(9.9, seed=2), chunk(10.0, seed=2), broken):
        found.remember(refused)
        prefix = found.prefix(10.3, SPEC)
        assert prefix is not None and np.allclose(prefix.actions, old.actions[3:])
    found.remember(newer)
    prefix = found.prefix(10.3, SPEC)
    assert prefix is not None and np.allclose(prefix.actions, newer.actions[1:])


@pytest.mark.parametrize('spec', [
    replace(SPEC, names=('x', 'y', 'z')), replace(SPEC, frame='tool0'),
    replace(SPEC, reference='absolute')])
def test_another_action_language_is_not_continued(spec: ActionSpec) -> None:
    """The numbers of one checkpoint mean nothing to one that speaks otherwise."""
    assert memory(0.1).prefix(10.3, spec) is None


def test_an_older_observation_is_not_continued() -> None:
    """A chunk cannot be in force before it was captured."""
    assert memory(0.1).prefix(9.9, SPEC) is None
