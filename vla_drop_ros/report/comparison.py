# SPDX-License-Identifier: Apache-2.0
"""One pruned checkpoint against the baseline: the verdict, and all that stands beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from vla_drop_ros.report.trial_row import NAN, TrialRow
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.drift import order_effect, OrderEffect
from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.invalid_trials import audit, InvalidAudit
from vla_drop_ros.trials.ladder import Rung
from vla_drop_ros.trials.paired_difference import (
    mean_difference,
    MeanDifference,
    progress_differences,
    sign_flip,
)
from vla_drop_ros.trials.pairs import final, Outcome
from vla_drop_ros.trials.sensitivity import Row, sensitivity
from vla_drop_ros.trials.solve_time import time_saved
from vla_drop_ros.trials.statistics import Interval, mcnemar_exact, paired_difference
from vla_drop_ros.trials.verdict import Verdict

Duo = tuple[TrialRow, TrialRow]  # candidate, baseline


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """The difference of one task, for one look: descriptive.

    Attributes:
        task: name.
        pairs: of the task.
        candidate: successes.
        baseline: successes.
        difference: Tango's interval of confidence 1 - 2 alpha.

    """

    task: str
    pairs: int
    candidate: int
    baseline: int
    difference: Interval


@dataclass(frozen=True, slots=True)
class Discordant:
    """A pair that only one arm solved: worth watching.

    Attributes:
        condition: id.
        solved_by: name of the arm.
        solved: its trial.
        failed: the other trial.

    """

    condition: str
    solved_by: str
    solved: TrialRow
    failed: TrialRow


@dataclass(frozen=True, slots=True)
class SpeedGain:
    """Latency of the pairs, candidate against baseline.

    Attributes:
        pairs: in which both were measured.
        difference: mean over pairs of the trials' medians, candidate minus baseline, [s].
        ratio: median over pairs of candidate / baseline.
        p_value: sign flips, one-sided, of 'it is no faster'.

    """

    pairs: int
    difference: float
    ratio: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pruned checkpoint against the baseline.

    Attributes:
        name: of the candidate.
        baseline: name.
        rung: verdict, and whether it stays accepted with the others in mind.
        tasks: differences by task.
        macro: mean of the tasks' differences; the primary one weighs conditions alike.
        mcnemar: exact two-sided p value of one look, 'both solve equally many'.
        discordant: pairs to watch.
        progress: rubric, candidate minus baseline; None without a rubric.
        time: how much sooner it is done, as a share of the timeout; failures count as timeout.
        speed: latency.
        order: place in the pair.
        invalid: trials left out, by arm.
        rows: sensitivity.

    """

    name: str
    baseline: str
    rung: Rung
    tasks: tuple[TaskDifference, ...]
    macro: float
    mcnemar: float
    discordant: tuple[Discordant, ...]
    progress: MeanDifference | None
    time: MeanDifference
    speed: SpeedGain
    order: OrderEffect
    invalid: InvalidAudit
    rows: tuple[Row, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the verdict."""
        return self.rung.verdict


def compare(rung: Rung, baseline: str, rows: Sequence[TrialRow], outcomes: Sequence[Outcome],
            design: Design) -> Comparison:
    """Return all about one candidate.

    Args:
        rung: its verdict.
        baseline: name of the arm.
        rows: every judged attempt, arms named.
        outcomes: the same attempts as the statistics take them.
        design: of the study.

    """
    terms, name = rung.verdict.terms, rung.name
    duos = duos_of(rows, name, baseline)
    tasks = tuple(_task(task, duos, terms) for task in sorted({one.task for one, _ in duos}))
    counted = [one for one in outcomes if (one.index, one.attempt) in
               {(row.index, row.attempt) for row in rows if row.counted}]
    counts = rung.verdict.counts
    times = [[row.seconds if row.success else NAN for row in column]
             for column in zip(*duos, strict=True)] or [[], []]
    return Comparison(
        name, baseline, rung, tasks,
        float(np.mean([one.difference.estimate for one in tasks])) if tasks else NAN,
        mcnemar_exact(counts.candidate_only, counts.baseline_only), _discordant(duos),
        mean_difference(progress_differences(final(counted), baseline, name), 0.0, terms.alpha)
        if design.rubric else None,
        time_saved(times[0], times[1], design.timeout, terms.alpha), _gain(duos),
        order_effect(outcomes, baseline, name), audit(outcomes, baseline, name),
        tuple(sensitivity(outcomes, baseline, name, terms, rung.verdict)))


def duos_of(rows: Sequence[TrialRow], candidate: str, baseline: str) -> list[Duo]:
    """Return candidate's and baseline's trial of every pair of the complete rounds, in order."""
    places: Mapping[tuple[int, str], TrialRow] = {
        (row.pair, row.arm): row for row in rows if row.counted}
    return [(row, places[pair, baseline]) for (pair, arm), row in sorted(places.items())
            if arm == candidate and (pair, baseline) in places]


def _task(task: str, duos: Sequence[Duo], terms: Terms) -> TaskDifference:
    mine = [(one.success, other.success) for one, other in duos if one.task == task]
    return TaskDifference(
        task, len(mine), sum(one for one, _ in mine), sum(other for _, other in mine),
        paired_difference(mine.count((True, False)), mine.count((False, True)), len(mine),
                          1 - 2 * terms.alpha))


def _discordant(duos: Sequence[Duo]) -> tuple[Discordant, ...]:
    return tuple(
        Discordant(one.condition, one.arm if one.success else other.arm,
                   *((one, other) if one.success else (other, one)))
        for one, other in duos if one.success != other.success)


def _gain(duos: Sequence[Duo]) -> SpeedGain:
    both = [(mine, theirs) for one, other in duos
            if isfinite(mine := one.number('latency', 'median'))
            and isfinite(theirs := other.number('latency', 'median')) and theirs > 0]
    if not both:
        return SpeedGain(0, NAN, NAN, NAN)
    values = np.array(both)
    return SpeedGain(len(both), float((values[:, 0] - values[:, 1]).mean()),
                     float(np.median(values[:, 0] / values[:, 1])),
                     sign_flip(values[:, 1] - values[:, 0]))
