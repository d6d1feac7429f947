# SPDX-License-Identifier: Apache-2.0
"""No command exceeds a limit, and every alteration is named."""

import numpy as np
import pytest

from vla_drop_ros.robot_contract import Limits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import Target
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.runtime.safety_limits import Limited, SafetyLimits
from vla_drop_ros.types import FloatArray

LIMITS = Limits(workspace=((0.2, 0.8), (-0.5, 0.5), (0.0, 0.6)), linear_velocity=0.5,
                angular_velocity=1.0, step=0.06, gripper_width=(0.0, 0.08))
HERE = Pose(np.array([0.5, 0.0, 0.3]), rotation.IDENTITY)


def at(x: float, y: float = 0.0, z: float = 0.3) -> Pose:
    """Return an unrotated pose."""
    return Pose(np.array([x, y, z]), rotation.IDENTITY)


def apply(pose: Pose, gripper: float | None = None, previous: Pose = HERE,
          measured: Pose = HERE, dt: float = 0.05) -> Limited:
    """Apply LIMITS."""
    return SafetyLimits(LIMITS).apply(Target(pose, gripper), previous, measured, dt)


def test_harmless_target_is_untouched() -> None:
    """Within all limits the command is the target, bit for bit, and nothing is reported."""
    limited = apply(at(0.51), 0.04)
    assert limited.causes == ()
    assert (limited.target.pose.position == at(0.51).position).all()
    assert limited.target.gripper == 0.04


def test_speed_is_bounded_by_distance_over_time() -> None:
    """The command moves towards the target at exactly the allowed speed."""
    limited = apply(at(0.55), dt=0.05)
    assert limited.causes == ('linear_velocity',)
    assert limited.target.pose.position == pytest.approx([0.525, 0.0, 0.3])


def test_no_time_no_motion() -> None:
    """Two ticks at the same instant do not move the command."""
    assert apply(at(0.55), dt=0.0).target.pose.position == pytest.approx(HERE.position)


def test_jump_is_named() -> None:
    """A target further than the step limit from the last command counts as a jump."""
    assert 'step' in apply(at(0.7)).causes


def test_lead_over_the_measured_pose_is_bounded() -> None:
    """When the arm is stuck the command does not run ahead of it."""
    limited = apply(at(0.57), previous=at(0.56), measured=HERE)
    assert limited.causes == ('lead',)
    assert limited.target.pose.position[0] == pytest.approx(0.56)


def test_workspace_is_a_wall() -> None:
    """A target behind the wall becomes its nearest point on the wall."""
    limited = apply(at(0.5, 0.0, -0.01), previous=at(0.5, 0.0, 0.005),
                    measured=at(0.5, 0.0, 0.005))
    assert limited.causes == ('workspace',)
    assert limited.target.pose.position == pytest.approx([0.5, 0.0, 0.0])


def test_arm_left_outside_the_box_comes_back_slowly() -> None:
    """From outside the command moves in at the allowed speed; correcting is no jump."""
    outside = at(0.9)
    limited = apply(at(0.9), previous=outside, measured=outside)
    assert limited.target.pose.position[0] == pytest.approx(0.875)
    assert 'workspace' in limited.causes


def test_turning_is_bounded() -> None:
    """The command turns towards the target at exactly the allowed rate."""
    wanted = Pose(HERE.position, rotation.from_vector(np.array([0.0, 0.0, 1.0])))
    limited = apply(wanted)
    assert limited.causes == ('angular_velocity',)
    assert rotation.to_vector(limited.target.pose.quaternion) == pytest.approx([0, 0, 0.05])


@pytest.mark.parametrize(('width', 'commanded'), [(-0.01, 0.0), (0.2, 0.08), (0.05, 0.05)])
def test_gripper_stays_in_range(width: float, commanded: float) -> None:
    """The width is clamped, and named when it was."""
    limited = apply(HERE, width)
    assert limited.target.gripper == commanded
    assert ('gripper_width' in limited.causes) == (width != commanded)


def test_random_targets_never_break_a_limit() -> None:
    """Whatever is asked, from anywhere inside, box and speed hold for every command."""
    rng = np.random.default_rng(1)
    limits = SafetyLimits(LIMITS)
    command = HERE
    for _ in range(2000):
        target = Target(Pose(rng.normal([0.5, 0.0, 0.3], 0.5), rotation.from_vector(
            rng.standard_normal(3))), float(rng.normal(0.04, 0.1)))
        measured = Pose(command.position + rng.normal(0.0, 0.02, 3), command.quaternion)
        dt = rng.uniform(0.0, 0.1)
        limited = limits.apply(target, command, measured, dt).target
        assert np.linalg.norm(limited.pose.position - command.position) <= 0.5 * dt + 2e-6
        assert np.linalg.norm(rotation.between(
            command.quaternion, limited.pose.quaternion)) <= dt + 2e-6
        assert _inside(limited.pose.position)
        assert limited.gripper is not None and 0.0 <= limited.gripper <= 0.08
        command = limited.pose


def _inside(position: FloatArray) -> bool:
    return all(low - 1e-6 <= value <= high + 1e-6
               for value, (low, high) in zip(position, LIMITS.workspace, strict=True))


def test_velocity_never_points_out_of_the_box() -> None:
    """A velocity robot at the wall may only move along it or back in."""
    velocity = SafetyLimits(LIMITS).inward(np.array([0.1, 0.1, -0.1]), np.array([0.8, 0.0, 0.0]))
    assert velocity == pytest.approx([0.0, 0.1, 0.0])
