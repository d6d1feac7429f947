# SPDX-License-Identifier: Apache-2.0
"""What is measured while a trial runs; it goes into the log when the trial has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Any, Protocol

import numpy as np

from vla_drop_ros.trials.motion import MotionTrack


class Load(Protocol):
    """What watches the load of the machine; neither method waits for anything."""

    def begin(self) -> None:
        """Begin with a trial."""

    def end(self) -> Mapping[str, Any]:
        """End it, and return what is known of it; again the same until the next begins."""


@dataclass(slots=True)
class CommandPace:
    """How steadily commands came.

    Attributes:
        commands: so many.
        first: stamp of the first, node clock, [s]; nan: none came.
        last: the same of the last.
        longest_gap: between two, [s].

    """

    commands: int = 0
    first: float = math.nan
    last: float = math.nan
    longest_gap: float = 0.0

    def add(self, stamp: float) -> None:
        """Take a command by its stamp, node clock, [s]; one that is older does not count."""
        if not math.isfinite(stamp) or stamp < self.last:
            return
        if self.commands:
            self.longest_gap = max(self.longest_gap, stamp - self.last)
        else:
            self.first = stamp
        self.commands += 1
        self.last = stamp

    def to_dict(self) -> dict[str, Any]:
        """Return ``commands``, ``rate`` [Hz] and ``longest_gap`` [s]; two make a rate."""
        if not self.commands:
            return {}
        span = self.last - self.first
        return {'commands': self.commands, **({} if span <= 0.0 else {
            'rate': round((self.commands - 1) / span, 3),
            'longest_gap': round(self.longest_gap, 4)})}


@dataclass(slots=True)
class TrialMeasures:
    """Filled while a trial runs.

    Attributes:
        ages: from the capture of the images to the command they led to, [s].
        chunks: action chunks that came.
        clipped: commands that the gate altered before it, None until it said how many.
        clipped_now: the same now.
        instruction: as it was sent.
        first_chunk: from the start to the first chunk, [s]; nan: none came.
        started: node clock, [s].
        prepare: how long policy, reset and people took before it, [s], as far as it is known.
        motion: of the end effector.
        control: of the commands that the gate sent.
        host: load of the machine, as ``HostLoad.end``.

    """

    ages: list[float] = field(default_factory=list)
    chunks: int = 0
    clipped: int | None = None
    clipped_now: int | None = None
    instruction: str = ''
    first_chunk: float = math.nan
    started: float = math.nan
    prepare: Mapping[str, float] = field(default_factory=dict)
    motion: MotionTrack = field(default_factory=MotionTrack)
    control: CommandPace = field(default_factory=CommandPace)
    host: Mapping[str, Any] = field(default_factory=dict)

    def count_clipped(self, total: int) -> None:
        """Take how many commands the gate has altered in all."""
        if self.clipped is None:
            self.clipped = total
        elif self.clipped_now is not None and total < self.clipped_now:
            self.clipped -= self.clipped_now  # the gate was started anew, from zero
        self.clipped_now = total

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what was not measured is left out."""
        found: dict[str, Any] = {'chunks': self.chunks, 'instruction': self.instruction}
        if self.ages:
            found['latency'] = summary(self.ages)
        if self.first_chunk == self.first_chunk:
            found['first_chunk'] = round(self.first_chunk, 4)
        if self.clipped is not None and self.clipped_now is not None:
            found['clipped'] = self.clipped_now - self.clipped
        for name, values in (
                ('prepare', {key: round(value, 3) for key, value in self.prepare.items()}),
                ('motion', self.motion.to_dict(self.started)),
                ('control', self.control.to_dict()), ('host', dict(self.host))):
            if values:
                found[name] = values
        return found


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return count, mean, median, 95th percentile and worst of latencies, [s]."""
    values = np.asarray(seconds, dtype=float)
    median, p95 = np.percentile(values, [50, 95])
    return {'count': len(values), 'mean': round(float(values.mean()), 5),
            'median': round(float(median), 5), 'p95': round(float(p95), 5),
            'worst': round(float(values.max()), 5)}
