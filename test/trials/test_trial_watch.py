# SPDX-License-Identifier: Apache-2.0
"""A trial ends for the first reason there is, and an arm is blamed for its own faults only."""

from types import SimpleNamespace
from typing import Any

import pytest

from vla_drop_ros.trials.preparation import Waits
from vla_drop_ros.trials.trial_watch import TrialWatch
from vla_drop_ros.trials.vital_signs import GATE, POLICY

TIMEOUT = 30.0


@pytest.fixture(name='machines')
def _machines() -> Any:
    return SimpleNamespace(estopped=False, idle='', policy_ready=True)


@pytest.fixture(name='watch')
def _watch(machines: Any) -> TrialWatch:
    watch = TrialWatch(machines, Waits(), TIMEOUT)
    watch.read(100.0, 5.0)
    watch.begin()
    return watch


def run(watch: TrialWatch, seconds: float, chunks: bool = True, clock: bool = True) -> None:
    """Let time go by in ticks of 0.1 s."""
    for _ in range(round(seconds * 10)):
        watch.read(watch.now + 0.1 * clock, watch.steady + 0.1)
        if chunks:
            watch.answered()


def test_a_trial_that_goes_well_goes_on_until_its_time_is_up(watch: TrialWatch) -> None:
    """The end has the time at which it was."""
    run(watch, 29.0)
    assert watch.end(100.0, 9) is None
    run(watch, 1.1)
    assert watch.end(100.0, 9) == ('timeout', watch.now)
    assert watch.settled('timeout') == 'timeout'


@pytest.mark.parametrize(('change', 'reason'), [
    ({'estopped': True}, 'safety_stop'), ({'idle': 'not enabled'}, 'robot_fault'),
    ({'policy_ready': False}, 'policy_lost')])
def test_what_the_machines_say_ends_it_at_once(watch: TrialWatch, machines: Any,
                                               change: dict[str, Any], reason: str) -> None:
    """Whatever the time is."""
    run(watch, 1.0)
    vars(machines).update(change)
    assert watch.end(100.0, 9) == (reason, watch.now)


@pytest.mark.parametrize(('chunks', 'after'), [(0, 15.0), (9, 5.0)])
def test_a_policy_that_says_nothing_has_failed(watch: TrialWatch, chunks: int, after: float
                                               ) -> None:
    """It has longer for its first chunk."""
    run(watch, after - 0.2, chunks=False)
    assert watch.end(100.0, chunks) is None
    run(watch, 0.4, chunks=False)
    assert watch.end(100.0, chunks) == ('policy_fault', watch.now)


def test_a_silence_of_this_process_is_nobodys(watch: TrialWatch) -> None:
    """It stood still for a minute: neither policy nor gate was heard."""
    for name in (GATE, POLICY):
        watch.signs.hear(name)
    watch.read(watch.now + 8.0, watch.steady + 8.0)
    assert watch.end(100.0, 9) is None


@pytest.mark.parametrize(('silent', 'reason'), [(GATE, 'robot_fault'), (POLICY, 'policy_lost')])
def test_the_roll_is_called_when_time_is_up(watch: TrialWatch, silent: str, reason: str) -> None:
    """The end is not settled before each has given a sign, or has been silent for too long."""
    for name in (GATE, POLICY):
        watch.signs.hear(name)
    run(watch, 30.1)
    for name in (GATE, POLICY):
        watch.signs.hear(name)
    assert watch.end(100.0, 9) == ('timeout', watch.now)
    run(watch, 2.9)
    watch.signs.hear(({GATE, POLICY} - {silent}).pop())
    assert watch.settled('timeout') == ''
    assert watch.settled('stopped') == 'stopped'
    run(watch, 0.3)
    assert watch.settled('timeout') == reason
