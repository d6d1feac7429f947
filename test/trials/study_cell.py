# SPDX-License-Identifier: Apache-2.0
"""A session of a study with a log in memory and machines that obey, for several test files."""

from collections.abc import Mapping
import json
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import Command, UseToken
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.study_session import StudySession

SCENE = json.dumps({'instruction': 'put the red cube in the left bin', 'target': 'red'})


class Cell:
    """A session with a log in memory, and machines that do what they are asked at once."""

    def __init__(self, design: Design, resets: bool = True,
                 scenes: bool | None = None, load: Any = None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[Command] = []
        self.full, self.deaf, self.now, self.refusal = False, False, 100.0, ''
        self.design, schedule, self.load = design, SealedSchedule(design, bytes(32)), load

        def conductor(append: Any = self.append) -> Conductor:
            found = Conductor(design, schedule, append, lambda attempts: False)
            found.begin()
            return found

        self.session = StudySession(
            design, conductor(), lambda: conductor(lambda kind, data: None), resets,
            resets if scenes is None else scenes, load=load)
        self.session.gate('holding: no chunk')

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        if self.full:
            raise TrialError('disk full')
        self.events.append((kind, dict(data)))

    def run(self, seconds: float = 0.5, clock: bool = True) -> None:
        """Let time go by in ticks of 0.1 s; machines answer."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for command in self.session.tick(self.now if clock else 0.0, self.now):
                self.sent.append(command)
                if not self.deaf:
                    self.session.answer(command, not self.refusal, self.refusal or SCENE)
                if isinstance(command, UseToken) and not self.deaf and not self.refusal:
                    self.session.policy(command.token)

    def press(self, name: str, **more: Any) -> Reply:
        return self.session.press(Verb(name, 'web', **more))

    def begin(self) -> None:
        """Arrange and start a trial; the first chunk has come."""
        self.run()
        assert self.press('start').done
        self.run(0.2)
        self.session.chunk(self.now)

    def kinds(self, *wanted: str) -> list[str]:
        return [kind for kind, _ in self.events if kind in wanted]

    def phase(self) -> Phase:
        return self.session.conductor.phase
