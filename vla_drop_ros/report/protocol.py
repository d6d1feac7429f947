# SPDX-License-Identifier: Apache-2.0
"""Was the study run as it was locked? Everything that people, machines and files did to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vla_drop_ros.report.study_record import StudyRecord, UNBLINDED
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.agreement import Agreement, agreement, Detection, detection
from vla_drop_ros.trials.blinding import blinding_index, Guesses, UNKNOWN
from vla_drop_ros.trials.drift import Drift, drift
from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.pairs import final, Outcome, pairs_of
from vla_drop_ros.trials.verdict import may_stop

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
class Protocol:
    """What happened beside the trials.

    Attributes:
        sessions: one a line: robot, number, operator, begin, trials, successes.
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
        ends: why trials ended -> trials.
        sources: who judged -> trials.
        lost: trials whose bag lost messages or is missing.
        guesses: Bang's index; empty while blinded or where nobody was asked.
        guessed: answers in all.
        judges: second judges, all arms together first.
        drift: success over the study, arms together.
        looks: looks that the rule took -> whether the same data say the same now; None: blinded.
        early_openings: times at which the arms were opened before the end.
        torn: bytes of torn last lines that were ignored.

    """

    sessions: tuple[Mapping[str, Any], ...]
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
    ends: Mapping[str, int]
    sources: Mapping[str, int]
    lost: int
    guesses: tuple[Guesses, ...]
    guessed: int
    judges: tuple[Judges, ...]
    drift: Drift
    looks: tuple[bool, ...] | None
    early_openings: tuple[str, ...]
    torn: int


def protocol_of(record: StudyRecord, rows: Sequence[TrialRow], outcomes: Sequence[Outcome]
                ) -> Protocol:
    """Return what happened; ``outcomes`` is empty while blinded."""
    texts = [event.data for _, event in record.events('amendment')]
    openings = [f'{event.wall} by {event.data.get("who", "")}'
                for _, event in record.events(UNBLINDED) if not event.data.get('ended')]
    arms = [arm.name for arm in record.study.design.arms] if outcomes else []
    return Protocol(
        _sessions(record, rows), len(rows), Counter(row.reason for row in rows if not row.valid),
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
        Counter(row.end_reason for row in rows), Counter(row.source for row in rows),
        _lost(record), _guesses(rows, arms), sum(bool(row.guess) for row in rows),
        _judges(rows, arms), drift(outcomes or _nameless(rows)),
        _looks(record, outcomes) if outcomes else None, tuple(openings),
        sum(log.torn for log in record.logs.values()))


def _sessions(record: StudyRecord, rows: Sequence[TrialRow]) -> tuple[Mapping[str, Any], ...]:
    found = []
    for log, event in record.events('session'):
        mine = [row for row in rows if row.valid and row.log == log.uuid
                and row.session == event.data.get('session')]
        found.append({**event.data, 'log': log.uuid, 'begun': event.wall, 'trials': len(mine),
                      'successes': sum(row.success for row in mine)})
    return tuple(found)


def _lost(record: StudyRecord) -> int:
    bags = [one.values.get('bag') for one in record.attempts if one.judged]
    return sum(isinstance(bag, Mapping) and bool(bag.get('lost')) for bag in bags)


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
        found.append(said == all(
            may_stop(pairs_of(so_far, baseline, arm.name), terms, record.study.boundaries)
            for arm in design.arms[1:]))
    return tuple(found) if len(record.logs) == 1 else ()
