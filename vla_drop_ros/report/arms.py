# SPDX-License-Identifier: Apache-2.0
"""What every arm did in the complete rounds: success, stages, failures, time, speed, size."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_drop_ros.report.trial_row import NAN, TrialRow
from vla_drop_ros.trials.design import Design, StudyArm
from vla_drop_ros.trials.posterior import Posterior
from vla_drop_ros.trials.solve_time import solved_by, SolvedBy
from vla_drop_ros.trials.statistics import Interval, wilson

UNNAMED, PARTIAL = 'no reason given', 'partial success'
LONGEST_QUOTE = 140


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What the manifest of an arm's checkpoint says.

    Attributes:
        parameters: of the whole model.
        bytes: of these in the file, [byte].
        memory: that they take when they run, [byte].
        blocks: by stack, in words.
        note: why there is nothing, '' where there is.

    """

    parameters: int = 0
    bytes: int = 0
    memory: int = 0
    blocks: str = ''
    note: str = ''


@dataclass(frozen=True, slots=True)
class Quote:
    """What was said of a trial that was not solved; long notes end with ..."""

    robot: str
    trial: str
    text: str


@dataclass(frozen=True, slots=True)
class Speed:
    """From the capture of the images to the command they led to, over the trials of an arm.

    Attributes:
        trials: that were measured.
        medians: of the trials, [s].
        median: of these, [s].
        p95: median of the trials' 95th percentiles, [s].
        worst: of all, [s].

    """

    trials: int
    medians: tuple[float, ...]
    median: float
    p95: float
    worst: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm.

    Attributes:
        name: of the arm.
        checkpoint: as the design names it.
        hash: identity of the checkpoint.
        facts: of its manifest.
        successes: trials that succeeded.
        trials: that count.
        success: Wilson's interval of 95 %.
        belief: mean and central 95 % of the posterior from a flat prior; descriptive.
        conditions: condition -> (successes, trials).
        stages: share of trials that came at least so far, by stage of the rubric, then success.
        progress: of every trial, 0..1.
        failures: reason -> failures; ``PARTIAL`` -> partial successes.
        quotes: the same keys -> what people said of these trials.
        ends: why trials ended.
        solved: share solved by a time.
        speed: latency.
        match: median match of the scene with its reference picture, 0..1; nan.
        worst_match: the lowest of these; nan.
        matches: trials with such a number.

    """

    name: str
    checkpoint: str
    hash: str
    facts: CheckpointFacts
    successes: int
    trials: int
    success: Interval
    belief: Interval
    conditions: Mapping[str, tuple[int, int]]
    stages: tuple[float, ...]
    progress: tuple[float, ...]
    failures: Mapping[str, int]
    quotes: Mapping[str, tuple[Quote, ...]]
    ends: Mapping[str, int]
    solved: SolvedBy
    speed: Speed
    match: float
    worst_match: float
    matches: int


def arm_result(arm: StudyArm, rows: Sequence[TrialRow], design: Design, facts: CheckpointFacts
               ) -> ArmResult:
    """Return what one arm did in the trials that count."""
    mine = [row for row in rows if row.counted and row.arm == arm.name]
    won = sum(row.success for row in mine)
    places = {one.id: [row.success for row in mine if row.condition == one.id]
              for one in design.conditions}
    reached = [sum(row.stages > stage for row in mine) for stage in range(len(design.rubric))]
    funnel = [count / len(mine) for count in (*reached, won)] if mine else []
    matches = _numbers(mine, 'picture', 'match')
    belief = Posterior(won, len(mine))
    unsolved = {reason: [row for row in mine if _failure(row) == reason]
                for reason in map(_failure, mine) if reason}
    return ArmResult(
        arm.name, arm.checkpoint, arm.hash, facts, won, len(mine), wilson(won, len(mine)),
        Interval(belief.mean, *belief.interval(), 0.95),
        {name: (sum(found), len(found)) for name, found in places.items()}, tuple(funnel),
        tuple(row.progress for row in mine),
        {reason: len(found) for reason, found in unsolved.items()},
        {reason: _quotes(found) for reason, found in unsolved.items()},
        Counter(row.end_reason for row in mine),
        solved_by([row.seconds if row.success else NAN for row in mine], design.timeout),
        speed_of(mine), _median(matches),
        min(matches, default=NAN), len(matches))


def speed_of(rows: Sequence[TrialRow]) -> Speed:
    """Return the latency of trials."""
    medians = _numbers(rows, 'latency', 'median')
    return Speed(len(medians), tuple(medians), _median(medians),
                 _median(_numbers(rows, 'latency', 'p95')),
                 max(_numbers(rows, 'latency', 'worst'), default=NAN))


def _failure(row: TrialRow) -> str:
    """Return how a trial failed; '' for a success."""
    return {'failure': row.reason or UNNAMED, 'partial': PARTIAL}.get(row.verdict, '')


def _quotes(rows: Sequence[TrialRow]) -> tuple[Quote, ...]:
    found = ((row, ' '.join(row.note.split())) for row in rows if row.note.strip())
    return tuple(Quote(row.robot, row.code, text if len(text) <= LONGEST_QUOTE else
                       f'{text[:LONGEST_QUOTE - 4]} ...') for row, text in found)


def _numbers(rows: Sequence[TrialRow], *keys: str) -> list[float]:
    return [value for row in rows if np.isfinite(value := row.number(*keys))]


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else NAN
