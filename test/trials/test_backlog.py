# SPDX-License-Identifier: Apache-2.0
"""What a full disk has held up is written in its order, once, when there is room again."""

from collections.abc import Callable

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.backlog import Backlog


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
    log.work()
    log.work()
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
    log.work()
    assert disk.words == 'xxx' and log.attempt(disk.write('y')) and disk.words == 'xxxy'
