# SPDX-License-Identifier: Apache-2.0
"""What detectors and the simulator say of trials: when it is noted, and of which trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import math
from typing import Any

from vla_drop_ros.trials.attempts import DETAILS
from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.course import Phase

SIMULATOR = 'simulator'  # the detector that says all the time how things are
LONGEST = 80  # characters of the name and version of a model


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says of a trial.

    Attributes:
        source: who says it.
        success: what it says.
        details: on what it rests, as far as it says: ``DETAILS``.

    """

    source: str
    success: bool
    details: Mapping[str, Any] = field(default_factory=dict)


def details_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message says of how its detector decides: score, threshold, model.

    Raises:
        ValueError: a score or threshold is no finite number, or the model is no text.

    """
    found = {name: data[name] for name in DETAILS if data.get(name) is not None}
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == 'model' and not (isinstance(value, str) and len(value) <= LONGEST):
            raise ValueError(f'model: must be text of at most {LONGEST} characters')
        if name != 'model' and not (number and abs(value) < math.inf):
            raise ValueError(f'{name}: must be a finite number')
    return found


class Detections:
    """What was said of the current trial; all of it is noted once the trial has ended."""

    def __init__(self, conducts: Callable[[], Conductor], now: Callable[[], float],
                 keep: Callable[[Callable[[], None]], None]) -> None:
        """Begin with nothing.

        Args:
            conducts: returns who conducts now.
            now: returns the node clock, [s].
            keep: writes when it can.

        """
        self._conducts, self._now, self._keep = conducts, now, keep
        self._said: dict[str, Detection] = {}

    def begin(self) -> None:
        """Forget what was said of the trial before, but not how the simulated scene is."""
        scene = self._said.get(SIMULATOR)
        self._said = {SIMULATOR: scene} if scene is not None and not scene.success else {}

    def hear(self, said: Detection, code: str) -> bool:
        """Take what is said of a trial, '' for the current one; say if that one has succeeded."""
        conductor = self._conducts()
        phase, current = conductor.phase, conductor.current.code
        if code and code != current:
            self._note(code, said)  # of a trial that is over
            return False
        self._said[said.source] = said
        late = phase is Phase.JUDGE and said.source != SIMULATOR  # its scene may be reset by now
        if late or (said.success and phase in (Phase.RUNNING, Phase.JUDGE)):
            self._note(current, said)
        return said.success

    def note_all(self, code: str) -> None:
        """Note what was said of a trial that has ended; what comes later, revises."""
        for said in self._said.values():
            self._note(code, said)

    def _note(self, code: str, said: Detection) -> None:
        conductor, now = self._conducts(), self._now()

        def write() -> None:
            if any(one.code == code and one.started == one.started
                   and one.is_news(said.source, said.success) for one in conductor.attempts):
                conductor.take(Verb(
                    'detect', said.source, code=code, value=said.success, details=said.details),
                    now)

        self._keep(write)
