# SPDX-License-Identifier: Apache-2.0
"""The course of a study so far: nothing but the events of its log, told again."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt

ABOUT_ATTEMPTS = ('started', 'ended', 'judged', 'detected', 'measured', 'guessed', 'relabelled',
                  'incident', 'forgotten', 'rated', 'arranged')


class Phase(Enum):
    """What the study waits for."""

    ARRANGE = 'arrange'
    RUNNING = 'running'
    JUDGE = 'judge'
    FINISHED = 'finished'


class Course:
    """State of a study; ``apply`` is the only thing that changes it.

    Attributes:
        phase: what is waited for.
        attempts: every attempt so far, the current one last.
        may_stop: whether the stopping rule allowed to end at the last complete round.
        finished: why the study ended; '' while it goes on.
        opened: last trial with a verdict when the arms were opened, which stays; '' before.

    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.phase = Phase.ARRANGE
        self.attempts: list[Attempt] = []
        self.may_stop = False
        self.finished = ''
        self.opened = ''
        self._look = '', False  # trial after which it was looked, and what was allowed before

    @classmethod
    def of(cls, events: Iterable[tuple[str, Mapping[str, Any]]]) -> 'Course':
        """Return the state after events, each a kind and its data; unknown kinds say nothing."""
        course = cls()
        for kind, data in events:
            course.apply(kind, data)
        return course

    @property
    def current(self) -> Attempt:
        """Return the attempt that is arranged, runs or is judged."""
        return self.attempts[-1]

    @property
    def undoable(self) -> Attempt | None:
        """Return the attempt whose verdict may be taken back: the last, until the next start."""
        if self.phase not in (Phase.ARRANGE, Phase.FINISHED):
            return None
        return next((one for one in reversed(self.attempts) if one.judged), None)

    def find(self, code: str) -> Attempt:
        """Return an attempt by its code.

        Raises:
            TrialError: it was never issued.

        """
        for attempt in reversed(self.attempts):
            if attempt.code == code:
                return attempt
        raise TrialError(f'the log speaks of trial {code!r}, which was never issued')

    def apply(self, kind: str, data: Mapping[str, Any]) -> None:
        """Change the state by one event."""
        if kind == 'issued':
            self.attempts.append(Attempt.issued(data))
            self.phase = Phase.ARRANGE
        elif kind == 'undone':
            if not self.current.judged:
                self.attempts.pop()  # the one that was only arranged; its code is given again
            self.current.undo()
            if self._look[0] == self.current.code:
                self.may_stop = self._look[1]  # what was seen then is no longer so
            self.phase, self.finished = Phase.JUDGE, ''
        elif kind in ABOUT_ATTEMPTS:
            self.find(str(data['code'])).apply(kind, data)
            self.phase = {'started': Phase.RUNNING, 'ended': Phase.JUDGE,
                          'judged': Phase.ARRANGE}.get(kind, self.phase)
        elif kind == 'look':
            if self._look[0] != self.current.code:
                self._look = self.current.code, self.may_stop
            self.may_stop = bool(data['may_stop'])
        elif kind == 'unblinded':
            self.opened = next((one.code for one in reversed(self.attempts) if one.judged), '')
        elif kind == 'finished':
            self.phase, self.finished = Phase.FINISHED, str(data['reason'])
