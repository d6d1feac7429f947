# SPDX-License-Identifier: Apache-2.0
"""Each way of executing chunks sends what it promises, on the gate's time base."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import ContractError, ObservationError
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.execution import Execution, EXECUTIONS, SHORTEST_STILL
from vla_drop_ros.runtime.observation_sync import Snapshot
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.types import ActionChunk, ActionSpec, Observation

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 3)
TURN = np.array([0.3, -0.2, 0.5])
HERE: Snapshot[Any] = Snapshot(
    10.0, {}, Pose(np.array([0.5, 0.1, 0.3]), rotation.from_vector(TURN)),
    {'finger_joint1': 0.02, 'elbow': 1.2})
SEEN = Observation(10.0, {}, np.zeros(1), 'go')


def chunk(spec: ActionSpec = SPEC, stamp: float = 10.0) -> ActionChunk:
    """Return a chunk of numbers that tell their row and column."""
    rows, columns = np.indices((spec.chunk_length, len(spec.names)))
    return ActionChunk(stamp, 0.01 * (rows + 1) + 0.001 * columns, spec)


@pytest.mark.parametrize('mode', ['asynchronous', 'real_time_chunking'])
def test_a_chunk_goes_out_as_it_is(mode: str) -> None:
    """All steps, each due at the end of its period after the capture."""
    timed = Execution(mode, CONTRACT).timed(chunk(), HERE, 10.15)
    assert timed.stamp == 10.0
    assert timed.times == pytest.approx(0.1 * np.arange(1, 9))
    assert np.array_equal(timed.actions, chunk().actions)


def test_synchronous_stands_still_until_now_then_executes() -> None:
    """The steps begin when the chunk is sent; no more of them than are meant to be executed."""
    timed = Execution('synchronous', CONTRACT).timed(chunk(), HERE, 10.15)
    assert timed.times == pytest.approx([0.15, 0.25, 0.35, 0.45])
    assert timed.actions[0] == pytest.approx([0.0, 0.0, 0.0, 0.04])
    assert np.array_equal(timed.actions[1:], chunk().actions[:3])
    assert timed.end == pytest.approx(10.45)


def test_the_gripper_keeps_the_width_it_was_told() -> None:
    """Not the measured one, which an object holds open: the grip would loosen."""
    execution = Execution('synchronous', CONTRACT)
    execution.begin(1, 'a')
    execution.sent(chunk())
    execution.begin(1, 'a')
    still = execution.timed(chunk(stamp=11.0), HERE, 11.2).actions[0]
    assert still[3] == pytest.approx(chunk().actions[2, 3])
    execution.begin(2, 'a')
    assert execution.timed(chunk(), HERE, 10.2).actions[0, 3] == pytest.approx(0.04)


def test_absolute_actions_stand_still_where_the_robot_is() -> None:
    """Position, rotation and joints are the measured ones."""
    pose = replace(SPEC, names=('x', 'y', 'z', 'rx', 'ry', 'rz'), reference='absolute')
    execution = Execution('synchronous', CONTRACT)
    assert execution.timed(chunk(pose), HERE, 10.1).actions[0] == pytest.approx(
        [0.5, 0.1, 0.3, *TURN])
    joint = replace(SPEC, names=('joint.elbow', 'gripper'), reference='absolute')
    without_pose = replace(HERE, pose=None)
    assert execution.timed(chunk(joint), without_pose, 10.1).actions[0] == pytest.approx(
        [1.2, 0.04])


def test_where_the_robot_is_must_be_known() -> None:
    """An unknown joint or pose is named instead of made up."""
    execution = Execution('synchronous', CONTRACT)
    joint = replace(SPEC, names=('joint.wrist',), reference='absolute')
    with pytest.raises(ObservationError, match='wrist'):
        execution.timed(chunk(joint), HERE, 10.1)
    turn = replace(SPEC, names=('rx',), reference='absolute')
    with pytest.raises(ObservationError, match=r'state\.pose'):
        execution.timed(chunk(turn), replace(HERE, pose=None), 10.1)


def test_times_increase_even_without_latency() -> None:
    """A stamp that is not older than now still gives a chunk that the gate takes."""
    times = Execution('synchronous', CONTRACT).timed(chunk(), HERE, 9.99).times
    assert times[0] == SHORTEST_STILL and (np.diff(times) > 0).all()


def test_what_standing_still_needs_is_observed() -> None:
    """The states that tell where the robot is are asked for, beside the policy's."""
    spec = replace(SPEC, names=('x', 'rx', 'gripper'))
    assert Execution('asynchronous', CONTRACT).state_names(spec, ('ee.z',)) == ('ee.z',)
    assert Execution('synchronous', CONTRACT).state_names(spec, ('ee.z',)) == (
        'ee.z', 'ee.x', 'gripper.width')


def test_only_real_time_chunking_tells_the_policy() -> None:
    """The rest of the chunk in force is in the observation, until an episode ends."""
    for mode in EXECUTIONS:
        execution = Execution(mode, CONTRACT)
        execution.begin(1, 'a')
        execution.prepared(SEEN, SPEC, HERE)
        execution.sent(chunk())
        later = replace(SEEN, stamp=10.2)
        execution.begin(1, 'a')
        prefix = execution.prepared(later, SPEC, replace(HERE, stamp=10.2)).prefix
        assert (prefix is not None) == (mode == 'real_time_chunking')
        if prefix is not None:
            assert len(prefix.actions) == 6
        execution.begin(2, 'a')
        assert execution.prepared(later, SPEC, HERE).prefix is None


def test_unknown_modes_are_refused() -> None:
    """With the valid ones and the closest."""
    with pytest.raises(ContractError, match="Did you mean 'asynchronous'"):
        Execution('asynchron', CONTRACT)
