# SPDX-License-Identifier: Apache-2.0
"""Ages and latencies over a sliding window, as an operator reads them."""

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Quantiles over the window, [s]; NaN while it is empty."""

    count: int
    p50: float
    p95: float
    max: float


class LatencyWindow:
    """The last ``size`` latencies."""

    def __init__(self, size: int = 256) -> None:
        """Keep at most ``size`` values."""
        self._values: deque[float] = deque(maxlen=size)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Record one latency."""
        self._values.append(seconds)
        self._count += 1

    def summary(self) -> LatencySummary:
        """Return count over all time, quantiles over the window."""
        if not self._values:
            return LatencySummary(self._count, float('nan'), float('nan'), float('nan'))
        p50, p95 = np.quantile(self._values, [0.5, 0.95])
        return LatencySummary(self._count, float(p50), float(p95), float(max(self._values)))
