# SPDX-License-Identifier: Apache-2.0
"""One attempt at a slot of a study, built from the events of the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla_drop_ros.trials.incidents import Incident
from vla_drop_ros.trials.ratings import answers_of, confidence_of, Rating

VERDICTS = ('success', 'partial', 'failure', 'invalid')
END_REASONS = ('stopped', 'timeout', 'safety_stop', 'robot_fault', 'policy_fault', 'policy_lost',
               'detector', 'crash')
SOURCES = 20  # detectors of a trial; more would be somebody who fills the disk
REVISIONS = 5  # of one detector about one trial
DETAILS = ('score', 'threshold', 'model')  # on what a detector's word rests


@dataclass(slots=True)
class Attempt:
    """What is known of an attempt.

    Attributes:
        code: what people call it: 1, 2, 3 ... in the order of the day.
        index: slot of the schedule.
        attempt: 0 for the first; more where the ones before were invalid.
        condition: id of the condition.
        token: stands for the arm.
        started: node clock, [s]; NaN before the start.
        ended: node clock, [s]; NaN before the end.
        end_reason: one of ``END_REASONS``, '' before the end.
        verdict: one of ``VERDICTS``, '' before the judgement.
        stage: how far a partial success came.
        progress: 0..1.
        reason: of a failure or an invalid trial.
        note: free text.
        source: who judged: web, service, joy, simulator ...
        who: pseudonym.
        confidence: of the verdict: 'sure' or 'unsure'.
        answers: stage of the rubric -> whether it was reached; may be empty.
        incidents: what people said of the trial beside its verdict, in their order.
        ratings: what others said of the recording.
        detected: source -> what a detector or the simulator said of the same trial.
        detectors: source -> score, threshold and model, of those that said them.
        revised: source -> what it said otherwise when the trial was over; changes nothing.
        values: what was measured.
        undone: verdicts that were taken back.
        relabelled: verdicts that were corrected after the next start, with a reason.
        arranged: whether people said that its scene is arranged.
        uuid: names this attempt among those of all studies; '' in logs of 0.5 and before.
        guess: which arm people thought it was; '' where nobody was asked.

    """

    code: str
    index: int
    attempt: int
    condition: str
    token: str
    started: float = float('nan')
    ended: float = float('nan')
    end_reason: str = ''
    verdict: str = ''
    stage: str = ''
    progress: float = 0.0
    reason: str = ''
    note: str = ''
    source: str = ''
    who: str = ''
    confidence: str = 'sure'
    answers: dict[str, bool] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    detected: dict[str, bool] = field(default_factory=dict)
    detectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    revised: dict[str, list[bool]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    arranged: bool = False
    guess: str = ''
    uuid: str = ''

    @classmethod
    def issued(cls, data: Mapping[str, Any]) -> 'Attempt':
        """Build from the event that issued it."""
        return cls(str(data['code']), int(data['index']), int(data['attempt']),
                   str(data['condition']), str(data['token']), uuid=str(data.get('uuid', '')))

    @property
    def judged(self) -> bool:
        """Say whether it has a verdict."""
        return bool(self.verdict)

    @property
    def counts(self) -> bool:
        """Say whether it enters the comparison."""
        return self.judged and self.verdict != 'invalid'

    @property
    def success(self) -> bool:
        """Say whether the task was done."""
        return self.verdict == 'success'

    @property
    def duration(self) -> float:
        """Return from start to end, [s]; NaN while it runs, or where nobody saw its end."""
        return self.ended - self.started if self.ended >= self.started else float('nan')

    def is_revision(self, source: str) -> bool:
        """Say whether a detector that speaks now has said already how the trial ended."""
        return source in self.detected and (self.judged or 'chunks' in self.values)

    def is_news(self, source: str, success: bool) -> bool:
        """Say whether what a detector says now is worth a line of the log."""
        if source not in self.detected:
            return len(self.detected) < SOURCES
        revised = self.revised.get(source, [])
        last = revised[-1] if revised else self.detected[source]
        return success != last and len(revised) < REVISIONS

    def apply(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take one event about this attempt."""
        if kind == 'started':
            self.started = float(data['stamp'])
        elif kind == 'ended':
            self.ended, self.end_reason = float(data['stamp']), str(data['reason'])
        elif kind == 'judged':
            self.verdict, self.progress = str(data['verdict']), float(data['progress'])
            self.stage, self.reason = str(data['stage']), str(data['reason'])
            self.note, self.source = str(data['note']), str(data['source'])
            self.who = str(data['who'])
            self.confidence, self.answers = confidence_of(data), answers_of(data)
        elif kind == 'detected':
            self._hear(str(data['source']), bool(data['success']), data)
        elif kind == 'measured':
            self.values.update(data['values'])
        elif kind == 'guessed':
            self.guess = str(data['guess'])
        elif kind == 'relabelled':
            self.relabelled.append(self.verdict)
            self.verdict, self.stage = str(data['verdict']), str(data['stage'])
            self.reason, self.progress = str(data['reason']), float(data['progress'])
            self.confidence, self.answers = 'sure', {}  # they were about the verdict before
        else:
            self._add(kind, data)

    def _hear(self, source: str, success: bool, data: Mapping[str, Any]) -> None:
        if data.get('revision'):
            self.revised.setdefault(source, []).append(success)
            return
        self.detected[source] = success
        details = {name: data[name] for name in DETAILS if name in data}
        if details:
            self.detectors[source] = details

    def _add(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == 'arranged':
            self.arranged = True
        elif kind == 'incident':
            self.incidents.append(Incident.said(data, self.started, self.ended))
        elif kind == 'forgotten':
            self.incidents.pop()
        elif kind == 'rated':
            self.ratings.append(Rating.said(data))

    def undo(self) -> None:
        """Forget the verdict, but not that there was one."""
        self.undone.append(self.verdict)
        self.verdict = self.stage = self.reason = self.note = self.source = self.who = ''
        self.progress = 0.0
        self.confidence, self.answers = 'sure', {}
