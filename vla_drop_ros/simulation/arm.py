# SPDX-License-Identifier: Apache-2.0
"""Joint targets for a hand pose: differential inverse kinematics by mink, hand pointing down."""

import mink
import mujoco
import numpy as np

from vla_drop_ros.simulation.scene import HOME, scene_xml
from vla_drop_ros.types import FloatArray

SERVO_PERIOD = 0.02
SERVO_SPEED = 0.6    # largest speed of the commanded point, [m/s]
JOINT_SPEED = 3.0    # [rad/s]; useful motion needs 2.6, at the edge of reach the arm would whip
_DOWN = mink.SO3(np.array([0.0, 1.0, 0.0, 0.0]))


class ArmServo:
    """Follow a point in base_link [m] with the tool centre point, hand pointing down."""

    def __init__(self) -> None:
        """Build the arm alone; objects would only make the quadratic program larger."""
        self._model = mujoco.MjModel.from_xml_string(scene_xml(objects=False))
        self._configuration = mink.Configuration(self._model)
        self._hand = mink.FrameTask('tcp', 'site', position_cost=1.0, orientation_cost=0.3,
                                    lm_damping=1e-4)
        self._posture = mink.PostureTask(self._model, cost=1e-3)
        self._posture.set_target(np.concatenate([HOME, [0.04, 0.04]]))
        speeds = {self._model.joint(joint).name: JOINT_SPEED for joint in range(7)}
        self._limits = [mink.ConfigurationLimit(self._model),
                        mink.VelocityLimit(self._model, speeds)]
        self.point = np.zeros(3)
        self.solve(np.array([0.42, 0.0, 0.25]))

    @property
    def joints(self) -> FloatArray:
        """Return the seven joint targets, [rad]."""
        return np.array(self._configuration.q[:7])

    def solve(self, point: FloatArray, iterations: int = 40) -> FloatArray:
        """Return joint angles [rad] that put the tool centre point at ``point``, from home."""
        self._configuration.update(np.concatenate([HOME, [0.04, 0.04]]))
        self.point = np.array(point, dtype=float)
        for _ in range(iterations):
            self._iterate(0.2)
            if self._error() < 5e-4:
                break
        return self.joints

    def step(self, target: FloatArray) -> FloatArray:
        """Move the commanded point towards ``target`` for a servo period; return joints [rad]."""
        move = target - self.point
        distance = float(np.linalg.norm(move))
        reach = SERVO_SPEED * SERVO_PERIOD
        self.point = self.point + move * min(1.0, reach / max(distance, 1e-9))
        self._iterate(SERVO_PERIOD)
        return self.joints

    def _error(self) -> float:
        pose = self._configuration.get_transform_frame_to_world('tcp', 'site')
        return float(np.linalg.norm(pose.translation() - self.point))

    def _iterate(self, period: float) -> None:
        self._hand.set_target(mink.SE3.from_rotation_and_translation(_DOWN, self.point))
        velocity = mink.solve_ik(self._configuration, [self._hand, self._posture], period, 'daqp',
                                 damping=1e-6, limits=self._limits)
        self._configuration.integrate_inplace(velocity, period)
