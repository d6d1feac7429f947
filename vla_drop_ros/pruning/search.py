# SPDX-License-Identifier: Apache-2.0
"""Search the Pareto front: action error on held-out demonstrations against predicted latency.

Greedy refinement by leave-one-out over stacks, drop modes and depths at once: from the whole model
on, of each stack and mode the least important blocks by a ranking are taken away one at a time,
and the removal that adds least error for the time it saves stays. When nothing more can go, what
is on the front is improved by exchanging one block for another. Every evaluation is written down
at once, so that a search goes on where it was interrupted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
import json
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch

from vla_drop_ros.errors import PlanError, RankingError
from vla_drop_ros.families.family import Batch
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.front import Front, Point
from vla_drop_ros.pruning.layout import Layout, StackLayout
from vla_drop_ros.pruning.plan import Plan, UNIT_OF_MODE
from vla_drop_ros.pruning.prediction import blocks_gone, predict
from vla_drop_ros.pruning.ranking import Ranking
from vla_drop_ros.types import FloatArray

FORMAT = 1
CONTROL = 'uniform'


@dataclass
class Search:
    """A search in progress.

    Attributes:
        subject: the live model.
        batch: held-out observations, the demonstrated actions and the noise that chunks start
            from.
        executed: steps of a chunk that count.
        ranking: whose scores propose and whose costs predict.
        criterion: which of its criteria.
        beam: removals that are tried of each stack and mode, a step.
        store: where evaluations are kept.
        identity: what they hang on besides the plan; another search is not continued.

    """

    subject: Subject
    batch: Batch
    executed: int
    ranking: Ranking
    criterion: str
    beam: int
    store: Path
    identity: Mapping[str, Any]
    points: dict[str, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier run of the same search evaluated."""
        self.ranking.pick(self.criterion)
        if not (self.ranking.costs or {}).get('latency'):
            raise RankingError('a search needs predicted latency; rank again without --no-latency')
        if not self.store.exists():
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._append({'format': FORMAT, **self.identity})
            return
        lines = self.store.read_text().splitlines()
        try:
            rows = [json.loads(line) for line in lines if line.endswith('}')]
        except ValueError as error:
            raise PlanError(f'{str(self.store)!r} is damaged: {error}; delete it') from error
        if not rows or rows[0] != {'format': FORMAT, **json.loads(json.dumps(self.identity))}:
            raise PlanError(f'{str(self.store)!r} belongs to another search (other checkpoint, '
                            'data, samples or seed); choose another output, or delete it')
        if len(rows) < len(lines):  # a line that was being written when the power went
            self.store.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
        for row in rows[1:]:
            point = Point.from_dict(row)
            self.points[point.plan.key()] = point

    def run(self, seconds: float, tell: Callable[[int, int], None] = lambda *_: None) -> bool:
        """Search for at most so long; return whether there was nothing left to try.

        ``tell`` gets the number of plans evaluated and of those on the front.
        """
        deadline = time.monotonic() + seconds
        self.evaluate(Plan(), control=True)  # what all is compared with, however short the time

        def pause(plan: Plan, *, control: bool = False) -> Point | None:
            if time.monotonic() > deadline and plan.key() not in self.points:
                raise TimeoutError
            point = self.evaluate(plan, control=control)
            tell(len(self.points), len(self.front()))
            return point

        try:
            for plan in self._controls():
                pause(plan, control=True)
            self._descend(pause)
            self._exchange(pause)
        except TimeoutError:
            return False
        return True

    def evaluate(self, plan: Plan, *, control: bool = False) -> Point | None:
        """Return the point of a plan, None if the plan is illegal; known ones cost nothing."""
        key = plan.key()
        if key in self.points:
            return self.points[key]
        costs = self.ranking.costs or {}
        try:
            with dropped(self.subject.family, self.subject.model, plan):
                errors = self._errors(self.batch)
        except PlanError:
            return None
        point = Point(plan, *_mean(errors), predict(costs, self.ranking.layout, plan), control)
        self.points[key] = point
        self._append(point.to_dict())
        return point

    def confirmed(self, fresh: Batch, complete: bool,
                  tell: Callable[[float], None] = lambda _: None) -> Front:
        """Return the front with errors on fresh frames; ``tell`` gets the share that is done.

        Of many plans some look good on their frames by chance, and those are what a front is made
        of; on frames that chose nothing they do not.
        """
        points = [self.points[Plan().key()], *self.front()]
        found = []
        for number, point in enumerate(points):
            with dropped(self.subject.family, self.subject.model, point.plan):
                errors = self._errors(fresh)
            found.append(replace(point, fresh=_mean(errors)))
            tell((number + 1) / len(points))
        return Front(self.ranking.checkpoint, self.ranking.layout, self.identity,
                     len(self.points), complete, found[0], tuple(found[1:]))

    def _errors(self, batch: Batch) -> FloatArray:
        """Return the mean absolute error of the executed steps by sample."""
        with torch.no_grad():
            found = self.subject.family.act(
                self.subject.model, batch.inputs, batch.noise[:, 0])
        weights = batch.weights[:, :self.executed]
        off = (found - batch.actions)[:, :self.executed].abs() * weights
        errors: FloatArray = (off.sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)
                              ).double().cpu().numpy()
        return errors

    def _append(self, row: Mapping[str, Any]) -> None:
        with self.store.open('a') as file:
            file.write(json.dumps(row) + '\n')
            file.flush()

    def front(self) -> list[Point]:
        """Return what nothing else beats in both error and latency, fastest last."""
        best: list[Point] = []
        for point in sorted(self.points.values(),
                            key=lambda one: (one.error, one.cost['latency'])):
            if not best or point.cost['latency'] < best[-1].cost['latency']:
                best.append(point)
        return best

    def _controls(self) -> Iterator[Plan]:
        """Yield the whole model, and evenly spread drops of each stack at every depth."""
        yield Plan()
        for name, stack in self.ranking.layout.stacks.items():
            mode = next((one for one in stack.modes if UNIT_OF_MODE[one] in ('block', 'tied')),
                        None)
            period = _period(stack)
            for number in range(period, stack.depth, period) if mode else ():
                kept = stack.depth - number
                starts = {int(place * stack.depth / kept) for place in range(0, kept)} if (
                    period == 1) else set(range(kept))
                gone = [index for index in range(stack.depth) if index not in starts]
                yield Plan().with_blocks(name, str(mode), gone)

    def _descend(self, pause: Callable[[Plan], Point | None]) -> None:
        """Take away one thing after the other, by error added for time saved."""
        here = pause(Plan())
        while here is not None:
            tried = [point for plan in self._removals(here.plan)
                     if (point := pause(plan)) is not None]
            saving = [point for point in tried
                      if point.cost['latency'] < here.cost['latency']]
            if not saving:
                return
            start = here
            here = min(saving, key=lambda one: (one.error - start.error) / (
                start.cost['latency'] - one.cost['latency']))

    def _exchange(self, pause: Callable[[Plan], Point | None]) -> None:
        """Exchange one block of a plan on the front for another, until no front moves."""
        moved, done = True, set()
        while moved:
            before = [point.plan.key() for point in self.front()]
            for point in self.front():
                if point.plan.key() in done or point.plan.is_empty:
                    continue
                done.add(point.plan.key())
                for back in _returns(self.ranking.layout, point.plan):
                    for plan in self._removals(back):
                        pause(plan)
            moved = [point.plan.key() for point in self.front()] != before

    def _removals(self, plan: Plan) -> Iterator[Plan]:
        """Yield the plan with one more removal, the least important of each stack and mode."""
        layout, scores = self.ranking.layout, self.ranking.pick(self.criterion)
        for name, stack in layout.stacks.items():
            gone = blocks_gone(layout, plan, name)
            touched = gone | {index for found in plan.blocks.get(name, {}).values()
                              for index in found}
            for mode in stack.modes:
                unit = UNIT_OF_MODE[mode]
                if name not in scores.units.get(unit, {}):
                    continue
                importance = np.nan_to_num(scores.importance(unit, name), nan=np.inf)
                moves = _moves(stack, mode, gone, touched)
                moves.sort(key=lambda move: float(sum(importance[list(move)])))
                for move in moves[:self.beam]:
                    yield plan.with_blocks(name, mode, move)


def _mean(errors: FloatArray) -> tuple[float, float]:
    return float(errors.mean()), float(errors.std(ddof=1) / len(errors) ** 0.5)


def _period(stack: StackLayout) -> int:
    """Return after how many blocks the roles repeat."""
    return next((length for length in range(1, len(stack.roles) + 1) if all(
        role == stack.roles[index % length] for index, role in enumerate(stack.roles))), 1)


def _moves(stack: StackLayout, mode: str, gone: set[int], touched: set[int],
           ) -> list[tuple[int, ...]]:
    """Return what can go at once: a block, or neighbours whose roles follow each other."""
    kept = [index for index in range(stack.depth) if index not in gone]
    size = _period(stack) if mode in ('whole', 'tied') else 1
    windows = [tuple(kept[start:start + size]) for start in range(len(kept) - size + 1)]
    return [window for window in windows if not touched & set(window)]


def _returns(layout: Layout, plan: Plan) -> Iterator[Plan]:
    """Yield the plan with one removal taken back."""
    for name, modes in plan.blocks.items():
        for mode, indices in modes.items():
            size = _period(layout[name]) if mode in ('whole', 'tied') else 1
            for start in range(0, len(indices), size):
                left = indices[:start] + indices[start + size:]
                blocks = {stack: dict(found) for stack, found in plan.blocks.items()}
                blocks[name][mode] = left
                yield Plan(blocks, plan.channels, plan.heads, plan.dead)
