# SPDX-License-Identifier: Apache-2.0
"""A clock that is set is told from one that is slow, fast, uneven, or read late."""

import numpy as np
import pytest

from vla_drop_ros.trials.clock_jump import ClockJump


def readings(speed: float, count: int = 100, seed: int = 0) -> list[tuple[float, float]]:
    """Return node clock and steady clock of a watcher whose looks are uneven."""
    steady = 50.0 + np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.2, count))
    return [(7.0 + speed * (one - 50.0), float(one)) for one in steady]


@pytest.mark.parametrize('speed', [0.0, 0.3, 1.0, 10.0, 60.0])
def test_a_clock_that_goes_on_was_not_set(speed: float) -> None:
    """At any rate; the first seconds of a fast one are when it is learnt."""
    jump = ClockJump()
    found = [jump.read(*one) for one in readings(speed)]
    assert not any(found[30:] if speed > 1.0 else found)


@pytest.mark.parametrize('by', [-3600.0, -20.0, -1.0, 2.0, 20.0, 3600.0])
def test_a_clock_that_was_set_is_found_once(by: float) -> None:
    """In the reading that shows it; afterwards the new time is as good as the old one."""
    jump, all_of_them = ClockJump(), readings(1.0)
    found = [jump.read(now + (by if number >= 40 else 0.0), steady)
             for number, (now, steady) in enumerate(all_of_them)]
    assert [number for number, one in enumerate(found) if one] == [40]
    assert found[40] == pytest.approx(by, abs=0.3)


def test_who_stood_still_does_not_call_it_a_jump() -> None:
    """A watcher that was halted for half a minute finds both clocks further by as much."""
    jump = ClockJump()
    for now, steady in readings(1.0):
        jump.read(now, steady)
    assert jump.read(now + 30.0, steady + 30.0) == 0.0


def test_time_that_is_heard_late_is_no_jump() -> None:
    """After a slow write the first look still finds the simulated time of before."""
    jump = ClockJump()
    for now, steady in readings(1.0):
        jump.read(now, steady)
    assert jump.read(now, steady + 4.0) == 0.0
    assert jump.read(now + 4.1, steady + 4.1) == 0.0
    assert jump.read(now + 24.2, steady + 4.2) == pytest.approx(20.1)


def test_a_pause_of_the_simulator_is_no_jump() -> None:
    """Its clock stands, then goes on where it stood."""
    jump, moments = ClockJump(), readings(1.0)
    for now, steady in moments:
        jump.read(now, steady)
    assert not any(jump.read(now, steady + 0.1 * turn) for turn in range(1, 100))
    assert not any(jump.read(now + 0.1 * turn, steady + 10.0 + 0.1 * turn)
                   for turn in range(1, 100))
