# SPDX-License-Identifier: Apache-2.0
"""Was the study run as it was locked? Everything that people, machines and files did to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vla_drop_ros.report.sessions import Session, sessions_of
from vla_drop_ros.report.settings import changed_settings
from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.agreement import (
    Agreement,
    agreement,
    Detection,
    detection,
    second_raters,
    SecondRater,
)
from vla_drop_ros.trials.blinding import blinding_index, Guesses, UNKNOWN
from vla_drop_ros.trials.drift import Drift, drift, homogeneity
from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.ladder import has_answers
from vla_drop_ros.trials.merged_log import OPENING
from vla_drop_ros.trials.pairs import final, Outcome, pairs_of

BASELINE, PRUNED = 'baseline', 'pruned'  # what people may guess
EVERYONE = 'all arms'


@dataclass(frozen=True, slots=True)
class Judges:
    """A second judge of the same trials against the verdicts.

    Attributes:
        source: detector, simulator ...
        arm: name, or ``EVERYONE``.
        agreement: verdict first.
        detection: what the source sees of what the verdicts say.

    """

    source: str
    arm: str
    agreement: Agreement
    detection: Detection


@dataclass(frozen=True, slots=True)
class Rater:
    """Somebody who rated recordings, on the trials of an arm, or of ``EVERYONE``."""

    arm: str
    found: SecondRater


@dataclass(frozen=True, slots=True)
class Protocol:
    """What happened beside the trials.

    Attributes:
        sessions: who worked when.
        sessions_alike: p value of 'every session has the same success'; nan with one.
        attempts: judged, the invalid ones too.
        invalid: reason -> attempts.
        invalid_by_arm: arm -> reason -> attempts; empty while blinded.
        undone: verdicts taken back before the next start, in all.
        changed: of these, those that were then given otherwise.
        relabelled: the events, with code, verdict, why and who.
        refused: verb and why -> times.
        hostile: what -> times.
        crashes: trials during which the node died.
        repairs: torn bytes of each repair.
        amendments: their texts.
        settings: what changed of policy node, gate and contract from session to session.
        ends: why trials ended -> trials.
        sources: who judged -> trials.
        lost: trials whose bag lost messages, is not whole or is missing.
        guesses: Bang's index; empty while blinded or where nobody was asked.
        guessed: answers in all.
        judges: second judges, all arms together first.
        raters: people who rated recordings, all arms together first.
        unsure: valid trials of which people were not sure.
        unsure_by_arm: arm -> the same; empty while blinded.
        incidents: kind -> incidents, arms together.
        drift: success over the study, arms together.
        looks: looks that the rule took -> whether the same data say the same now; None: blinded.
        early_openings: times at which the arms were opened before the end.
        torn: bytes of torn last lines that were ignored.

    """

    sessions: tuple[Session, ...]
    sessions_alike: float
    attempts: int
    invalid: Mapping[str, int]
    invalid_by_arm: Mapping[str, Mapping[str, int]]
    undone: int
    changed: int
    relabelled: tuple[Mapping[str, Any], ...]
    refused: Mapping[str, int]
    hostile: Mapping[str, int]
    crashes: int
    repairs: tuple[int, ...]
    amendments: tuple[str, ...]
    settings: tuple[str, ...]
    ends: Mapping[str, int]
    sources: Mapping[str, int]
    lost: int
    guesses: tuple[Guesses, ...]
    guessed: int
    judges: tuple[Judges, ...]
    raters: tuple[Rater, ...]
    unsure: int
    unsure_by_arm: Mapping[str, int]
    incidents: Mapping[str, int]
    drift: Drift
    looks: tuple[bool, ...] | None
    early_openings: tuple[str, ...]
    torn: int


def protocol_of(record: StudyRecord, rows: Sequence[TrialRow], outcomes: Sequence[Outcome]
                ) -> Protocol:
    """Return what happened; ``outcomes`` is empty while blinded."""
    texts = [event.data for _, event in record.events('amendment')]
    openings = [f'{event.wall} by {event.data.get("who", "")}'
                for _, event in record.events(OPENING) if not event.data.get('ended')]
    arms = [arm.name for arm in record.study.design.arms] if outcomes else []
    sessions = sessions_of(record, rows)
    unsure = [row for row in rows if row.valid and not row.sure]
    return Protocol(
        sessions, homogeneity([(one.successes, one.trials) for one in sessions]), len(rows),
        Counter(row.reason for row in rows if not row.valid),
        {arm: Counter(row.reason for row in rows if row.arm == arm and not row.valid)
         for arm in arms},
        sum(len(row.undone) for row in rows),
        sum(row.undone[-1] != row.verdict for row in rows if row.undone),
        tuple({**event.data} for _, event in record.events('relabelled')),
        Counter(f'{event.data.get("verb", "")}: {event.data.get("why", "")}'
                for _, event in record.events('refused')),
        Counter(str(event.data.get('what', '')) for _, event in record.events('hostile')),
        sum(row.end_reason == 'crash' for row in rows),
        tuple(int(event.data.get('torn_bytes', 0)) for _, event in record.events('repaired')),
        tuple(f'{data.get("text", "")} ({data.get("who", "")})' for data in texts),
        changed_settings(record),
        Counter(row.end_reason for row in rows), Counter(row.source for row in rows),
        _lost(record), _guesses(rows, arms), sum(bool(row.guess) for row in rows),
        _judges(rows, arms), _raters(record, arms), len(unsure),
        {arm: sum(row.arm == arm for row in unsure) for arm in arms},
        Counter(one.kind for row in rows for one in row.incidents),
        drift(outcomes or _nameless(rows)),
        _looks(record, outcomes) if outcomes else None, tuple(openings),
        sum(log.torn for log in record.logs.values()))


def _lost(record: StudyRecord) -> int:
    """Count the trials that are not wholly recorded, in a study that records at all."""
    bags = [one.values.get('bag') for one in record.attempts if one.judged]
    recorded = [bag for bag in bags if isinstance(bag, Mapping)]
    whole = sum(bool(bag.get('uri')) and not bag.get('lost') and not bag.get('problem')
                for bag in recorded)
    return len(bags) - whole if recorded else 0


def _guesses(rows: Sequence[TrialRow], arms: Sequence[str]) -> tuple[Guesses, ...]:
    answers = [(BASELINE if row.arm == arms[0] else PRUNED,
                row.guess if row.guess in (BASELINE, PRUNED) else UNKNOWN)
               for row in rows if row.guess and arms]
    return blinding_index(answers, (BASELINE, PRUNED)) if answers else ()


def _judges(rows: Sequence[TrialRow], arms: Sequence[str]) -> tuple[Judges, ...]:
    """Compare every source with the verdicts it did not give itself."""
    found = []
    for source in sorted({source for row in rows for source in row.detected}):
        for arm in (EVERYONE, *arms):
            mine = [(row.success, row.detected[source]) for row in rows
                    if row.valid and source in row.detected and row.source != source
                    and arm in (EVERYONE, row.arm)]
            first, second = [one for one, _ in mine], [other for _, other in mine]
            if mine:
                found.append(Judges(source, arm, agreement(first, second),
                                    detection(first, second)))
    return tuple(found)


def _raters(record: StudyRecord, arms: Sequence[str]) -> tuple[Rater, ...]:
    schedule = record.schedule
    mine = {EVERYONE: record.attempts}
    if schedule is not None:
        mine |= {arm: [one for one in record.attempts if schedule.slot(one.index).arm == arm]
                 for arm in arms}
    return tuple(Rater(arm, one) for arm, attempts in mine.items()
                 for one in second_raters(attempts))


def _nameless(rows: Sequence[TrialRow]) -> list[Outcome]:
    """Return outcomes without arms: enough for the drift."""
    return [Outcome(row.round, row.condition, '', row.success if row.valid else None,
                    attempt=row.attempt, index=row.index) for row in rows]


def _looks(record: StudyRecord, outcomes: Sequence[Outcome]) -> tuple[bool, ...]:
    """Repeat every look of logs that hold all rounds from the first on."""
    design = record.study.design
    terms, baseline = Terms.of(design), design.arms[0].name
    rounds: dict[int, bool] = {}
    for _, event in record.events('look'):
        rounds[int(event.data['rounds'])] = bool(event.data['may_stop'])
    chosen = final(outcomes).values()
    found = []
    for number, said in rounds.items():
        so_far = [one for one in chosen if one.round < number]
        found.append(said == has_answers(
            {arm.name: pairs_of(so_far, baseline, arm.name) for arm in design.arms[1:]},
            terms, design.several, record.study.boundaries))
    return tuple(found) if len(record.logs) == 1 else ()
