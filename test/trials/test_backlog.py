# SPDX-License-Identifier: Apache-2.0
"""What a full disk has held up is written in its order, once, when there is room again."""

from collections.abc import Callable

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.backlog import Backlog, MOST


class Disk:
    """Takes words until it is full."""

    def __init__(self) -> None:
        self.full, self.words = False, ''

    def write(self, word: str) -> Callable[[], None]:
        def put() -> None:
            if self.full:
                raise TrialError('disk full')
            self.words += word

        return put


def test_held_up_words_keep_their_order() -> None:
    """What comes while something waits, waits behind it."""
    disk = Disk()
    told: list[str] = []
    log = Backlog(2.0, told.append)
    log.steady = 10.0
    log.keep(disk.write('a'))
    disk.full = True
    log.keep(disk.write('b'))
    disk.full = False
    log.keep(disk.write('c'))
    assert disk.words == 'a' and told == ['disk full']
    due = [log.due]
    log.steady = 12.0
    assert [*due, log.due] == [False, True]
    assert log.work() and disk.words == 'ab'  # one at a time
    assert log.work() and not log.work()
    assert disk.words == 'abc'


def test_a_disk_that_stays_full_is_not_asked_all_the_time() -> None:
    """The first of what waits is tried, and the next time is later."""
    disk = Disk()
    told: list[str] = []
    disk.full = True
    log = Backlog(2.0, told.append)
    for log.steady in (0.0, 2.0, 4.0):
        log.keep(disk.write('x'))
        if log.due:
            log.work()
    assert disk.words == '' and len(told) == 3
    assert not log.attempt(disk.write('y'))
    disk.full = False
    while log.work():
        pass
    assert disk.words == 'xxx' and log.attempt(disk.write('y')) and disk.words == 'xxxy'


def test_who_says_the_same_all_day_fills_no_memory() -> None:
    """Of what waits there is a most, and the first are kept."""
    disk, told = Disk(), 0
    disk.full = True
    log = Backlog(2.0, lambda why: None)
    for told in range(MOST + 10):
        log.keep(disk.write(f'{told} '))
    disk.full = False
    while log.work():
        pass
    assert disk.words.split() == [str(number) for number in range(MOST)]
