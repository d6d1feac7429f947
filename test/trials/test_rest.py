# SPDX-License-Identifier: Apache-2.0
"""A rest is due after half an hour of trials without a pause of five minutes."""

from math import nan

import pytest

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.rest import PAUSE, seconds_worked, WORK


def trial(started: float, ended: float = nan) -> Attempt:
    """Return an attempt with these stamps, [s]."""
    return Attempt('1', 0, 0, 'a', 'x', started, ended)


def day(count: int, begin: float = 1000.0, step: float = 60.0) -> list[Attempt]:
    """Return trials of 20 s, one every step."""
    return [trial(begin + step * place, begin + step * place + 20.0) for place in range(count)]


def test_work_adds_up_until_a_pause() -> None:
    """Resets between trials are work; five minutes without a trial are a pause."""
    attempts = day(31)
    end = attempts[-1].ended
    assert seconds_worked(attempts, end) == 30 * 60.0 + 20.0 > WORK
    assert seconds_worked(attempts, end + PAUSE - 1.0) > WORK
    assert seconds_worked(attempts, end + PAUSE) == 0.0
    later = [*attempts, *day(2, end + PAUSE)]
    assert seconds_worked(later, later[-1].ended) == 80.0


@pytest.mark.parametrize(('attempts', 'now', 'worked'), [
    ([], 50.0, 0.0), ([trial(nan)], 50.0, 0.0),
    ([trial(100.0)], 1000.0, 900.0),  # a long trial runs: that is no pause
    ([trial(100.0, 900.0), trial(950.0, 960.0), trial(nan)], 970.0, 870.0),
    ([trial(100.0, 0.0)], 130.0, 30.0),  # the node crashed; nobody saw the end
    ([trial(5000.0, 5010.0), trial(3.0, 9.0)], 20.0, 17.0),  # a simulated clock began anew
    ([trial(5000.0, 5010.0)], 20.0, 0.0)])
def test_odd_days(attempts: list[Attempt], now: float, worked: float) -> None:
    """Nothing tried, a long trial, a crash, a clock that began anew."""
    assert seconds_worked(attempts, now) == worked
