# SPDX-License-Identifier: Apache-2.0
"""Attempts whose arms nobody knew become outcomes of arms, by the schedule's secret."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import Boundaries, boundaries, Terms
from vla_drop_ros.trials.ladder import has_answers
from vla_drop_ros.trials.pairs import Outcome, pairs_of
from vla_drop_ros.trials.sealed_schedule import SealedSchedule


def outcomes_of(attempts: Iterable[Attempt], schedule: SealedSchedule,
                design: Design) -> list[Outcome]:
    """Return every judged attempt with its arm, in the order given.

    Args:
        attempts: of one log or of several.
        schedule: opened with the secret.
        design: of the study.

    Raises:
        TrialError: a token is not the schedule's, or a condition is not the slot's.

    """
    tasks = {condition.id: condition.task for condition in design.conditions}
    found = []
    for attempt in attempts:
        if not attempt.judged:
            continue
        slot = schedule.slot(attempt.index)
        if schedule.arm_of(attempt.token) != slot.arm or attempt.condition != slot.condition or (
                attempt.token != schedule.token(attempt.index, attempt.attempt)):
            raise TrialError(f'trial {attempt.code}: token or condition {attempt.condition!r} is '
                             f'not that of place {attempt.index} of the schedule; the log is of '
                             'another study, or was changed')
        valid, success = attempt.verdict != 'invalid', attempt.verdict == 'success'
        found.append(Outcome(
            slot.round, slot.condition, slot.arm, success if valid else None,
            tasks[slot.condition], attempt.attempt, slot.position, attempt.index,
            attempt.progress if valid and design.rubric else float('nan'),
            attempt.duration if success else float('nan'), attempt.confidence == 'sure',
            attempt.ratings[-1].success if attempt.ratings else None))
    return found


def stopping_rule(schedule: SealedSchedule, design: Design,
                  stored: Boundaries) -> Callable[[Sequence[Attempt]], bool]:
    """Return what tells the conductor whether the study has its answer, and nothing else.

    With several pruned arms it has its answer when there is one on each of them.
    """
    terms = Terms.of(design)
    baseline, *candidates = [arm.name for arm in design.arms]

    def rule(attempts: Sequence[Attempt]) -> bool:
        outcomes = outcomes_of(attempts, schedule, design)
        return has_answers({name: pairs_of(outcomes, baseline, name) for name in candidates},
                           terms, design.several, stored)

    if design.several == 'holm':  # computed now and kept, not between two trials
        for number in range(2, len(candidates) + 1):
            boundaries(replace(terms, alpha=terms.alpha / number))
    return rule
