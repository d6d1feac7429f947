# SPDX-License-Identifier: Apache-2.0
"""The time between two trials, as far as a session saw it: end, verdict, scene, start."""

from dataclasses import dataclass


@dataclass(slots=True)
class Intermission:
    """Stamps of a clock that never stops, [s]; None: this session did not see it.

    Attributes:
        over: end of the last trial.
        arranged: when people said that the next scene is arranged.

    """

    over: float | None = None
    arranged: float | None = None

    def took(self, now: float) -> dict[str, float]:
        """Return ``arrange``, from the end to now, and ``arranged``, until people said so, [s]."""
        stamps = {'arrange': now, 'arranged': self.arranged}
        return {} if self.over is None else {
            name: stamp - self.over for name, stamp in stamps.items() if stamp is not None}

    def since(self, now: float) -> float | None:
        """Return the time since the end of the last trial, [s]."""
        return None if self.over is None else now - self.over
