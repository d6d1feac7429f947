# SPDX-License-Identifier: Apache-2.0
"""What is measured while a trial runs; it goes into the log when the trial has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


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

    """

    ages: list[float] = field(default_factory=list)
    chunks: int = 0
    clipped: int | None = None
    clipped_now: int | None = None
    instruction: str = ''
    first_chunk: float = float('nan')

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
        return found


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return count, mean, median, 95th percentile and worst of latencies, [s]."""
    values = np.asarray(seconds, dtype=float)
    median, p95 = np.percentile(values, [50, 95])
    return {'count': len(values), 'mean': round(float(values.mean()), 5),
            'median': round(float(median), 5), 'p95': round(float(p95), 5),
            'worst': round(float(values.max()), 5)}
