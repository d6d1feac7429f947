# SPDX-License-Identifier: Apache-2.0
"""A pose or joint state that is older than its stamp counts from when it was measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import JointLimits, Limits, RobotAction, RobotContract
from vla_drop_ros.runtime.gate import CommandGate, IncomingChunk, Mode
from vla_drop_ros.runtime.observation_sync import ObservationSync
from vla_drop_ros.runtime.watchdog import kind

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
UP = (0.0, 0.0, 0.0, 1.0)
LATE = 0.2
assert CONTRACT.pose is not None and CONTRACT.joints is not None
SLOW = replace(CONTRACT, pose=replace(CONTRACT.pose, max_age=0.4, latency=LATE),
               joints=replace(CONTRACT.joints, max_age=0.4, latency=0.5 * LATE))
IN_JOINTS = replace(
    SLOW, pose=None, action=RobotAction(('joint.a',), 'base_link', 'absolute'),
    command=CommandTopics('joint_trajectory', 'joint_trajectory', lead=0.1),
    limits=Limits(None, {'a': JointLimits((-1.0, 1.0), 1.0, 20.0, 0.2)}, None))


def synced(newest: float = 10.3) -> ObservationSync[str]:
    """Return a sync with an image of 10.0 s, and states stamped from 9.7 s to the newest."""
    sync: ObservationSync[str] = ObservationSync(SLOW)
    sync.add_image('front', 10.0, 'picture')
    for tick in range(round((newest - 9.7) * 10) + 1):
        stamp = 9.7 + 0.1 * tick
        sync.add_pose(stamp, (stamp, 0.0, 0.0), UP, 'base_link')
        sync.add_joints(stamp, {'finger_joint1': stamp})
    return sync


def gate_of(contract: RobotContract = SLOW, until: float = 100.0, speed: float = 0.0,
            ahead: float = 0.0) -> CommandGate:
    """Return an active gate with states stamped at 20 Hz until then [s], or a little later."""
    gate = CommandGate(contract)
    gate.activate(99.0)
    for tick in range(11):
        stamp = until + ahead - 0.05 * (10 - tick)
        gate.add_pose(stamp, (0.5 + speed * (stamp - until), 0.0, 0.3), UP, 'base_link')
    gate.add_heartbeat(until)
    return gate


def move(stamp: float) -> IncomingChunk:
    """Return a chunk that stands where it begins."""
    return IncomingChunk(('x', 'y', 'z'), 'base_link', stamp, [0.1 * (i + 1) for i in range(8)],
                         [[0.0, 0.0, 0.0]] * 8)


def test_images_are_joined_with_the_state_of_their_time() -> None:
    """What was measured when the image was taken is stamped later by the stream's latency."""
    snapshot, problems = synced().join(10.3, ('front',), True)
    assert snapshot is not None and snapshot.pose is not None, problems
    assert snapshot.pose.position[0] == pytest.approx(10.0 + LATE)
    assert snapshot.joints['finger_joint1'] == pytest.approx(10.0 + 0.5 * LATE)


def test_ages_of_the_state_count_its_latency() -> None:
    """A state is too old as soon as its measurement is, and diagnostics show that age."""
    sync = synced(10.1)
    assert sync.join(10.25, ('front',), True)[0] is not None
    _, problems = sync.join(10.35, ('front',), True)
    assert [kind(problem) for problem in problems] == ['end-effector pose too old']
    values = sync.health(10.35)
    assert (values['pose age [ms]'], values['joints age [ms]']) == ('450', '350')


def test_a_clock_set_back_is_seen_in_the_stamps_themselves() -> None:
    """Latency is no reason to forget the past, nor to keep what another clock has stamped."""
    sync = synced()
    sync.add_pose(9.3 + 0.1, (0.0, 0.0, 0.0), UP, 'base_link')  # late, but of the same clock
    assert sync.join(10.3, ('front',), True)[0] is not None
    gate = gate_of(ahead=0.05)
    gate.tick(100.0)
    gate.tick(99.85)  # the clock was set back by less than the latency
    gate.add_pose(99.9, (0.3, 0.0, 0.3), UP, 'base_link')
    decision = gate.tick(99.9)
    assert decision.command is not None
    assert decision.command.pose.position[0] == pytest.approx(0.3)


def test_a_chunk_starts_from_the_pose_of_its_images() -> None:
    """The reference of a chunk was stamped later than the images by the latency of the pose."""
    gate = gate_of(speed=0.2)
    assert gate.offer(move(99.7), 100.0) is None
    for tick in range(8):
        now = 100.0 + 0.05 * tick
        gate.add_heartbeat(now)
        gate.add_pose(now, (0.5, 0.0, 0.3), UP, 'base_link')
        decision = gate.tick(now)
    assert decision.command is not None
    assert decision.command.pose.position[0] == pytest.approx(0.5 + 0.2 * (99.7 + LATE - 100.0))


def test_the_gate_holds_when_the_measurement_is_too_old() -> None:
    """Staleness counts from the measurement; a stamp a little ahead of the clock is none."""
    gate = gate_of(ahead=0.05)
    assert gate.offer(move(99.8), 100.0) is None
    assert gate.tick(100.0).mode is Mode.EXECUTING
    gate.add_heartbeat(100.3)
    decision = gate.tick(100.3)  # 0.45 s after the measurement, 0.25 s after its stamp
    assert decision.mode is Mode.HOLDING and 'end-effector pose too old' in decision.reason


def test_joints_of_a_joint_robot_count_their_latency() -> None:
    """The stream that says where the robot is has its own latency."""
    gate = CommandGate(IN_JOINTS)
    gate.activate(99.0)
    gate.add_joints(100.0, {'a': 0.0})
    assert gate.tick(100.25).reason == 'no action chunk'
    assert 'joint states too old' in gate.tick(100.35).reason
