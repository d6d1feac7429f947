# SPDX-License-Identifier: Apache-2.0
"""Unit quaternions in x y z w order, as ROS messages carry them."""

import numpy as np

from vla_drop_ros.types import FloatArray

IDENTITY: FloatArray = np.array([0.0, 0.0, 0.0, 1.0])


def normalized(quaternion: FloatArray) -> FloatArray:
    """Return the quaternion at unit length, shape (4,); NaN when it has no direction."""
    norm = float(np.linalg.norm(quaternion))
    return quaternion / norm if 1e-9 < norm < np.inf else np.full(4, np.nan)


def multiply(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the rotation that does ``right`` first, then ``left``, both in the fixed frame."""
    (a, b, c, w), (x, y, z, v) = left.tolist(), right.tolist()
    return np.array([w * x + v * a + (b * z - c * y), w * y + v * b + (c * x - a * z),
                     w * z + v * c + (a * y - b * x), w * v - left[:3] @ right[:3]])


def from_vector(vector: FloatArray) -> FloatArray:
    """Return the quaternion of a rotation vector [rad], shape (3,)."""
    angle = float(np.linalg.norm(vector))
    scale = 0.5 if angle < 1e-9 else np.sin(angle / 2) / angle
    return normalized(np.array([*vector * scale, np.cos(angle / 2)]))


def to_vector(quaternion: FloatArray) -> FloatArray:
    """Return the shortest rotation vector [rad], shape (3,)."""
    q = quaternion if quaternion[3] >= 0 else -quaternion
    sine = float(np.linalg.norm(q[:3]))
    scale = 2.0 if sine < 1e-9 else 2.0 * np.arctan2(sine, q[3]) / sine
    return np.asarray(q[:3] * scale, dtype=np.float64)


def between(start: FloatArray, end: FloatArray) -> FloatArray:
    """Return the shortest rotation vector [rad] in the fixed frame that turns start into end."""
    return to_vector(multiply(end, start * np.array([-1.0, -1.0, -1.0, 1.0])))


def turned(start: FloatArray, end: FloatArray, share: float) -> FloatArray:
    """Return the rotation ``share`` (0..1) of the way from start to end."""
    return multiply(from_vector(between(start, end) * share), start)
