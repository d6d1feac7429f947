# SPDX-License-Identifier: Apache-2.0
"""No command exceeds a limit, and every alteration is named."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.robot_contract import CartesianLimits, JointLimits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import Target
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.runtime.safety_limits import CartesianSafety, Commanded, JointSafety, Limited
from vla_drop_ros.types import FloatArray

LIMITS = CartesianLimits(((0.2, 0.8), (-0.5, 0.5), (0.0, 0.6)), linear_velocity=0.5,
                         angular_velocity=1.0, linear_acceleration=40.0,
                         angular_acceleration=40.0, step=0.06)
SAFETY = CartesianSafety(LIMITS, (0.0, 0.08))
HERE = Pose(np.array([0.5, 0.0, 0.3]), rotation.IDENTITY)


def at(x: float, y: float = 0.0, z: float = 0.3) -> Pose:
    """Return an unrotated pose."""
    return Pose(np.array([x, y, z]), rotation.IDENTITY)


def apply(pose: Pose, gripper: float | None = None, previous: Pose = HERE,
          measured: Pose = HERE, dt: float = 0.05) -> Limited:
    """Apply LIMITS."""
    return SAFETY.apply(Target(pose, gripper), Commanded.at_rest(previous), measured, dt)


def test_harmless_target_is_untouched() -> None:
    """Within all limits the command is the target, and nothing is reported."""
    limited = apply(at(0.51), 0.04)
    assert limited.causes == ()
    assert limited.command.pose.position == pytest.approx(at(0.51).position, abs=1e-12)
    assert limited.gripper == 0.04


def test_speed_is_bounded_by_distance_over_time() -> None:
    """The command moves towards the target at exactly the allowed speed."""
    limited = apply(at(0.55), dt=0.05)
    assert limited.causes == ('linear_velocity',)
    assert limited.command.pose.position == pytest.approx([0.525, 0.0, 0.3])


def test_no_time_no_motion() -> None:
    """Two ticks at the same instant do not move the command."""
    assert apply(at(0.55), dt=0.0).command.pose.position == pytest.approx(HERE.position)


def test_jump_is_named() -> None:
    """A target further than the step limit from the last command counts as a jump."""
    assert 'step' in apply(at(0.7)).causes


def test_lead_over_the_measured_pose_is_bounded() -> None:
    """When the arm is stuck the command does not run ahead of it."""
    limited = apply(at(0.57), previous=at(0.56), measured=HERE)
    assert limited.causes == ('lead',)
    assert limited.command.pose.position[0] == pytest.approx(0.56)


def test_workspace_is_a_wall() -> None:
    """A target behind the wall becomes its nearest point on the wall."""
    limited = apply(at(0.5, 0.0, -0.01), previous=at(0.5, 0.0, 0.005),
                    measured=at(0.5, 0.0, 0.005))
    assert limited.causes == ('workspace',)
    assert limited.command.pose.position == pytest.approx([0.5, 0.0, 0.0])


def test_arm_left_outside_the_box_comes_back_slowly() -> None:
    """From outside the command moves in at the allowed speed; correcting is no jump."""
    outside = at(0.9)
    limited = apply(at(0.9), previous=outside, measured=outside)
    assert limited.command.pose.position[0] == pytest.approx(0.875)
    assert 'workspace' in limited.causes


def test_turning_is_bounded() -> None:
    """The command turns towards the target at exactly the allowed rate."""
    wanted = Pose(HERE.position, rotation.from_vector(np.array([0.0, 0.0, 0.1])))
    limited = apply(wanted)
    assert limited.causes == ('angular_velocity',)
    assert rotation.to_vector(limited.command.pose.quaternion) == pytest.approx([0, 0, 0.05])


@pytest.mark.parametrize(('width', 'commanded'), [(-0.01, 0.0), (0.2, 0.08), (0.05, 0.05)])
def test_gripper_stays_in_range(width: float, commanded: float) -> None:
    """The width is clamped, and named when it was."""
    limited = apply(HERE, width)
    assert limited.gripper == commanded
    assert ('gripper_width' in limited.causes) == (width != commanded)


def test_random_targets_never_break_a_limit() -> None:
    """Whatever is asked, from anywhere inside: box, speed, acceleration hold for each command."""
    rng, calm = np.random.default_rng(1), CartesianSafety(
        replace(LIMITS, linear_acceleration=2.0, angular_acceleration=5.0), (0.0, 0.08))
    last, altered = Commanded.at_rest(HERE), 0
    for _ in range(4000):
        target = Target(Pose(rng.normal([0.5, 0.0, 0.3], 0.5), rotation.from_vector(
            rng.standard_normal(3))), float(rng.normal(0.04, 0.1)))
        measured = Pose(last.pose.position + rng.normal(0.0, 0.02, 3), last.pose.quaternion)
        dt = rng.uniform(0.001, 0.1)
        limited = calm.apply(target, last, measured, dt)
        command = limited.command
        move = command.pose.position - last.pose.position
        assert np.linalg.norm(move) <= 0.5 * dt + 2e-6
        assert move / dt == pytest.approx(command.linear, abs=1e-6)
        assert np.linalg.norm(rotation.between(
            last.pose.quaternion, command.pose.quaternion)) <= dt + 2e-6
        assert _inside(command.pose.position)
        assert np.linalg.norm(command.linear) <= (
            np.linalg.norm(last.linear) + 2.0 * dt + 1e-5)
        assert _turned_or_grown(command.linear, last.linear) <= 2.0 * dt + 1e-5
        assert limited.gripper is not None and 0.0 <= limited.gripper <= 0.08
        altered += 'linear_acceleration' in limited.causes
        last = command
    assert altered > 100


def _turned_or_grown(velocity: FloatArray, last: FloatArray) -> float:
    """Return the distance of a velocity from the nearest part of the last one, by search."""
    return float(min(np.linalg.norm(velocity - part * last) for part in np.linspace(0, 1, 400)))


def test_braking_is_free_and_starting_is_not() -> None:
    """From full speed the command may stand still at once; from rest it must grow."""
    slow = CartesianSafety(replace(LIMITS, linear_acceleration=1.0), None)
    fast = Commanded(HERE, np.array([0.5, 0.0, 0.0]), np.zeros(3))
    stopped = slow.apply(Target(HERE, None), fast, HERE, 0.05)
    assert stopped.causes == () and stopped.command.linear == pytest.approx(np.zeros(3))
    started = slow.apply(Target(at(0.52), None), Commanded.at_rest(HERE), HERE, 0.05)
    assert started.causes == ('linear_acceleration',)
    assert started.command.linear == pytest.approx([0.05, 0.0, 0.0])


def test_momentum_does_not_carry_the_command_through_the_wall() -> None:
    """Where box and acceleration cannot both be had by turning, the motion gets shorter."""
    slow = CartesianSafety(replace(LIMITS, linear_acceleration=0.5), None)
    edge = at(0.799)
    fast = Commanded(edge, np.array([0.35, 0.35, 0.0]), np.zeros(3))
    limited = slow.apply(Target(at(0.85, 0.03), None), fast, edge, 0.05)
    assert limited.command.pose.position[0] <= 0.8 + 1e-9
    assert 'workspace' in limited.causes


def test_orientation_does_not_run_ahead_of_the_arm() -> None:
    """The commanded orientation leads the measured one no longer than the position may."""
    last, causes = Commanded.at_rest(HERE), set()
    for _ in range(40):
        turned = rotation.multiply(rotation.from_vector(np.array([0, 0, 0.05])),
                                   last.pose.quaternion)
        limited = SAFETY.apply(Target(Pose(HERE.position, turned), None), last, HERE, 0.05)
        last = limited.command
        causes |= set(limited.causes)
    assert np.linalg.norm(rotation.to_vector(last.pose.quaternion)) <= 0.06 / 0.5 + 1e-6
    assert 'lead' in causes


def test_random_turns_lead_no_further_than_they_may() -> None:
    """Momentum and targets whose distance is about another axis do not add to the lead."""
    rng, allowed = np.random.default_rng(4), LIMITS.angular_velocity * LIMITS.step / 0.5
    calm = CartesianSafety(replace(LIMITS, angular_acceleration=1.0), None)
    last, measured, leads = Commanded.at_rest(HERE), HERE, [0.0]
    for offset in np.repeat(rng.normal(0.0, 0.3, (430, 3)), 7, axis=0):
        wanted = rotation.multiply(rotation.from_vector(offset), measured.quaternion)
        before = float(np.linalg.norm(
            rotation.between(measured.quaternion, last.pose.quaternion)))
        last = calm.apply(Target(Pose(HERE.position, wanted), None), last, measured,
                          rng.uniform(0.005, 0.1)).command
        leads.append(float(np.linalg.norm(
            rotation.between(measured.quaternion, last.pose.quaternion))))
        assert leads[-1] <= max(allowed, before) + 1e-5
        measured = Pose(HERE.position, rotation.turned(
            measured.quaternion, last.pose.quaternion, float(rng.uniform(0.0, 0.02))))
    assert max(leads) > 0.9 * allowed


JOINTS = (JointLimits((-1.0, 1.0), 1.0, 5.0, 0.1), JointLimits((0.0, 0.5), 0.2, 50.0, 0.1))


def test_random_joint_targets_never_break_a_limit() -> None:
    """Range, speed and growth of the speed of every joint hold for each command."""
    rng, safety = np.random.default_rng(2), JointSafety(JOINTS, None)
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 0.5])
    speed, growth = np.array([1.0, 0.2]), np.array([5.0, 50.0])
    last, seen = Commanded.at_rest(Pose(np.array([0.0, 0.2]), rotation.IDENTITY)), set()
    for _ in range(4000):
        target = Target(Pose(rng.normal(0.2, 1.0, 2), rotation.IDENTITY), None)
        measured = Pose(last.pose.position + rng.normal(0.0, 0.01, 2), rotation.IDENTITY)
        dt = rng.uniform(0.001, 0.1)
        limited = safety.apply(target, last, measured, dt)
        command = limited.command
        assert (command.pose.position >= low - 1e-9).all()
        assert (command.pose.position <= high + 1e-9).all()
        assert (np.abs(command.linear) <= speed + 1e-6).all()
        assert (np.abs(command.linear) <= np.abs(last.linear) + growth * dt + 1e-6).all()
        seen |= set(limited.causes)
        last = command
    assert seen >= {'step', 'joint_range', 'joint_velocity', 'joint_acceleration'}


def test_joints_slow_down_together() -> None:
    """When one joint is too fast the others wait for it, so that the path stays the same."""
    safety = JointSafety((replace(JOINTS[0], acceleration=1e3), JOINTS[1]), None)
    start = Pose(np.array([0.0, 0.2]), rotation.IDENTITY)
    wanted = Pose(np.array([0.08, 0.24]), rotation.IDENTITY)
    moved = safety.apply(Target(wanted, None), Commanded.at_rest(start), start, 0.05)
    assert moved.causes == ('joint_velocity',)
    assert moved.command.pose.position - start.position == pytest.approx([0.02, 0.01])


def _inside(position: FloatArray) -> bool:
    return all(low - 1e-6 <= value <= high + 1e-6
               for value, (low, high) in zip(position, LIMITS.workspace, strict=True))


def test_velocity_never_points_out_of_the_box() -> None:
    """A velocity robot at the wall may only move along it or back in."""
    velocity = SAFETY.inward(np.array([0.1, 0.1, -0.1]), np.array([0.8, 0.0, 0.0]), 0.1)
    assert velocity == pytest.approx([0.0, 0.1, 0.0])


def test_velocity_slows_before_the_wall() -> None:
    """What would be crossed before the next command takes effect is not even approached."""
    velocity = SAFETY.inward(np.array([0.5, 0.0, 0.0]), np.array([0.79, 0.0, 0.3]), 0.1)
    assert velocity == pytest.approx([0.1, 0.0, 0.0])
