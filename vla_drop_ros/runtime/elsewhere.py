# SPDX-License-Identifier: Apache-2.0
"""Whether an arm that is to be held was moved by something else: by hand, or by gravity."""

import numpy as np

from vla_drop_ros.robot_contract import Limits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.pose import Pose

CONFIRMATIONS = 3
"""Measured poses in a row that must agree: one may be an outlier, and drivers do send zeros."""


class Elsewhere:
    """Tells a moved arm from a wrong measurement."""

    def __init__(self, limits: Limits) -> None:
        """Take the limits of a validated contract: as far as a command may lead is no move."""
        self._limits = limits
        self._last: tuple[float, Pose] | None = None
        self._count = 0

    def is_far(self, hold: Pose, measured: Pose) -> bool:
        """Say whether a pose is further from the held one than a command may lead the arm."""
        offset = np.abs(measured.position - hold.position)
        cartesian = self._limits.cartesian
        if cartesian is None:
            return bool((offset > [joint.step for joint in self._limits.joints.values()]).any())
        angle = cartesian.angular_velocity * cartesian.step / cartesian.linear_velocity
        return bool(np.linalg.norm(offset) > cartesian.step or np.linalg.norm(
            rotation.between(hold.quaternion, measured.quaternion)) > angle)

    def confirms(self, hold: Pose, measured: Pose, stamp: float) -> bool:
        """Take a measurement; say whether enough in a row agree that the arm is elsewhere."""
        if not self.is_far(hold, measured):
            self._last, self._count = None, 0
            return False
        if self._last is not None and stamp == self._last[0]:
            return False
        agrees = self._last is not None and not self.is_far(self._last[1], measured)
        self._last, self._count = (stamp, measured), self._count + 1 if agrees else 1
        if self._count < CONFIRMATIONS:
            return False
        self._last, self._count = None, 0
        return True
