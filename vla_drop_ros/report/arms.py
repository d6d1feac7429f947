# SPDX-License-Identifier: Apache-2.0
"""What every arm did in the complete rounds: success, stages, failures, time, speed, size."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vla_drop_ros.report.trial_row import NAN, TrialRow
from vla_drop_ros.trials.design import Design, StudyArm
from vla_drop_ros.trials.solve_time import solved_by, SolvedBy
from vla_drop_ros.trials.statistics import Interval, wilson

UNNAMED = 'no reason given'


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What the manifest of an arm's checkpoint says.

    Attributes:
        parameters: of the whole model.
        bytes: of these, [byte].
        blocks: by stack, in words.
        note: why there is nothing, '' where there is.

    """

    parameters: int = 0
    bytes: int = 0
    blocks: str = ''
    note: str = ''


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
        conditions: condition -> (successes, trials).
        stages: share of trials that came at least so far, by stage of the rubric, then success.
        failures: reason -> failures; the reasons of partial successes too.
        ends: why trials ended.
        solved: share solved by a time.
        speed: latency.
        memory: most memory of the policy in a trial, [MB]; nan: not measured.
        match: median match of the scene with its reference picture, 0..1; nan.
        matches: trials with such a number.
        clipped: commands that the gate altered, a trial; nan.
        path: mean length of the way of the hand, [m]; nan.

    """

    name: str
    checkpoint: str
    hash: str
    facts: CheckpointFacts
    successes: int
    trials: int
    success: Interval
    conditions: Mapping[str, tuple[int, int]]
    stages: tuple[float, ...]
    failures: Mapping[str, int]
    ends: Mapping[str, int]
    solved: SolvedBy
    speed: Speed
    memory: float
    match: float
    matches: int
    clipped: float
    path: float
    confidence: float = field(default=0.95)


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
    return ArmResult(
        arm.name, arm.checkpoint, arm.hash, facts, won, len(mine), wilson(won, len(mine)),
        {name: (sum(found), len(found)) for name, found in places.items()}, tuple(funnel),
        Counter(row.reason or UNNAMED for row in mine if row.verdict == 'failure'),
        Counter(row.end_reason for row in mine),
        solved_by([row.seconds if row.success else NAN for row in mine], design.timeout),
        speed_of(mine), max(_numbers(mine, 'memory_mb'), default=NAN), _median(matches),
        len(matches), _mean(_numbers(mine, 'clipped')), _mean(_numbers(mine, 'motion', 'path')))


def speed_of(rows: Sequence[TrialRow]) -> Speed:
    """Return the latency of trials."""
    medians = _numbers(rows, 'latency', 'median')
    return Speed(len(medians), tuple(medians), _median(medians),
                 _median(_numbers(rows, 'latency', 'p95')),
                 max(_numbers(rows, 'latency', 'worst'), default=NAN))


def _numbers(rows: Sequence[TrialRow], *keys: str) -> list[float]:
    return [value for row in rows if np.isfinite(value := row.number(*keys))]


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else NAN


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else NAN
