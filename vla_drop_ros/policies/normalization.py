# SPDX-License-Identifier: Apache-2.0
"""State and action statistics: the numbers between robot units and model units."""

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and standard deviation of a vector, each of shape (D,), in the vector's units."""

    mean: FloatArray
    std: FloatArray

    def __post_init__(self) -> None:
        """Refuse statistics that would hide or blow up a value."""
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise CheckpointError(
                f'normalisation: mean {self.mean.shape} and std {self.std.shape} must be vectors '
                'of one length')
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()
                and (self.std > 0).all()):
            raise CheckpointError('normalisation: means must be finite and every std > 0')

    def normalize(self, values: FloatArray) -> FloatArray:
        """Return (values - mean) / std."""
        return (values - self.mean) / self.std

    def denormalize(self, values: FloatArray) -> FloatArray:
        """Return values * std + mean."""
        return values * self.std + self.mean


@dataclass(frozen=True, slots=True)
class Normalization:
    """Statistics of the state vector and of one action."""

    state: Statistics
    action: Statistics

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Normalization':
        """Build from ``{'state': {'mean': [...], 'std': [...]}, 'action': {...}}``."""
        try:
            return cls(**{
                name: Statistics(*(np.asarray(data[name][key], dtype=np.float64)
                                   for key in ('mean', 'std')))
                for name in ('state', 'action')})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'normalisation needs mean and std of state and action: {error!r}') from error

    @classmethod
    def load(cls, path: Path) -> 'Normalization':
        """Read a ``normalization.json``."""
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise CheckpointError(f'{str(path)!r} cannot be read: {error}') from error
