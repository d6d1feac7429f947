# SPDX-License-Identifier: Apache-2.0
"""Growth of a velocity: twice too much is more than allowed, what is at the limit is not."""

import numpy as np
import pytest

from bench.drill.motion import allowed_growth, growth, Motion, rotation_vector
from vla_drop_ros.types import FloatArray

LIMIT = 10.0  # [m/s^2]


def motion(x: float, y: float = 0.0, gap: float = 0.05) -> Motion:
    """Return a motion in the plane."""
    return Motion(gap, np.array([x, y, 0.0]))


@pytest.mark.parametrize(('now', 'before', 'grown'), [
    (motion(0.3), motion(0.0), 0.3), (motion(0.5), motion(0.3), 0.2),
    (motion(0.1), motion(0.3), 0.0), (motion(0.0), motion(0.3), 0.0),
    (motion(-0.2), motion(0.3), 0.2), (motion(0.0, 0.3), motion(0.3), 0.3),
    (motion(0.3, 0.3), motion(0.3), 0.3)])
def test_growth_is_measured_from_the_nearest_part_of_the_velocity_before(
        now: Motion, before: Motion, grown: float) -> None:
    """Faster, across and back count; slower and a stop do not."""
    assert growth(now, before) == pytest.approx(grown)


@pytest.mark.parametrize(('before', 'now'), [(0.05, 0.05), (0.02, 0.08), (0.08, 0.02)])
def test_the_time_of_a_growth_is_the_mean_of_both_gaps(before: float, now: float) -> None:
    """Points of a motion that really accelerates at the limit are at the limit, at any gaps."""
    stamps = np.array([0.0, before, before + now])
    places = LIMIT * stamps ** 2 / 2.0
    speeds = np.diff(places) / np.diff(stamps)
    first, second = motion(speeds[0], gap=before), motion(speeds[1], gap=now)
    grown = growth(second, first)
    assert grown <= allowed_growth(LIMIT, second, first)
    assert grown > allowed_growth(0.99 * LIMIT, second, first)


def test_what_is_unknown_of_a_velocity_is_small_and_grows_as_the_gap_shrinks() -> None:
    """At 20 Hz less than a thousandth of the limit, and no more than the numbers really err."""
    def excess(gap: float) -> float:
        one = motion(0.6, gap=gap)
        return allowed_growth(LIMIT, one, one) / (LIMIT * gap) - 1.0

    assert 0.0 < excess(0.05) < 1e-3
    assert excess(0.002) > excess(0.05)


def test_positions_and_times_of_a_long_unix_time_stay_within_what_is_unknown() -> None:
    """At the limit of the acceleration, rounded as messages round it, nothing is found."""
    random, gap = np.random.default_rng(0), 0.02
    for start in 1.7e9 + random.uniform(0.0, 1e6, 200):
        exact = np.arange(3) * gap
        stamps = [round((start + time) * 1e9) * 1e-9 for time in exact]
        places = LIMIT * exact ** 2 / 2.0
        two = [motion((places[i + 1] - places[i]) / (stamps[i + 1] - stamps[i]),
                      gap=stamps[i + 1] - stamps[i]) for i in range(2)]
        assert growth(two[1], two[0]) <= allowed_growth(LIMIT, two[1], two[0])


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('angle', [0.0, 1e-4, 1.0, 3.1])
def test_a_turn_is_the_shortest_one_about_the_axis_of_the_frame(angle: float, sign: float) -> None:
    """From any orientation, and whichever of its two quaternions is sent."""
    before = np.array([0.5, 0.5, -0.5, 0.5])
    assert rotation_vector(before, sign * multiplied(
        np.array([0.0, np.sin(angle / 2), 0.0, np.cos(angle / 2)]), before)) == pytest.approx(
            np.array([0.0, angle, 0.0]), abs=1e-12)


def multiplied(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the product of two quaternions as a matrix times a vector."""
    x, y, z, w = left
    return np.array([[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]]) @ right
