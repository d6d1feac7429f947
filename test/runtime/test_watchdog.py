# SPDX-License-Identifier: Apache-2.0
"""What is missing, late or from another clock is said in words."""

import pytest

from vla_drop_ros.runtime.watchdog import ClockWatch, DeadMan, kind, stream_fault


@pytest.mark.parametrize(('stamp', 'said'), [
    (None, 'never received'), (9.0, 'too old'), (11.0, 'different clocks'), (9.9, None),
    (10.05, None)])
def test_stream_fault_names_the_state_of_a_stream(stamp: float | None, said: str | None) -> None:
    """Absent, old and future stamps are faults; a fresh or barely future one is not."""
    fault = stream_fault('camera', stamp, now=10.0, max_age=0.3)
    assert (fault is None) if said is None else (said in str(fault))


def test_kind_does_not_change_with_the_numbers() -> None:
    """One lasting fault is one kind, so that it is logged and counted once."""
    early, late = (stream_fault('camera', 0.0, now, 0.3) for now in (1.0, 2.0))
    assert early != late and kind(str(early)) == kind(str(late))


def test_dead_man_waits_its_time_after_the_chunk_ends() -> None:
    """Within the chunk and the dead-man time there is no fault; afterwards there is."""
    dead_man = DeadMan(0.5)
    assert dead_man.fault(None, None, 0.0) is not None
    assert dead_man.fault(1.0, 10.0, 9.0) is None
    assert dead_man.fault(1.0, 10.0, 10.4) is None
    assert 'no usable chunk' in str(dead_man.fault(1.0, 10.0, 10.6))


def test_an_old_chunk_is_executed_no_further() -> None:
    """However long it is: from its largest age on there is a fault, before it there is none."""
    dead_man = DeadMan(0.5, 0.75)
    assert dead_man.fault(9.0, 12.0, 9.75) is None
    assert 'max_chunk_age 0.75' in str(dead_man.fault(9.0, 12.0, 9.76))


def test_a_clock_that_stands_still_is_noticed() -> None:
    """The second look at the same time is a fault, any advance is none."""
    watch = ClockWatch()
    assert watch.fault(0.0) == ''
    assert 'use_sim_time' in watch.fault(0.0)
    assert watch.fault(0.1) == ''
