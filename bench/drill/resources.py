# SPDX-License-Identifier: Apache-2.0
"""What processes hold over time: memory, open files, shared memory; and whether it grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path
import threading
import time

import numpy as np
from scipy import stats

PERIOD = 2.0     # [s] between two samples
BLOCKS = 10      # means that the slope is fitted to: neighbouring samples are not independent
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process holds: when (monotonic, [s]), bytes in memory, files, segments."""

    wall: float
    memory: int
    files: int
    segments: int


def holding(pid: int, wall: float) -> Holding | None:
    """Return what a process holds now; None where it is gone."""
    folder = Path('/proc', str(pid))
    try:
        pages = int((folder / 'statm').read_text().split()[1])
        files = len(os.listdir(folder / 'fd'))
        segments = {line.split()[-1] for line in (folder / 'maps').read_text().splitlines()
                    if '/dev/shm/' in line}
    except (OSError, IndexError):
        return None
    return Holding(wall, pages * os.sysconf('SC_PAGE_SIZE'), files, len(segments))


@dataclass
class Sampler:
    """Takes samples in a thread, inside a ``with`` block.

    Attributes:
        processes: name -> process id.
        taken: name -> samples.

    """

    processes: Mapping[str, int]
    taken: dict[str, list[Holding]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> 'Sampler':
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for name, pid in self.processes.items():
                if (found := holding(pid, time.monotonic())) is not None:
                    self.taken.setdefault(name, []).append(found)
            if self._ended.wait(PERIOD):
                return


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory over time: slope and its 95 % interval, [MiB/h]."""

    slope: float
    low: float
    high: float


def growth(samples: Sequence[Holding], begin: float) -> Growth | None:
    """Return how memory grows after ``begin`` (monotonic, [s]); None with too few samples.

    A line is fitted to the means of ``BLOCKS`` blocks of time; the interval is Student's.
    """
    late = [one for one in samples if one.wall >= begin]
    if len(late) < 2 * BLOCKS:
        return None
    blocks = np.array_split(np.array([[one.wall, one.memory] for one in late]), BLOCKS)
    means = np.array([block.mean(axis=0) for block in blocks])
    line = stats.linregress((means[:, 0] - means[0, 0]) / 3600.0, means[:, 1] / MEBIBYTE)
    reach = float(stats.t.ppf(0.975, BLOCKS - 2) * line.stderr)
    return Growth(float(line.slope), float(line.slope) - reach, float(line.slope) + reach)
