# SPDX-License-Identifier: Apache-2.0
"""One attempt at a slot of a study, built from the events of the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = ('success', 'partial', 'failure', 'invalid')
END_REASONS = ('stopped', 'timeout', 'safety_stop', 'robot_fault', 'policy_fault', 'detector',
               'crash')


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
        detected: source -> what a detector or the simulator said of the same trial.
        values: what was measured.
        undone: verdicts that were taken back.
        relabelled: verdicts that were corrected after the next start, with a reason.
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
    detected: dict[str, bool] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    guess: str = ''

    @classmethod
    def issued(cls, data: Mapping[str, Any]) -> 'Attempt':
        """Build from the event that issued it."""
        return cls(str(data['code']), int(data['index']), int(data['attempt']),
                   str(data['condition']), str(data['token']))

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
        elif kind == 'detected':
            self.detected[str(data['source'])] = bool(data['success'])
        elif kind == 'measured':
            self.values.update(data['values'])
        elif kind == 'guessed':
            self.guess = str(data['guess'])
        elif kind == 'relabelled':
            self.relabelled.append(self.verdict)
            self.verdict, self.stage = str(data['verdict']), str(data['stage'])
            self.reason, self.progress = str(data['reason']), float(data['progress'])

    def undo(self) -> None:
        """Forget the verdict, but not that there was one."""
        self.undone.append(self.verdict)
        self.verdict = self.stage = self.reason = self.note = self.source = self.who = ''
        self.progress = 0.0
