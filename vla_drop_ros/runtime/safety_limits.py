# SPDX-License-Identifier: Apache-2.0
"""The last word on every command: box, jump, lead, speed, gripper. Each alteration is named."""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.robot_contract import Limits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import Target
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.types import FloatArray

CAUSES = ('step', 'lead', 'workspace', 'linear_velocity', 'angular_velocity', 'gripper_width')
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Limited:
    """A command that keeps every limit, and the causes, from ``CAUSES``, that altered it."""

    target: Target
    causes: tuple[str, ...]


class SafetyLimits:
    """Applies the limits of a robot contract to one target at a time; holds no state."""

    def __init__(self, limits: Limits) -> None:
        """Take the limits of a validated contract."""
        self._limits = limits
        self._low = np.array([low for low, _ in limits.workspace])
        self._high = np.array([high for _, high in limits.workspace])

    def apply(self, target: Target, previous: Pose, measured: Pose, dt: float) -> Limited:
        """Return the nearest command that keeps every limit.

        The speed limit is applied last, so that no correction is itself a jump: outside the box
        (where an operator may have left the arm) the command moves back in at the allowed speed.

        Args:
            target: what is wanted, finite.
            previous: the last command, or the measured pose before the first.
            measured: the newest measured pose.
            dt: seconds since the last command, >= 0.

        """
        causes: list[str] = []
        position = self._ball(target.pose.position, previous.position, self._limits.step,
                              'step', causes)
        position = self._ball(position, measured.position, self._limits.step, 'lead', causes)
        position = self._box(position, causes)
        position = self._ball(position, previous.position, self._limits.linear_velocity * dt,
                              'linear_velocity', causes)
        quaternion = self._turn(target.pose.quaternion, previous.quaternion, dt, causes)
        gripper = self._grip(target.gripper, causes)
        return Limited(Target(Pose(position, quaternion), gripper), tuple(causes))

    def inward(self, velocity: FloatArray, measured: FloatArray) -> FloatArray:
        """Return a velocity [m/s] without what would leave the box from the measured position."""
        leaves = ((measured >= self._high) & (velocity > 0)) | (
            (measured <= self._low) & (velocity < 0))
        return np.where(leaves, 0.0, velocity)

    def _box(self, position: FloatArray, causes: list[str]) -> FloatArray:
        clamped = np.clip(position, self._low, self._high)
        if np.abs(clamped - position).max() > TOLERANCE:
            causes.append('workspace')
        return clamped

    @staticmethod
    def _ball(position: FloatArray, centre: FloatArray, radius: float, cause: str,
              causes: list[str]) -> FloatArray:
        """Return the position moved towards the centre until it is within the radius."""
        distance = float(np.linalg.norm(position - centre))
        if distance <= radius + TOLERANCE:
            return position
        causes.append(cause)
        return centre + (position - centre) * (radius / distance)

    def _turn(self, wanted: FloatArray, previous: FloatArray, dt: float,
              causes: list[str]) -> FloatArray:
        angle = float(np.linalg.norm(rotation.between(previous, wanted)))
        allowed = self._limits.angular_velocity * dt
        if angle <= allowed + TOLERANCE:
            return wanted
        causes.append('angular_velocity')
        return rotation.turned(previous, wanted, allowed / angle)

    def _grip(self, width: float | None, causes: list[str]) -> float | None:
        if width is None or self._limits.gripper_width is None:
            return None
        low, high = self._limits.gripper_width
        clamped = min(max(width, low), high)
        if abs(clamped - width) > TOLERANCE:
            causes.append('gripper_width')
        return clamped
