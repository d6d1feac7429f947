# SPDX-License-Identifier: Apache-2.0
"""What has been measured: a line of JSON a unit, added when it is done and never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Episodes of one probe, scene by scene.

    Attributes:
        seeds: of the scenes, shape (N,).
        success: 1 or 0, shape (N,).
        steps: control periods used, shape (N,).
        other: 1 where another object than the named one moved furthest, shape (N,).

    """

    seeds: np.ndarray
    success: FloatArray
    steps: np.ndarray
    other: FloatArray

    @classmethod
    def of(cls, episodes: Sequence[Mapping[str, Any]]) -> 'Outcomes':
        """Collect what episodes returned."""
        return cls(np.array([one['seed'] for one in episodes]),
                   np.array([float(one['success']) for one in episodes]),
                   np.array([one['steps'] for one in episodes]),
                   np.array([float(one['moved'] not in (None, one['named']))
                             for one in episodes]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, a digit an episode."""
        return {'seeds': [int(seed) for seed in self.seeds],
                'success': ''.join(str(int(one)) for one in self.success),
                'steps': [int(step) for step in self.steps],
                'other': ''.join(str(int(one)) for one in self.other)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Outcomes':
        """Build from ``to_dict`` output."""
        return cls(np.array(data['seeds']), np.array([float(d) for d in data['success']]),
                   np.array(data['steps']), np.array([float(d) for d in data['other']]))

    def on(self, seeds: np.ndarray) -> 'Outcomes':
        """Return the episodes of some scenes only, in the order of ``seeds``."""
        place = {int(seed): index for index, seed in enumerate(self.seeds)}
        rows = np.array([place[int(seed)] for seed in seeds if int(seed) in place], dtype=int)
        return Outcomes(self.seeds[rows], self.success[rows], self.steps[rows], self.other[rows])


class Results:
    """A file of units; several processes may add to it."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a torn last line is left out."""
        self.path = path
        self.units: dict[str, dict[str, Any]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the file again."""
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            self.units.setdefault(record['unit'], {}).update(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a line about ``record['unit']``, on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open('a+b') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b'\n'
                file.write(b'\n' if torn else b'')
            file.write(json.dumps(record).encode() + b'\n')
            file.flush()
            os.fsync(file.fileno())
        self.units.setdefault(str(record['unit']), {}).update(record)

    def outcomes(self, unit: str, probe: str) -> Outcomes | None:
        """Return the episodes of a unit under a probe such as ``nominal/own``."""
        found = self.units.get(unit, {}).get(f'episodes {probe}')
        return None if found is None else Outcomes.from_dict(found)
