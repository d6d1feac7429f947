# SPDX-License-Identifier: Apache-2.0
"""One attempt as the report sees it: what the log said, where it belongs, and which arm ran."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import math
from typing import Any

from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.incidents import Incident
from vla_drop_ros.trials.merged_log import StudyLog
from vla_drop_ros.trials.ratings import Rating

NAN = math.nan


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A judged attempt.

    Attributes:
        log: uuid of the log.
        robot: that ran it.
        session: number of the session in the log.
        wall: when it was issued, UTC.
        code: what people called it.
        index: slot of the schedule.
        attempt: 0 for the first.
        round: of the schedule.
        condition: id.
        task: of the condition, or its id where it has none.
        pair: block of the schedule; -1 while blinded, as are ``position`` and ``arm``.
        position: place in the pair.
        arm: name; '' while blinded.
        counted: whether it enters the comparison: the valid attempt of a complete round.
        verdict: success, partial, failure or invalid.
        stages: of the rubric that were reached.
        progress: 0..1.
        reason: of a failure or invalid trial.
        note: free text.
        end_reason: why it ended.
        seconds: from start to end, [s]; nan where it was not seen.
        source: who judged.
        who: pseudonym.
        detected: source -> what it said.
        undone: verdicts that were taken back.
        relabelled: verdicts that were corrected later.
        guess: which arm people thought it was.
        values: what was measured; empty while blinded, as a latency tells the arm.
        sure: whether people were, of the verdict.
        answers: stage of the rubric -> whether it was reached, where that was asked.
        incidents: what happened beside the outcome.
        ratings: what others said who saw the recording only.
        uuid: of the attempt, '' in old logs.
        detectors: source -> score, threshold and model; empty while blinded.

    """

    log: str
    robot: str
    session: int
    wall: str
    code: str
    index: int
    attempt: int
    round: int
    condition: str
    task: str
    pair: int
    position: int
    arm: str
    counted: bool
    verdict: str
    stages: int
    progress: float
    reason: str
    note: str
    end_reason: str
    seconds: float
    source: str
    who: str
    detected: Mapping[str, bool]
    undone: tuple[str, ...]
    relabelled: tuple[str, ...]
    guess: str
    values: Mapping[str, Any]
    sure: bool = True
    answers: Mapping[str, bool] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    ratings: tuple[Rating, ...] = ()
    uuid: str = ''
    detectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Say whether it was not left out."""
        return self.verdict != 'invalid'

    @property
    def success(self) -> bool:
        """Say whether the task was done."""
        return self.verdict == 'success'

    def number(self, *keys: str) -> float:
        """Return a measured number by its path of keys; nan where there is none."""
        found: Any = self.values
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        fits = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if fits else NAN

    def flag(self, *keys: str) -> float:
        """Return 1 or 0 for a measured yes or no by its path of keys; nan where there is none."""
        found: Any = self.values
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, bool) else NAN

    def text(self, *keys: str) -> str:
        """Return a measured text by its path of keys; '' where there is none."""
        found: Any = self.values
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, str) else ''


def tasks_of(design: Design) -> dict[str, str]:
    """Return condition -> task; a condition without a task stands for itself."""
    return {one.id: one.task or one.id for one in design.conditions}


def rows_of(record: StudyRecord) -> tuple[TrialRow, ...]:
    """Return every judged attempt in the order of the schedule, then of the attempts."""
    design = record.study.design
    found: list[TrialRow] = []
    for log in record.logs.values():
        where = _whereabouts(log)
        found += [_row(record, log, attempt, *where[attempt.code])
                  for attempt in log.course.attempts if attempt.judged]
    found.sort(key=lambda row: (row.index, row.attempt))
    per_round = len(design.conditions) * len(design.arms)
    limit = design.rounds if design.stopping.rule != 'anytime' else len(found)
    complete = 0
    valid = {row.index for row in found if row.valid}
    while complete < limit and all(complete * per_round + place in valid
                                   for place in range(per_round)):
        complete += 1
    return tuple(replace(row, counted=row.valid and row.round < complete) for row in found)


def complete_rounds_of(rows: tuple[TrialRow, ...]) -> int:
    """Return how many rounds are complete, from the first on."""
    return 1 + max((row.round for row in rows if row.counted), default=-1)


def _row(record: StudyRecord, log: StudyLog, attempt: Attempt, session: int, wall: str
         ) -> TrialRow:
    design = record.study.design
    stages = [stage.id for stage in design.rubric]
    reached = len(stages) if attempt.success else (
        stages.index(attempt.stage) + 1 if attempt.stage in stages else 0)
    slot = record.schedule.slot(attempt.index) if record.schedule is not None else None
    crashed = attempt.end_reason == 'crash'  # its end has no time
    return TrialRow(
        log.uuid, str(log.opened.get('robot', '')), session, wall, attempt.code, attempt.index,
        attempt.attempt, attempt.index // (len(design.conditions) * len(design.arms)),
        attempt.condition, tasks_of(design)[attempt.condition], slot.pair if slot else -1,
        slot.position if slot else -1, slot.arm if slot else '', False, attempt.verdict, reached,
        attempt.progress, attempt.reason, attempt.note, attempt.end_reason,
        NAN if crashed else attempt.duration, attempt.source, attempt.who,
        dict(attempt.detected), tuple(attempt.undone), tuple(attempt.relabelled), attempt.guess,
        dict(attempt.values) if slot else {}, attempt.confidence == 'sure',
        dict(attempt.answers), tuple(attempt.incidents), tuple(attempt.ratings), attempt.uuid,
        dict(attempt.detectors) if slot else {})


def _whereabouts(log: StudyLog) -> dict[str, tuple[int, str]]:
    """Return code -> session and wall clock at which it was started, or issued."""
    found: dict[str, tuple[int, str]] = {}
    session = 0
    for event in log.events:
        if event.kind == 'session':
            session = int(event.data.get('session', session + 1))
        elif event.kind in ('issued', 'started'):
            found[str(event.data['code'])] = session, event.wall
    return found
