# SPDX-License-Identifier: Apache-2.0
"""Simulated time follows wall time, slows down under load, and never rushes."""

import pytest

from vla_drop_ros.simulation.pacing import Cadence, Pacer, PATIENCE, WINDOW


@pytest.mark.parametrize(('speed', 'wait'), [(1.0, 0.5), (2.0, 0.25), (0.5, 1.0), (0.0, 0.0)])
def test_speed_sets_the_wait(speed: float, wait: float) -> None:
    """Half a simulated second takes half a second divided by the speed; speed 0 never waits."""
    assert Pacer(speed, 10.0, now=100.0).delay(10.5, now=100.0) == pytest.approx(wait)


def test_waits_do_not_drift() -> None:
    """Late steps shorten the next wait, so that the pace holds on average."""
    pacer = Pacer(1.0, 0.0, now=0.0)
    assert pacer.delay(0.02, now=0.03) == 0.0
    assert pacer.delay(0.04, now=0.03) == pytest.approx(0.01)


def test_a_stall_is_not_caught_up() -> None:
    """After a stall of 5 s only the patience is caught up, not 5 s of steps in one burst."""
    pacer = Pacer(1.0, 0.0, now=0.0)
    assert pacer.delay(0.02, now=5.0) == 0.0
    assert pacer.delay(0.02 + PATIENCE + 0.5, now=5.0) == pytest.approx(0.5)


def test_real_time_factor() -> None:
    """The factor is simulated over wall time, over the last window."""
    pacer = Pacer(0.0, 0.0, now=0.0)
    pacer.delay(3.0 * WINDOW, now=WINDOW)
    assert pacer.factor == pytest.approx(3.0)


def test_change_of_speed_goes_on_from_here() -> None:
    """Another speed counts from now on, not from the start."""
    pacer = Pacer(1.0, 0.0, now=0.0)
    pacer.change_speed(2.0, 10.0, now=10.0)
    assert pacer.delay(11.0, now=10.0) == pytest.approx(0.5)


def test_cadence_keeps_its_rate_whatever_the_step() -> None:
    """Ten a second stay ten a second although 20 ms steps add up with rounding errors."""
    cadence, now, count = Cadence(10.0), 0.0, 0
    for _ in range(500):
        count += cadence.due(now)
        now += 0.02
    assert count == 100


def test_cadence_zero_is_never_due() -> None:
    """Rate 0 switches something off."""
    assert not any(Cadence(0.0).due(now) for now in (0.0, 1.0, 2.0))
