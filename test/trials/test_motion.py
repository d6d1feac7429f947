# SPDX-License-Identifier: Apache-2.0
"""Path, speed and smoothness are those of the movement, whatever its size, speed and sampling."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad

from vla_drop_ros.trials.motion import (
    FAINT,
    HIGHEST,
    log_dimensionless_jerk,
    MotionTrack,
    spectral_arc_length,
)
from vla_drop_ros.types import FloatArray

TOWARDS = np.array([2.0, -1.0, 2.0]) / 3.0


def shape(share: FloatArray) -> FloatArray:
    """Return the minimum-jerk way at a share of its time, both 0..1."""
    x = np.clip(share, 0.0, 1.0)
    return x ** 3 * (10.0 - 15.0 * x + 6.0 * x ** 2)


def minimum_jerk(length: float, duration: float, period: float) -> tuple[FloatArray, FloatArray]:
    """Return speed [m/s] and jerk [m/s^3] of the minimum-jerk movement, from its derivatives."""
    x = np.arange(round(duration / period) + 1) * period / duration
    speed = 30.0 * (x ** 2 - 2.0 * x ** 3 + x ** 4) * length / duration
    jerk = (60.0 - 360.0 * x + 360.0 * x ** 2) * length / duration ** 3
    return speed, jerk[:, None] * TOWARDS


def recorded(duration: float, length: float = 0.3, rate: float = 50.0, before: float = 0.5,
             moves: int = 1, seed: int | None = None) -> MotionTrack:
    """Return what is measured of movements one after the other, with rest around them."""
    rng = np.random.default_rng(seed)
    track = MotionTrack()
    for stamp in np.arange(0.0, moves * duration + 2 * before, 1.0 / rate):
        if seed is not None:
            stamp += rng.uniform(-0.3, 0.3) / rate
        ways = [shape(np.array((stamp - before) / duration - move)) for move in range(moves)]
        track.add(10.0 + stamp, list(length / moves * float(sum(ways)) * TOWARDS + 0.4))
    return track


def arc_by_definition(duration: float) -> float:
    """Return the spectral arc length of a minimum-jerk speed by integrals, without any sampling.

    Its Fourier transform by quadrature at each frequency; the length of the curve by its chords.
    """
    def magnitude(frequency: float) -> float:
        def speed(time: float) -> float:
            x = time / duration
            return 30.0 * (x ** 2 - 2.0 * x ** 3 + x ** 4)

        omega = 2.0 * math.pi * frequency
        parts = [quad(speed, 0.0, duration, weight=kind, wvar=omega)[0] for kind in ('cos', 'sin')]
        return math.hypot(*parts)

    frequencies = np.linspace(0.0, HIGHEST, 501)
    curve = np.array([magnitude(one) for one in frequencies])
    curve /= curve[0]
    last = int(np.flatnonzero(curve >= FAINT)[-1])
    across = np.diff(frequencies[:last + 1] / frequencies[last])
    return -float(np.sqrt(across ** 2 + np.diff(curve[:last + 1]) ** 2).sum())


@pytest.mark.parametrize(('length', 'duration'), [(0.3, 2.0), (0.05, 2.0), (0.3, 0.9)])
def test_jerk_of_the_minimum_jerk_movement(length: float, duration: float) -> None:
    """Its squared jerk has the integral 720 L^2 / T^5, its speed the peak 15/8 L / T."""
    found = log_dimensionless_jerk(*minimum_jerk(length, duration, 0.001), 0.001)
    assert found == pytest.approx(-math.log(720.0 / (15.0 / 8.0) ** 2), abs=1e-4)


@pytest.mark.parametrize(('length', 'duration'), [(0.3, 2.0), (0.05, 2.0), (0.3, 0.9)])
def test_arc_length_of_the_minimum_jerk_movement(length: float, duration: float) -> None:
    """As by the definition, whatever its length and duration."""
    speed, _ = minimum_jerk(length, duration, 0.01)
    found = spectral_arc_length(speed, 0.01)
    assert found == pytest.approx(arc_by_definition(duration), abs=0.02)
    assert found == pytest.approx(spectral_arc_length(7.0 * speed, 0.01), abs=1e-12)
    assert found == pytest.approx(spectral_arc_length(speed, 0.03), abs=0.02), 'three times slower'


def test_a_recorded_movement() -> None:
    """Path, times and speeds in metres and seconds; rest before and after is not the movement."""
    found = recorded(2.0).to_dict(10.0)
    assert found['path'] == pytest.approx(0.3, abs=0.001)
    assert found['moved_after'] == pytest.approx(0.5, abs=0.25) and found['moved_after'] > 0.5
    assert 1.4 < found['duration'] < 2.0
    assert found['max_speed'] == pytest.approx(15.0 / 8.0 * 0.3 / 2.0, rel=0.02)
    assert found['mean_speed'] == pytest.approx(found['path'] / found['duration'], rel=1e-3)
    assert found['samples'] == 150 and found['longest_gap'] == pytest.approx(0.02)
    longer_rest = recorded(2.0, before=3.0).to_dict(10.0)
    assert longer_rest['sparc'] == pytest.approx(found['sparc'], abs=0.01)
    assert longer_rest['jerk'] == pytest.approx(found['jerk'], abs=0.02)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_stops_on_the_way_are_less_smooth() -> None:
    """By both measures, and the same at another rate, with uneven stamps."""
    one, three = (recorded(2.0, moves=moves).to_dict(10.0) for moves in (1, 3))
    assert three['sparc'] < one['sparc'] - 0.2 and three['jerk'] < one['jerk'] - 2.0
    other = recorded(2.0, moves=3, rate=120.0, seed=3).to_dict(10.0)
    for name in ('path', 'sparc', 'duration'):
        assert other[name] == pytest.approx(three[name], rel=0.05), name
    assert other['jerk'] == pytest.approx(three['jerk'], abs=0.4)


def test_noise_makes_no_path() -> None:
    """A tenth of a millimetre at 1 kHz would be metres of path: it is smoothed, and kept thin."""
    rng = np.random.default_rng(0)
    track = MotionTrack()
    for index in range(10_000):
        track.add(index / 1000.0, list(rng.normal(0.0, 1e-4, 3)))
    found = track.to_dict(0.0)
    assert found['samples'] <= 2500 and found['path'] < 0.05
    assert found['duration'] == 0.0 and not {'sparc', 'moved_after', 'mean_speed'} & set(found)


def test_what_cannot_be_used_is_left_out() -> None:
    """Repeated and older stamps, no numbers, no places; the rest is as without them."""
    clean, track = recorded(2.0), MotionTrack()
    for stamp, point in zip(clean._stamps, np.array(clean._points).reshape(-1, 3), strict=True):
        for when, where in ((stamp, point), (stamp, point + 1.0), (stamp - 0.5, point - 1.0),
                            (stamp + 0.01, point * math.nan), (math.nan, point),
                            (math.inf, point), (stamp + 0.01, point + 1e200)):
            track.add(when, list(where))
    assert track.to_dict(10.0) == clean.to_dict(10.0)


def test_a_gap_has_no_smoothness() -> None:
    """The way across it is known at least; how it was gone is not."""
    track = MotionTrack()
    whole = recorded(2.0)
    for stamp, point in zip(whole._stamps, np.array(whole._points).reshape(-1, 3), strict=True):
        if not 11.0 < stamp < 11.5:
            track.add(stamp, list(point))
    found = track.to_dict(10.0)
    assert found['path'] == pytest.approx(0.3, abs=0.001) and found['longest_gap'] > 0.49
    assert not {'sparc', 'jerk'} & set(found)


def test_hardly_anything_measured() -> None:
    """No position, one, two; and a clock that was set does not fill the memory."""
    track = MotionTrack()
    assert track.to_dict(0.0) == {}
    track.add(1.0, [0.0, 0.0, 0.0])
    assert track.to_dict(0.0) == {'samples': 1}
    track.add(1.05, [0.01, 0.0, 0.0])
    assert track.to_dict(0.0)['path'] == pytest.approx(0.01, abs=0.003)
    track.add(1.7e9, [0.01, 0.0, 0.0])
    assert track.to_dict(0.0) == {'samples': 3}
