# SPDX-License-Identifier: Apache-2.0
"""The last word on every command: box, jump, lead, speed, acceleration, gripper; each is named.

A position limit may ask for a stop at any time, an acceleration limit forbids it; so the
acceleration limit here bounds how fast a velocity may grow or turn, and braking is free. The
velocities that it allows contain every shorter one, so that whatever else has to give way is kept
by shortening the motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_drop_ros.robot_contract import CartesianLimits, JointLimits, Limits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import Target
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.types import FloatArray

CAUSES = ('step', 'lead', 'workspace', 'joint_range', 'linear_velocity', 'angular_velocity',
          'joint_velocity', 'linear_acceleration', 'angular_acceleration', 'joint_acceleration',
          'gripper_width')
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Commanded:
    """The last command.

    Attributes:
        pose: commanded pose, or joint positions.
        linear: its velocity, [m/s] shape (3,), or of the joints [rad/s] shape (n,).
        angular: [rad/s], shape (3,).

    """

    pose: Pose
    linear: FloatArray
    angular: FloatArray

    @classmethod
    def at_rest(cls, pose: Pose) -> 'Commanded':
        """Return a command that stands still."""
        return cls(pose, np.zeros(len(pose.position)), np.zeros(3))


@dataclass(frozen=True, slots=True)
class Limited:
    """A command that keeps every limit, and the causes, from ``CAUSES``, that altered it."""

    command: Commanded
    gripper: float | None
    causes: tuple[str, ...]


class SafetyLimits(Protocol):
    """Applies the limits of a robot contract to one target at a time; holds no state."""

    def apply(self, target: Target, last: Commanded, measured: Pose, dt: float,
              ease: float = 1.0, growing: float | None = None) -> Limited:
        """Return the nearest command that keeps every limit.

        Args:
            target: what is wanted, finite.
            last: the last command, or the measured pose at rest before the first.
            measured: the newest measured pose.
            dt: seconds since the last command, >= 0.
            ease: share of the speed limit that is allowed now, > 0, <= 1.
            growing: seconds for which the velocity may have grown, > 0; None: ``dt``.

        """

    def inward(self, velocity: FloatArray, measured: FloatArray, horizon: float) -> FloatArray:
        """Return a velocity without what would leave the box.

        Args:
            velocity: of the command.
            measured: newest measured position.
            horizon: how old the measurement will be when the next command takes its place, [s].

        """


class CartesianSafety:
    """Limits of a robot that is commanded in poses."""

    def __init__(self, limits: CartesianLimits, gripper_width: tuple[float, float] | None) -> None:
        """Take the limits of a validated contract."""
        self._limits = limits
        self._gripper_width = gripper_width
        self._low = np.array([low for low, _ in limits.workspace])
        self._high = np.array([high for _, high in limits.workspace])
        # the orientation may lead the measured one for as long as the position may
        self._lead_angle = limits.angular_velocity * limits.step / limits.linear_velocity

    def apply(self, target: Target, last: Commanded, measured: Pose, dt: float,
              ease: float = 1.0, growing: float | None = None) -> Limited:
        """Return the nearest command that keeps every limit (``SafetyLimits.apply``)."""
        causes: list[str] = []
        gripper = _grip(target.gripper, self._gripper_width, causes)
        if dt <= 0:
            return Limited(Commanded.at_rest(last.pose), gripper, tuple(causes))
        time = dt, dt if growing is None else growing, ease
        linear = self._move(target.pose.position, last, measured.position, time, causes)
        angular = self._turn(target.pose.quaternion, last, measured.quaternion, time, causes)
        quaternion = last.pose.quaternion
        if angular.any():
            quaternion = rotation.multiply(rotation.from_vector(angular * dt), quaternion)
        pose = Pose(last.pose.position + linear * dt, quaternion)
        return Limited(Commanded(pose, linear, angular), gripper, tuple(dict.fromkeys(causes)))

    def inward(self, velocity: FloatArray, measured: FloatArray, horizon: float) -> FloatArray:
        """Return a velocity [m/s] without what would leave the box within ``horizon`` [s]."""
        return _inward(velocity, measured, self._low, self._high, horizon)

    def _move(self, wanted: FloatArray, last: Commanded, measured: FloatArray,
              time: tuple[float, float, float], causes: list[str]) -> FloatArray:
        """Return the velocity of the next command, [m/s]."""
        limits, start, (dt, growing, ease) = self._limits, last.pose.position, time
        wanted = start + _shortened(wanted - start, limits.step, 'step', causes)
        wanted = measured + _shortened(wanted - measured, limits.step, 'lead', causes)
        inside = np.clip(wanted, self._low, self._high)
        if np.abs(inside - wanted).max() > TOLERANCE:
            causes.append('workspace')
        velocity = _shortened((inside - start) / dt, ease * limits.linear_velocity,
                              'linear_velocity', causes)
        velocity = _grown(velocity, last.linear, limits.linear_acceleration * growing,
                          'linear_acceleration', causes)
        return velocity * self._share(start, velocity * dt, measured, causes)

    def _share(self, start: FloatArray, move: FloatArray, measured: FloatArray,
               causes: list[str]) -> float:
        """Return how much of a move keeps box and lead, 0..1; what is violated may not grow."""
        room = np.where(move > 0, np.maximum(self._high - start, 0.0),
                        np.minimum(self._low - start, 0.0))
        moving = np.abs(move) > 1e-12
        box = float(np.min(room[moving] / move[moving])) if moving.any() else 1.0
        lead = _within(start - measured, move, self._limits.step)
        if box < 1.0 - TOLERANCE:
            causes.append('workspace')
        if lead < 1.0 - TOLERANCE:
            causes.append('lead')
        return max(0.0, min(1.0, box, lead))

    def _turn(self, wanted: FloatArray, last: Commanded, measured: FloatArray,
              time: tuple[float, float, float], causes: list[str]) -> FloatArray:
        """Return the rotation rate of the next command, [rad/s]."""
        limits, (dt, growing, ease) = self._limits, time
        lead = rotation.between(measured, wanted)
        kept = _shortened(lead, self._lead_angle, 'lead', causes)
        if kept is not lead:
            wanted = rotation.multiply(rotation.from_vector(kept), measured)
        rate = _shortened(rotation.between(last.pose.quaternion, wanted) / dt,
                          ease * limits.angular_velocity, 'angular_velocity', causes)
        rate = _grown(rate, last.angular, limits.angular_acceleration * growing,
                      'angular_acceleration', causes)
        return rate * self._turn_share(last.pose.quaternion, rate * dt, measured, causes)

    def _turn_share(self, start: FloatArray, turn: FloatArray, measured: FloatArray,
                    causes: list[str]) -> float:
        """Return how much of a turn keeps the lead, 0..1; what is violated may not grow.

        The angle to a fixed orientation is convex along a turn, below half a turn: its chord is
        above it. Beyond it nothing turns.
        """
        before = float(np.linalg.norm(rotation.between(measured, start)))
        limit = max(self._lead_angle, before)
        end = rotation.multiply(rotation.from_vector(turn), start)
        after = float(np.linalg.norm(rotation.between(measured, end)))
        if after <= limit + TOLERANCE:
            return 1.0
        causes.append('lead')
        share = (limit - before) / (after - before)
        end = rotation.multiply(rotation.from_vector(share * turn), start)
        kept = np.linalg.norm(rotation.between(measured, end)) <= limit + TOLERANCE
        return share if kept else 0.0


class JointSafety:
    """Limits of a robot that is commanded in joints."""

    def __init__(self, joints: Sequence[JointLimits],
                 gripper_width: tuple[float, float] | None) -> None:
        """Take the limits of the commanded joints, in the order of the commands."""
        self._low = np.array([joint.position[0] for joint in joints])
        self._high = np.array([joint.position[1] for joint in joints])
        self._velocity = np.array([joint.velocity for joint in joints])
        self._acceleration = np.array([joint.acceleration for joint in joints])
        self._step = np.array([joint.step for joint in joints])
        self._gripper_width = gripper_width

    def apply(self, target: Target, last: Commanded, measured: Pose, dt: float,
              ease: float = 1.0, growing: float | None = None) -> Limited:
        """Return the nearest command that keeps every limit (``SafetyLimits.apply``)."""
        causes: list[str] = []
        gripper = _grip(target.gripper, self._gripper_width, causes)
        if dt <= 0:
            return Limited(Commanded.at_rest(last.pose), gripper, tuple(causes))
        start, here = last.pose.position, measured.position
        wanted = _clipped(target.pose.position, start - self._step, start + self._step, 'step',
                          causes)
        wanted = _clipped(wanted, here - self._step, here + self._step, 'lead', causes)
        wanted = _clipped(wanted, self._low, self._high, 'joint_range', causes)
        velocity = (wanted - start) / dt
        excess = float(np.max(np.abs(velocity) / (ease * self._velocity)))
        if excess > 1.0 + TOLERANCE:  # all joints slow down together: the path stays
            causes.append('joint_velocity')
            velocity = velocity / excess
        change = self._acceleration * (dt if growing is None else growing)
        velocity = _clipped(velocity, np.minimum(last.linear, 0.0) - change,
                            np.maximum(last.linear, 0.0) + change, 'joint_acceleration', causes)
        position = _clipped(
            start + velocity * dt,
            np.minimum(start, np.maximum(self._low, here - self._step)),
            np.maximum(start, np.minimum(self._high, here + self._step)), 'joint_range', causes)
        command = Commanded(Pose(position, last.pose.quaternion), (position - start) / dt,
                            np.zeros(3))
        return Limited(command, gripper, tuple(dict.fromkeys(causes)))

    def inward(self, velocity: FloatArray, measured: FloatArray, horizon: float) -> FloatArray:
        """Return a velocity without what would leave the range within ``horizon`` [s]."""
        return _inward(velocity, measured, self._low, self._high, horizon)


def safety_limits(limits: Limits) -> SafetyLimits:
    """Return what applies the limits of a contract."""
    if limits.cartesian is not None:
        return CartesianSafety(limits.cartesian, limits.gripper_width)
    return JointSafety(tuple(limits.joints.values()), limits.gripper_width)


def _inward(velocity: FloatArray, measured: FloatArray, low: FloatArray, high: FloatArray,
            horizon: float) -> FloatArray:
    return np.clip(velocity, np.minimum(0.0, (low - measured) / horizon),
                   np.maximum(0.0, (high - measured) / horizon))


def _shortened(vector: FloatArray, length: float, cause: str, causes: list[str]) -> FloatArray:
    """Return the vector, made shorter where it is longer than ``length``."""
    norm = float(np.linalg.norm(vector))
    length = max(length, 0.0)
    if norm <= length + TOLERANCE:
        return vector
    causes.append(cause)
    return vector * (length / norm)


def _clipped(values: FloatArray, low: FloatArray, high: FloatArray, cause: str,
             causes: list[str]) -> FloatArray:
    inside = np.clip(values, low, high)
    if np.abs(inside - values).max() > TOLERANCE:
        causes.append(cause)
    return inside


def _grown(velocity: FloatArray, last: FloatArray, change: float, cause: str,
           causes: list[str]) -> FloatArray:
    """Return the nearest velocity at most ``change`` away from ``last`` or from a part of it."""
    square = float(last @ last)
    part = float(np.clip(velocity @ last / square, 0.0, 1.0)) * last if square > 0 else last * 0.0
    grown = velocity - part
    excess = float(np.linalg.norm(grown))
    if excess <= change + TOLERANCE:
        return velocity
    causes.append(cause)
    return part + grown * (change / excess)


def _within(offset: FloatArray, move: FloatArray, radius: float) -> float:
    """Return the largest share of a move that stays within the radius, or does not leave it more.

    Solves |offset + s move| = max(radius, |offset|) for s >= 0.
    """
    square = float(move @ move)
    if square < 1e-24:
        return 1.0
    limit = max(radius, float(np.linalg.norm(offset)))
    half = float(offset @ move) / square
    rest = (float(offset @ offset) - limit * limit) / square
    return float(-half + np.sqrt(max(0.0, half * half - rest)))


def _grip(width: float | None, allowed: tuple[float, float] | None,
          causes: list[str]) -> float | None:
    if width is None or allowed is None:
        return None
    clamped = min(max(width, allowed[0]), allowed[1])
    if abs(clamped - width) > TOLERANCE:
        causes.append('gripper_width')
    return clamped
