# SPDX-License-Identifier: Apache-2.0
"""A ranking: the scores of every criterion on one calibration set, and how sure they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.errors import RankingError, unknown
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.types import FloatArray

FORMAT = 1


@dataclass(frozen=True, slots=True)
class UnitRanking:
    """The scores of one criterion for one unit of one stack.

    Attributes:
        values: by block, or for channels and heads by block and unit; NaN: not scored.
        low, high: 95 % bootstrap interval over samples, as ``values``; None if not resampled.
        stability: mean rank correlation between this order and those of resamples, Kendall's of
            blocks, Spearman's of channels and heads.
        oracle: Spearman correlation with leave-one-out: ``value``, ``low``, ``high``.
        rule: how blocks are picked: ``lowest``, ``contiguous``, ``twins``, ``uniform``.
        extra: what else was found.

    """

    values: Any
    low: Any = None
    high: Any = None
    stability: float | None = None
    oracle: Mapping[str, float] | None = None
    rule: str = 'lowest'
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CriterionRanking:
    """All scores of one criterion: unit -> stack -> scores."""

    higher_means: str
    source: str
    seconds: float
    units: Mapping[str, Mapping[str, UnitRanking]]

    def importance(self, unit: str, stack: str) -> FloatArray:
        """Return the scores of the blocks with the sign that makes a high one mean keep."""
        values = np.asarray(self.units[unit][stack].values, dtype=float)
        return values if self.higher_means == 'keep' else -values

    def width_importance(self, unit: str, stack: str) -> list[FloatArray]:
        """Return the scores of channels or heads by block, a high one means keep."""
        sign = 1.0 if self.higher_means == 'keep' else -1.0
        return [sign * np.asarray(block, dtype=float) for block in self.units[unit][stack].values]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What ``rank`` writes and ``plan`` reads.

    Attributes:
        checkpoint: ``path``, ``name``, ``sha256`` and ``family``.
        layout: facts about the stacks.
        calibration: the record of the samples; None if no criterion needed any.
        base: folder and hash of the vision-language model; None if none was given.
        loss: mean action loss of the whole model and its standard error.
        criteria: by name.
        costs: see ``cost.py``.
        seed: of everything random.

    """

    checkpoint: Mapping[str, Any]
    layout: Layout
    criteria: Mapping[str, CriterionRanking]
    calibration: Mapping[str, Any] | None = None
    base: Mapping[str, Any] | None = None
    loss: Mapping[str, float] | None = None
    costs: Mapping[str, Any] | None = None
    seed: int = 0

    def pick(self, name: str) -> CriterionRanking:
        """Return the scores of a criterion; RankingError names those that the file has."""
        if name not in self.criteria:
            raise RankingError(f'{unknown("criterion", name, self.criteria)} '
                               'Rank again with --criterion to have another')
        return self.criteria[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what is not a number becomes null."""
        return {'format': FORMAT, **{
            name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}}

    @classmethod
    def from_dict(cls, data: Any) -> 'Ranking':
        """Build from ``to_dict`` output."""
        if not isinstance(data, dict) or data.get('format') != FORMAT:
            raise RankingError(f'a ranking is a JSON object with "format": {FORMAT}; write one '
                               'with `vla_drop rank`')
        try:
            fields = {name: data[name] for name in cls.__dataclass_fields__}
            fields['layout'] = Layout.from_dict(data['layout'])
            fields['criteria'] = {
                name: CriterionRanking(
                    found['higher_means'], found['source'], found['seconds'],
                    {unit: {stack: UnitRanking(**{**one, **_arrays(one)})
                            for stack, one in stacks.items()}
                     for unit, stacks in found['units'].items()})
                for name, found in data['criteria'].items()}
            return cls(**fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RankingError(f'the ranking is malformed: {error!r}; rank again') from error

    @classmethod
    def load(cls, path: str | Path) -> 'Ranking':
        """Read a ranking file."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except (OSError, ValueError) as error:
            raise RankingError(f'ranking {str(path)!r} cannot be read: {error}') from error
        except RankingError as error:
            raise RankingError(f'ranking {str(path)!r}: {error}') from error

    def save(self, path: str | Path) -> None:
        """Write a ranking file, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'{path.name}.partial')
        partial.write_text(json.dumps(self.to_dict()) + '\n')
        partial.replace(path)


def _arrays(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a unit as arrays, null as NaN."""
    def array(values: Any) -> Any:
        if values is None:
            return None
        if values and isinstance(values[0], list):
            return [np.array(block, dtype=float) for block in values]
        return np.array(values, dtype=float)

    return {name: array(one[name]) for name in ('values', 'low', 'high')}


def _plain(value: Any) -> Any:
    """Return JSON types; NaN and infinities become None."""
    if hasattr(value, '__dataclass_fields__'):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
