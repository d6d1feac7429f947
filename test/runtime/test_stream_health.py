# SPDX-License-Identifier: Apache-2.0
"""What header stamps and bytes tell of a stream: losses despite jitter, and cameras that froze."""

from array import array

import numpy as np
import pytest

from vla_drop_ros.runtime.stream_health import (
    CameraWatch,
    FROZEN_FRAMES,
    FROZEN_TRAVEL,
    GAPS_NEEDED,
    grid_of,
    LastBytes,
    LOSS_LIMIT,
    StreamHealth,
)
from vla_drop_ros.types import FloatArray

PERIOD = 1.0 / 30.0
START = 1000.0


def stamps(count: int, jitter: float, seed: int, period: float = PERIOD) -> FloatArray:
    """Return stamps off their places by at most ``jitter`` periods, at a rate a little off."""
    random = np.random.default_rng(seed)
    return START + period * (1.0003 * np.arange(count) + random.uniform(-jitter, jitter, count))


def heard(times: FloatArray) -> StreamHealth:
    """Return what is known of a stream after these stamps."""
    health = StreamHealth()
    for stamp in times:
        health.add(float(stamp))
    return health


def at(x: float) -> FloatArray:
    """Return a place of the end effector."""
    return np.array([x, 0.0, 0.3])


def watched(frames: int, way: float, period: float = 0.1, changed: bool = True,
            noisy: bool = False) -> CameraWatch:
    """Return the watch of a camera whose picture stays while the robot goes ``way`` metres."""
    watch, speed = CameraWatch(), way / ((frames - 1) * period)
    if changed:
        watch.add(START - period, '8x6 rgb8', False)
    for number in range(frames):
        watch.add(START + number * period, '8x6 rgb8', number > 0 and not noisy)
        watch.follow(lambda stamp: at(speed * (stamp - START)))
    return watch


@pytest.mark.parametrize('jitter', [0.0, 0.1, 0.2])
@pytest.mark.parametrize('share', [0.0, 0.02, 0.3, 0.5])
def test_losses_are_counted_exactly_despite_jitter(jitter: float, share: float) -> None:
    """Up to a fifth of a period of jitter and half of the messages lost, not one is miscounted."""
    for seed in range(10):
        times = stamps(600, jitter, seed)
        kept = np.random.default_rng(seed + 100).random(600) >= share
        kept[-1] = True
        learned = np.flatnonzero(kept)[GAPS_NEEDED]
        health = heard(times[kept])
        assert health.lost == 599 - learned - (kept.sum() - GAPS_NEEDED - 1)
        assert health.period == pytest.approx(PERIOD, rel=0.03)


@pytest.mark.parametrize('share', [0.0, 0.2, 0.35, 0.5])
def test_the_share_lost_lately_is_known_and_forgotten(share: float) -> None:
    """At any time it is near the true one, 0 without loss, and 0 again some seconds after it."""
    for seed in range(5):
        times, health, shares = stamps(1200, 0.15, seed), StreamHealth(), []
        kept = np.random.default_rng(seed + 100).random(1200) >= share
        kept[600:] = True
        for stamp in times[kept]:
            health.add(float(stamp))
            shares.append(health.share_lost(float(stamp)))
        lossy = shares[90:int(kept[:600].sum())]
        assert not any(shares) if not share else min(lossy) > LOSS_LIMIT
        assert np.mean(lossy) == pytest.approx(share, abs=0.1)
        assert shares[-1] == 0.0 and health.share_lost(times[-1] + 60.0) == 0.0


def test_a_new_rate_is_learned() -> None:
    """A camera that halves its rate in the dark does not lose frames for ever."""
    bright, dark = stamps(60, 0.05, 0), stamps(300, 0.05, 1, 2 * PERIOD)
    health = heard(np.concatenate([bright, dark + bright[-1] - dark[0] + 2 * PERIOD]))
    assert health.period == pytest.approx(2 * PERIOD, rel=0.03) and 0 < health.lost < 40
    assert health.rate(health.newest or 0.0) == pytest.approx(15.0, rel=0.03)


@pytest.mark.parametrize('off', np.linspace(0.0, 0.9, 10))
def test_a_long_gap_is_counted_once(off: float) -> None:
    """A camera that was away for ten seconds has lost the frames of these, and no more."""
    for seed in range(5):
        before, after = stamps(100, 0.1, seed), stamps(200, 0.2, seed + 50)
        after += before[-1] + 10.0 + off * PERIOD - after[0]
        assert heard(np.concatenate([before, after])).lost == pytest.approx(299.5, abs=3)


def test_a_rate_that_drifts_is_followed() -> None:
    """A camera that slowly goes from 30 to 24 Hz loses nothing on the way."""
    periods = np.linspace(PERIOD, 1.25 * PERIOD, 600)
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, 600) * periods
    health = heard(START + np.cumsum(periods) + jitter)
    assert health.lost == 0 and health.period == pytest.approx(1.25 * PERIOD, rel=0.05)


@pytest.mark.parametrize('off', [-0.9, -0.7, -0.3, 0.3, 0.7, 0.9])
def test_one_frame_out_of_place_is_no_loss(off: float) -> None:
    """A frame that comes late or early, and the next on time, leaves the count alone."""
    times = stamps(100, 0.0, 0)
    times[50] += off * PERIOD
    assert heard(times).lost == 0


def test_the_grid_is_found() -> None:
    """The period and the place in it come out of a few gaps, some of them twice as long."""
    period, off = grid_of([0.1, 0.1, 0.2, 0.1, 0.1, 0.3, 0.1, 0.13])
    assert period == pytest.approx(0.1, rel=0.03) and off == pytest.approx(0.025, abs=0.015)


def test_odd_stamps_are_counted() -> None:
    """Repeated, older and missing stamps have a count each, and none is a frame lost."""
    health = heard(stamps(50, 0.0, 0))
    newest = health.newest or 0.0
    seen = []
    for stamp in (newest, newest, newest - 0.2, 0.0, newest + PERIOD):
        health.add(stamp)
        seen.append((health.newest == newest, health.is_zero, health.repeats))
    assert seen == [(True, False, 1), (True, False, 2), (True, False, 2), (True, True, 2),
                    (False, False, 0)]
    assert (health.repeated, health.backward, health.zero, health.lost) == (2, 1, 1, 0)


def test_a_clock_set_back_starts_anew() -> None:
    """After a simulator was restarted, the stamps before count no more."""
    health = heard(stamps(100, 0.0, 0))
    set_back = []
    for number in range(100):
        health.add(5.0 + number * PERIOD)
        set_back.append(health.is_set_back)
    assert set_back == [True] + 99 * [False]
    assert health.newest == pytest.approx(5.0 + 99 * PERIOD)
    assert health.lost == 0 and health.backward == 1


def test_values_are_for_reading() -> None:
    """Rate, age and counts come under the name of the stream; a stream in silence has rate 0."""
    health = heard(stamps(100, 0.0, 0))
    newest = health.newest or 0.0
    values = health.values('front', newest + 0.02, latency=0.03)
    assert values == {'front rate [Hz]': '30.0', 'front age [ms]': '50', 'front lost': '0',
                      'front repeated stamps': '0', 'front backward stamps': '0',
                      'front zero stamps': '0'}
    assert health.values('front', newest + 60.0)['front rate [Hz]'] == '0.0'
    assert health.values('front', newest - 0.5)['front age [ms]'] == '-500'
    silent = StreamHealth().values('joints', START)
    assert silent['joints rate [Hz]'] == '0.0' and silent['joints age [ms]'] == ''


@pytest.mark.parametrize('size', [0, 1, 7, 4096, 921_600, 921_601])
def test_equal_bytes_are_told_from_any_other(size: int) -> None:
    """One bit anywhere makes two buffers different, and their type does not."""
    random = np.random.default_rng(size)
    data, last = random.integers(0, 256, size, dtype=np.uint8), LastBytes()
    assert not last.same(data)
    assert last.same(data.copy()) and last.same(array('B', data.tobytes()))
    for place in {0, size // 3, size - 1} if size else set():
        other = data.copy()
        other[place] ^= 1
        assert not last.same(other) and not last.same(data.tobytes())
    assert last.same(data.tobytes()) and not last.same(bytes(size + 1))


def test_a_noisy_camera_is_never_frozen() -> None:
    """However far the robot gets, a camera whose bytes change is alive."""
    assert not watched(500, 10.0, noisy=True).is_frozen(0.5, FROZEN_TRAVEL, True)


def test_a_scene_that_stands_still_is_not_frozen() -> None:
    """Hours of the same simulated picture are fine while the robot stands still as well."""
    assert not watched(3000, 0.01).is_frozen(0.5, FROZEN_TRAVEL, True)


def test_a_picture_that_ignores_motion_is_frozen() -> None:
    """The same bytes for longer than max_age, over several images, while the robot went away."""
    assert watched(20, 0.2).is_frozen(0.5, FROZEN_TRAVEL, False)
    assert not watched(20, 0.09).is_frozen(0.5, FROZEN_TRAVEL, False)
    assert not watched(20, 0.2).is_frozen(3.0, FROZEN_TRAVEL, False)
    assert not watched(FROZEN_FRAMES - 1, 0.2, 1.0).is_frozen(0.5, FROZEN_TRAVEL, False)


def test_the_way_there_and_back_counts() -> None:
    """The robot may have returned by the time of the last image."""
    watch = watched(20, 0.2)
    watch.add(START + 3.0, '8x6 rgb8', True)
    watch.follow(lambda stamp: at(0.0))
    assert watch.is_frozen(0.5, FROZEN_TRAVEL, False)


def test_one_change_ends_it() -> None:
    """A camera that shows something new is alive again at once."""
    watch = watched(20, 0.2)
    watch.add(START + 3.0, '8x6 rgb8', False)
    assert not watch.is_frozen(0.5, FROZEN_TRAVEL, True)


def test_a_camera_that_never_changed_is_frozen_on_a_real_robot_only() -> None:
    """A simulated camera that looks at a wall stops nobody; a real one would have noise."""
    watch = watched(20, 0.2, changed=False)
    assert not watch.is_frozen(0.5, FROZEN_TRAVEL, False)
    assert watch.is_frozen(0.5, FROZEN_TRAVEL, True)


def test_motion_that_nobody_measured_does_not_count() -> None:
    """Without a pose at the time of the images, nothing is said about them."""
    watch = CameraWatch()
    for number in range(50):
        watch.add(START + number, '8x6 rgb8', number > 0)
        watch.follow(lambda stamp: None)
    assert not watch.is_frozen(0.5, FROZEN_TRAVEL, True)


def test_another_size_is_noticed() -> None:
    """The first form since configuration is the measure; an unknown one says nothing."""
    watch = CameraWatch()
    for form, resized in (('', False), ('8x6 rgb8', False), ('', False), ('8x6 bgr8', True),
                          ('16x12 rgb8', True), ('8x6 rgb8', False)):
        watch.add(START, form, False)
        assert watch.is_resized == resized
