# SPDX-License-Identifier: Apache-2.0
"""Quaternions agree with an independent implementation."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_drop_ros.runtime import rotation

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('scale', [0.0, 1e-10, 1e-3, 1.0, 3.1])
def test_vector_round_trip(scale: float) -> None:
    """A rotation vector up to half a turn survives the way to a quaternion and back."""
    axis = RNG.standard_normal(3)
    vector = axis / np.linalg.norm(axis) * scale
    assert rotation.to_vector(rotation.from_vector(vector)) == pytest.approx(vector, abs=1e-9)


def test_product_and_vector_agree_with_scipy() -> None:
    """Products and rotation vectors are those of scipy's Rotation."""
    for _ in range(20):
        left, right = (Rotation.random(random_state=RNG.integers(1 << 30)) for _ in range(2))
        product = rotation.multiply(left.as_quat(), right.as_quat())
        assert rotation.to_vector(product) == pytest.approx((left * right).as_rotvec(), abs=1e-9)


def test_turned_goes_the_short_way() -> None:
    """Half way between q and -q' (the same rotation as q') is half way to q'."""
    end = rotation.from_vector(np.array([0.0, 0.0, 0.4]))
    half = rotation.turned(rotation.IDENTITY, -end, 0.5)
    assert rotation.to_vector(half) == pytest.approx([0.0, 0.0, 0.2])


def test_no_direction_is_nan() -> None:
    """A zero quaternion, as an empty message has, does not pass for a rotation."""
    assert np.isnan(rotation.normalized(np.zeros(4))).all()
