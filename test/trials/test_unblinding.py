# SPDX-License-Identifier: Apache-2.0
"""With the secret, and only then, attempts become outcomes of arms."""

from dataclasses import replace

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.pairs import pairs_of
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.unblinding import outcomes_of, stopping_rule


def attempts_of(schedule: SealedSchedule, count: int, solved: str) -> list[Attempt]:
    """Return judged attempts at the first places; only the arm ``solved`` ever succeeds."""
    found = []
    for index in range(count):
        slot = schedule.slot(index)
        success = slot.arm == solved or solved == 'all'
        found.append(Attempt(
            str(index + 1), index, 0, slot.condition, schedule.token(index, 0), 1.0, 3.5,
            'stopped', 'success' if success else 'failure', progress=float(success)))
    return found


def test_arms_come_from_the_schedule(design: Design) -> None:
    """Every attempt gets its arm, place and task; invalid ones stay, with no success."""
    schedule = SealedSchedule(design, bytes(32))
    attempts = attempts_of(schedule, 8, design.arms[1].name)
    attempts[3].verdict = 'invalid'
    outcomes = outcomes_of([*attempts, Attempt('9', 8, 0, 'x', 'never judged')], schedule, design)
    assert [one.arm for one in outcomes] == [schedule.slot(place).arm for place in range(8)]
    assert [one.success for one in outcomes] == [
        None if place == 3 else schedule.slot(place).arm == design.arms[1].name
        for place in range(8)]
    assert all(one.seconds == 2.5 for one in outcomes if one.success)
    pairs = pairs_of(outcomes, design.arms[0].name, design.arms[1].name)
    assert len(pairs) == 3 and all(one.candidate and not one.baseline for one in pairs)


def test_a_token_of_another_study_is_refused(design: Design) -> None:
    """A log cannot be read with the wrong secret, nor a token be moved to another place."""
    schedule = SealedSchedule(design, bytes(32))
    attempts = attempts_of(schedule, 4, 'all')
    with pytest.raises(TrialError, match='no token of this study'):
        outcomes_of(attempts, SealedSchedule(design, bytes([1] * 32)), design)
    moved = replace(attempts[0], token=attempts[1].token)
    with pytest.raises(TrialError, match='not that of place 0'):
        outcomes_of([moved], schedule, design)


def test_the_rule_tells_when_there_is_an_answer(design: Design) -> None:
    """Not at the start; once the candidate fails where the baseline succeeds, it does."""
    schedule = SealedSchedule(design, bytes(32))
    rule = stopping_rule(schedule, design, boundaries(Terms.of(design)))
    per_round = len(design.conditions) * len(design.arms)
    whole = per_round * design.rounds
    attempts = attempts_of(schedule, whole, design.arms[0].name)
    said = [rule(attempts[:count]) for count in range(0, whole + 1, per_round)]
    assert not said[0] and said[-1] and sorted(said) == said
    assert said.index(True) < len(said) - 1, 'before the horizon'
