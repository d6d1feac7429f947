# SPDX-License-Identifier: Apache-2.0
"""The Pareto front that a search found, as a file: torch-free."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
import json
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluated plan.

    Attributes:
        plan: what is gone.
        error: mean absolute error of the executed steps against the demonstrations, in standard
            deviations of the actions.
        deviation: standard error of it over samples.
        cost: predicted ``latency`` [s], ``parameters`` and ``flops``.
        control: evaluated to compare with, not found by the search.
        fresh: error and its standard error on frames that chose nothing; None before the end.

    """

    plan: Plan
    error: float
    deviation: float
    cost: Mapping[str, float]
    control: bool = False
    fresh: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), 'plan': self.plan.to_dict(), 'cost': dict(self.cost)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Point':
        """Build from ``to_dict`` output."""
        fresh = data['fresh']
        return cls(**{**data, 'plan': Plan.from_dict(data['plan']),
                      'fresh': None if fresh is None else tuple(fresh)})

    @property
    def best_estimate(self) -> tuple[float, float]:
        """Error and standard error, on fresh frames if it was measured there."""
        return self.fresh or (self.error, self.deviation)


@dataclass(frozen=True, slots=True)
class Front:
    """What nothing else beats in both error and latency, fastest last.

    Attributes:
        checkpoint: ``path``, ``name``, ``sha256`` and ``family``.
        layout: facts about its stacks.
        search: what was searched with: criterion, samples, seed, hash of the frames.
        evaluated: number of plans.
        complete: nothing was left to try.
        whole: the model as it is.
        points: the front.

    """

    checkpoint: Mapping[str, Any]
    layout: Layout
    search: Mapping[str, Any]
    evaluated: int
    complete: bool
    whole: Point
    points: tuple[Point, ...]

    def plan(self, number: int) -> Plan:
        """Return the plan of a point, with where it comes from; PlanError if there is none."""
        if not 0 <= number < len(self.points):
            raise PlanError(f'--pick {number}: the front has points 0 to {len(self.points) - 1}')
        point = self.points[number]
        return replace(point.plan, checkpoint=str(self.checkpoint['sha256']), origin={
            'criterion': {'name': 'search', **self.search, 'error': point.error,
                          'fresh': point.fresh},
            'predicted': dict(point.cost), 'before': dict(self.whole.cost)})

    def save(self, path: str | Path) -> None:
        """Write a file, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'{path.name}.partial')
        partial.write_text(json.dumps({
            'format': FORMAT, 'front_of': dict(self.checkpoint), 'layout': self.layout.to_dict(),
            'search': dict(self.search), 'evaluated': self.evaluated, 'complete': self.complete,
            'whole': self.whole.to_dict(),
            'points': [point.to_dict() for point in self.points]}, indent=1) + '\n')
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> 'Front':
        """Read a file; PlanError if it is none."""
        try:
            data = json.loads(Path(path).read_text())
            if data['format'] != FORMAT:
                raise ValueError(f'format {data["format"]}')
            return cls(data['front_of'], Layout.from_dict(data['layout']), data['search'],
                       data['evaluated'], data['complete'], Point.from_dict(data['whole']),
                       tuple(Point.from_dict(point) for point in data['points']))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PlanError(f'{str(path)!r} is no front: {error!r}; write one with '
                            '`vla_drop plan ranking.json --search`') from error
