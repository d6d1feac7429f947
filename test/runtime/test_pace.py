# SPDX-License-Identifier: Apache-2.0
"""However uneven the ticks, the velocities between commands grow no faster than the limits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import JointLimits, Limits, RobotAction
from vla_drop_ros.runtime import pace
from vla_drop_ros.runtime.gate import CommandGate, IncomingChunk
from vla_drop_ros.runtime.pace import as_seen, Pace, Step
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.runtime.safety_limits import Commanded
from vla_drop_ros.types import FloatArray

ARM = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
JOINTS = replace(
    ARM, action=RobotAction(('joint.a', 'joint.b', 'gripper'), 'base_link', 'absolute'),
    pose=None, command=CommandTopics('joint_trajectory', 'joint_trajectory', lead=0.1),
    limits=Limits(None, {'a': JointLimits((-3.0, 3.0), 1.0, 2.0, 0.2),
                         'b': JointLimits((-3.0, 3.0), 1.0, 2.0, 0.2)}, (0.0, 0.08)))
PERIOD, UP = 1.0 / ARM.control_rate, (0.0, 0.0, 0.0, 1.0)


def commanded(gate: CommandGate, joints: bool, jitter: float, late: float,
              seed: int) -> list[tuple[float, FloatArray]]:
    """Return times and positions of what a gate commands to an arm that follows."""
    rng, now, found = np.random.default_rng(seed), 100.0, []
    place = np.zeros(2) if joints else np.array([0.5, 0.0, 0.3])
    gate.activate(now)
    for tick in range(400):
        now += PERIOD * (rng.uniform(2.0, 6.0) if rng.uniform() < late
                         else 1.0 + jitter * rng.uniform(-1.0, 1.0))
        gate.add_heartbeat(now)
        if joints:
            gate.add_joints(now, dict(zip('ab', place, strict=True)))
        else:
            gate.add_pose(now, tuple(place), UP, 'base_link')
        if tick % 8 == 0:  # every time another way, faster than is allowed
            row = [*rng.normal(scale=0.5 if joints else 0.05, size=len(place)), 0.04]
            names = ('joint.a', 'joint.b') if joints else ('x', 'y', 'z')
            gate.offer(IncomingChunk((*names, 'gripper'), 'base_link', now,
                                     [0.1 * (i + 1) for i in range(20)], [row] * 20), now)
        command = gate.tick(now).command
        if command is not None:
            place = command.pose.position
            found.append((now, place))
    return found


def excess(commands: list[tuple[float, FloatArray]], limit: float, joints: bool) -> float:
    """Return the largest growth of a mean velocity, as a multiple of what is allowed."""
    times = np.array([time for time, _ in commands])
    places = np.array([place for _, place in commands])
    gaps = np.diff(times)
    velocities = np.diff(places, axis=0) / gaps[:, None]
    worst = 0.0
    for index in range(1, len(gaps)):
        before, now = velocities[index - 1], velocities[index]
        allowed = limit * (gaps[index - 1] + gaps[index]) / 2.0
        if joints:  # each by itself; braking to zero is free
            grown = np.abs(now - np.clip(now, np.minimum(before, 0.0), np.maximum(before, 0.0)))
            size = float(grown.max())
        else:
            square = float(before @ before)
            part = min(max(float(before @ now) / square, 0.0), 1.0) if square else 0.0
            size = float(np.linalg.norm(now - part * before))
        worst = max(worst, size / allowed)
    return worst


@pytest.mark.parametrize('joints', [False, True])
@pytest.mark.parametrize(('jitter', 'late'), [(0.0, 0.0), (0.3, 0.0), (0.9, 0.0), (0.0, 0.1),
                                              (0.3, 0.1)])
def test_uneven_ticks_keep_the_acceleration(joints: bool, jitter: float, late: float) -> None:
    """Pose and joint commands, early, late and much too late ones; even ticks use it up."""
    cartesian = ARM.limits.cartesian
    assert cartesian is not None
    limit = 2.0 if joints else cartesian.linear_acceleration
    for seed in range(2):
        commands = commanded(CommandGate(JOINTS if joints else ARM), joints, jitter, late, seed)
        worst = excess(commands, limit, joints)
        assert worst <= 1.001
    assert len(commands) > 300 and (jitter or late or worst > 0.95)


@pytest.mark.parametrize('joints', [False, True])
def test_the_check_finds_who_counts_the_last_gap_alone(
        joints: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: growth by the last gap, with the velocity that was asked for, is too fast."""
    step = Pace.step
    monkeypatch.setattr(pace.Pace, 'step', lambda self, now: Step(
        step(self, now).span, step(self, now).span, 1.0))
    cartesian = ARM.limits.cartesian
    assert cartesian is not None
    limit = 2.0 if joints else cartesian.linear_acceleration
    commands = commanded(CommandGate(JOINTS if joints else ARM), joints, 0.3, 0.1, 0)
    assert excess(commands, limit, joints) > 1.1


def test_a_step_has_the_time_between_the_middles_of_its_gaps() -> None:
    """The first has a period; a short gap after a long one, its own time; a long one, two."""
    one = Pace(0.1)
    assert one.step(50.0) == Step(0.1, 0.1, 1.0)
    one.commanded(50.0)
    assert one.step(50.0).span == 0.0
    early = one.step(50.06)
    assert (early.span, early.growing) == pytest.approx((0.06, 0.06))
    one.commanded(50.06)
    usual = one.step(50.16)
    assert (usual.span, usual.growing, usual.share) == pytest.approx((0.1, 0.08, 1.0))
    late = one.step(50.56)
    assert (late.span, late.growing, late.share) == pytest.approx((0.2, 0.2, 0.4))
    one.begin()
    assert one.step(99.0) == Step(0.1, 0.1, 1.0)


def test_a_late_command_is_remembered_as_slow_as_it_was() -> None:
    """Two periods of motion over five: the next velocity grows from two fifths."""
    fast = Commanded(Pose(np.zeros(3), np.array(UP)), np.array([0.5, 0.0, 0.0]), np.ones(3))
    seen = as_seen(fast, Step(0.2, 0.2, 0.4))
    np.testing.assert_allclose([seen.linear, seen.angular], [[0.2, 0.0, 0.0], [0.4] * 3])
    assert as_seen(fast, Step(0.1, 0.1, 1.0)) is fast
