# SPDX-License-Identifier: Apache-2.0
"""The heartbeat is fresh while all is well, and every trouble makes it age from its beginning."""

import pytest

from vla_drop_ros.runtime.sign_of_life import SignOfLife


def stamp(life: SignOfLife, now: float, wanted: bool = True, blind: bool = False) -> float:
    """Return what the heartbeat says."""
    return life.stamp(now, wanted, blind)


@pytest.mark.parametrize('wanted', [True, False])
def test_idle_is_fresh(wanted: bool) -> None:
    """Who is asked nothing, and who waits for the next request with good streams, is alive."""
    assert stamp(SignOfLife(), 7.0, wanted) == 7.0


def test_an_inference_dates_from_its_submission() -> None:
    """One that hangs ages without end; one that answers is forgotten."""
    life = SignOfLife()
    life.submitted(5.0)
    assert [stamp(life, now) for now in (5.0, 5.1, 60.0)] == [5.0] * 3
    life.answered()
    assert stamp(life, 61.0) == 61.0


def test_a_chain_of_failures_dates_from_the_first() -> None:
    """Neither the end of a failed inference nor the begin of the next freshens the stamp."""
    life = SignOfLife()
    for begin in (5.0, 6.0, 7.0):
        life.submitted(begin)
        assert stamp(life, begin + 0.2) == 5.0
        life.failed()
        assert stamp(life, begin + 0.9) == 5.0
    life.submitted(8.0)
    life.answered()
    assert stamp(life, 8.1) == 8.1


def test_blindness_dates_from_when_it_was_noticed() -> None:
    """A dead camera ages the stamp although no inference fails; its return freshens it."""
    life = SignOfLife()
    assert [stamp(life, now, blind=True) for now in (3.0, 3.05, 9.0)] == [3.0] * 3
    assert stamp(life, 9.1) == 9.1
    assert stamp(life, 9.2, blind=True) == 9.2


def test_the_oldest_trouble_counts() -> None:
    """Troubles do not hide each other."""
    life = SignOfLife()
    life.submitted(1.0)
    assert stamp(life, 2.0, blind=True) == 1.0
    life.answered()
    assert stamp(life, 3.0, blind=True) == 2.0


def test_a_pause_forgives_all_but_a_hanging_inference() -> None:
    """While paused the policy owes nothing; what still hangs counts again afterwards."""
    life = SignOfLife()
    life.submitted(1.0)
    life.failed()
    life.submitted(2.0)
    assert stamp(life, 9.0, wanted=False, blind=True) == 9.0
    assert stamp(life, 10.0) == 2.0
    life.answered()
    assert stamp(life, 11.0) == 11.0


def test_the_stamp_is_never_in_the_future() -> None:
    """A clock that is set back does not make the policy live ahead."""
    life = SignOfLife()
    life.submitted(100.0)
    assert stamp(life, 4.0) == 4.0
