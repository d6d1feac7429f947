# SPDX-License-Identifier: Apache-2.0
"""The servo: where it is told to be, how fast it gets there, and what it never exceeds."""

from itertools import product

import numpy as np
import pytest

from vla_drop_ros.simulation.arm import ArmServo, SERVO_PERIOD, SERVO_SPEED
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.simulation.scene import JOINT_LIMITS, MAX_WIDTH


@pytest.fixture(scope='module')
def servo() -> ArmServo:
    """Return one servo for all tests; each solves anew."""
    return ArmServo()


def test_the_hand_is_where_it_is_told_across_the_workspace() -> None:
    """Over table and bins, low and high, the error is below 1 mm and the hand points down."""
    cell = PickPlaceEnvironment()
    for point in product(np.linspace(0.29, 0.65, 4), np.linspace(-0.28, 0.28, 5),
                         (0.02, 0.12, 0.30)):
        wanted = np.array(point)
        cell.place_arm(cell.solve(wanted), MAX_WIDTH, wanted)
        assert np.linalg.norm(cell.ee_position - wanted) < 1e-3, point
        # A half turn about x; the cosine of half the angle from it is |qx|.
        assert 2 * np.arccos(min(1.0, abs(cell.ee_quaternion[0]))) < np.radians(1), point


def test_joints_stay_inside_their_limits(servo: ArmServo) -> None:
    """Chasing a point far out of reach never leaves the joint limits."""
    low, high = np.array(JOINT_LIMITS).T
    for corner in ([2.0, 2.0, 2.0], [-1.0, 0.0, 0.1], [0.1, 0.0, -0.5]):
        servo.solve(np.array([0.45, 0.0, 0.2]))
        for _ in range(100):
            joints = servo.step(np.array(corner))
            assert (joints >= low - 1e-6).all() and (joints <= high + 1e-6).all()


def test_the_commanded_point_keeps_to_the_speed(servo: ArmServo) -> None:
    """However far the target jumps, one servo period moves the point by speed times period."""
    start = np.array([0.45, 0.0, 0.2])
    servo.solve(start)
    servo.step(start + [0.0, 0.3, 0.0])
    assert np.linalg.norm(servo.point - start) == pytest.approx(SERVO_SPEED * SERVO_PERIOD)
    servo.step(servo.point + [0.0, 0.001, 0.0])
    assert servo.point[1] == pytest.approx(SERVO_SPEED * SERVO_PERIOD + 0.001)


def test_solutions_do_not_depend_on_what_was_before(servo: ArmServo) -> None:
    """Solving starts from home every time: the same point gives the same joints, bit for bit."""
    point = np.array([0.5, -0.1, 0.1])
    first = servo.solve(point)
    servo.solve(np.array([0.35, 0.25, 0.3]))
    np.testing.assert_array_equal(first, servo.solve(point))
