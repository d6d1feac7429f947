# SPDX-License-Identifier: Apache-2.0
"""The schedule is balanced, random, fixed by a secret, and closed to guessing."""

from collections import Counter
from itertools import chain
from pathlib import Path
import stat

import pytest
from scipy.stats import binomtest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.sealed_schedule import (
    complete_rounds,
    new_secret,
    read_secret,
    SealedSchedule,
)

SECRET = bytes(range(32))


def test_every_round_holds_every_condition_with_every_arm_back_to_back(design: Design) -> None:
    """Tasks are balanced in each round, and the arms of a pair follow each other."""
    schedule = SealedSchedule(design, SECRET)
    for number in range(20):
        slots = schedule.round(number)
        assert Counter((slot.condition, slot.arm) for slot in slots) == Counter(
            (condition.id, arm.name) for condition in design.conditions for arm in design.arms)
        for first, second in zip(slots[::2], slots[1::2], strict=True):
            assert (first.pair, first.condition) == (second.pair, second.condition)
    assert [slot.index for slot in chain(*map(schedule.round, range(5)))] == list(range(30))
    assert schedule.slot(17) == schedule.round(2)[5]


def test_who_goes_first_is_a_fair_coin_without_memory(design: Design) -> None:
    """Neither arm goes first more often, and the last pair does not tell the next one."""
    schedule = SealedSchedule(design, SECRET)
    first = [slot.arm for number in range(400) for slot in schedule.round(number)
             if slot.position == 0]
    assert binomtest(first.count('baseline'), len(first)).pvalue > 1e-3
    repeats = sum(one == other for one, other in zip(first, first[1:], strict=False))
    assert binomtest(repeats, len(first) - 1).pvalue > 1e-3


def test_the_same_secret_gives_the_same_schedule_and_another_does_not(design: Design) -> None:
    """Whoever is shown the secret can draw the schedule again; nobody else can."""
    one, same, other = (SealedSchedule(design, secret)
                        for secret in (SECRET, SECRET, SECRET[::-1]))
    rounds = [[schedule.round(number) for number in range(10)] for schedule in (one, same, other)]
    assert rounds[0] == rounds[1] != rounds[2]
    assert one.commitment == same.commitment != other.commitment


def test_tokens_are_new_in_every_attempt_and_only_the_secret_opens_them(design: Design) -> None:
    """A token names its arm to who has the secret, and is refused when it was made up."""
    schedule, other = SealedSchedule(design, SECRET), SealedSchedule(design, SECRET[::-1])
    tokens = [schedule.token(index, attempt) for index in range(30) for attempt in range(3)]
    assert len(set(tokens)) == 90
    for token in tokens:
        assert schedule.arm_of(token) == schedule.slot(int(token.split('.')[0])).arm
        with pytest.raises(TrialError, match='no token'):
            other.arm_of(token)
    for bad in ('', '1', '1.2', '1.2.3', '-1.0.x', '9' * 40 + '.0.x', 'baseline',
                '\u0661.\u0660.\u0661', 'é.0.x'):
        with pytest.raises(TrialError, match='no token'):
            schedule.arm_of(bad)


def test_the_secret_is_its_owners_and_is_never_replaced(tmp_path: Path) -> None:
    """The file is private, reads back, and locking twice is refused."""
    path = tmp_path / 'secret'
    secret = new_secret(path)
    assert read_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(TrialError, match='locked already'):
        new_secret(path)
    path.write_text('nonsense')
    with pytest.raises(TrialError, match='cannot read'):
        read_secret(path)


def test_only_rounds_without_a_gap_count(design: Design) -> None:
    """A round with an open slot ends the count, whatever came after it."""
    schedule = SealedSchedule(design, SECRET)
    slots = [slot for number in range(3) for slot in schedule.round(number)]
    assert complete_rounds(slots, design) == 3
    assert complete_rounds(slots[:11], design) == 1
    assert complete_rounds(slots[:2] + slots[3:], design) == 0
