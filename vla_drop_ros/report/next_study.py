# SPDX-License-Identifier: Apache-2.0
"""What the next study would take, if what was observed is the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.planning import (
    fixed_pairs,
    POWER,
    robot_hours,
    sequential_pairs,
    Truth,
)
from vla_drop_ros.trials.verdict import Counts, Verdict

MOST_PLANNED = 120  # pairs of one look, beyond which the horizon is not computed: minutes
MARGINS = (0.0, 0.05)  # added to the margin of the study


@dataclass(frozen=True, slots=True)
class NextStudy:
    """One possible study.

    Attributes:
        margin: as a proportion.
        difference: assumed, candidate minus baseline.
        discordance: assumed.
        assumption: the same in words.
        one_look: pairs for 80 % power with one look at the end; 0: no number would do.
        horizon: pairs at most, looking after every round; 0: not computed, or none would do.
        mean_pairs: expected.
        hours: robot-hours of the horizon, or of one look where there is no horizon.

    """

    margin: float
    difference: float
    discordance: float
    assumption: str
    one_look: int
    horizon: int
    mean_pairs: float
    hours: float


def next_studies(verdicts: Sequence[Verdict], rows: Sequence[TrialRow], design: Design,
                 say: Callable[[str], None]) -> tuple[NextStudy, ...]:
    """Return studies for the last checkpoint that was judged, at the error at which it was.

    None without a complete round.
    """
    if not verdicts or not verdicts[-1].counts.pairs:
        return ()
    counts, cycle = verdicts[-1].counts, cycle_of(rows, design)
    observed = observed_truth(counts)
    equal, alpha = Truth(0.0, observed.discordance), verdicts[-1].terms.alpha
    found = []
    for margin in sorted({min(0.95, round(design.margin + more, 6)) for more in MARGINS}):
        for truth, words in ((observed, 'as observed'), (equal, 'the checkpoints are equal')):
            if words == 'as observed' or truth != observed:
                found.append(_one(margin, alpha, truth, words, cycle, design, say))
    return tuple(found)


def observed_truth(counts: Counts) -> Truth:
    """Return the observed difference, with a discordance that is not zero by luck."""
    discordant = counts.candidate_only + counts.baseline_only
    return Truth(0.0, (discordant + 1) / (counts.pairs + 2)).moved(
        (counts.candidate_only - counts.baseline_only) / counts.pairs)


def cycle_of(rows: Sequence[TrialRow], design: Design) -> tuple[float, float]:
    """Return how long a trial took, and how long the rest before the next is planned, [s]."""
    seconds = [row.seconds for row in rows if np.isfinite(row.seconds)]
    return float(np.mean(seconds)) if seconds else design.timeout, design.rest


def _one(margin: float, alpha: float, truth: Truth, words: str, cycle: tuple[float, float],
         design: Design, say: Callable[[str], None]) -> NextStudy:
    one_look = fixed_pairs(margin, alpha, truth)
    plan = None
    if 0 < one_look <= MOST_PLANNED:
        plan = sequential_pairs(margin, alpha, truth, POWER,
                                conditions=len(design.conditions), report=say)
    horizon = plan.horizon if plan else 0
    return NextStudy(margin, truth.difference, truth.discordance, words, one_look, horizon,
                     plan.mean_pairs if plan else 0.0,
                     robot_hours(horizon or one_look, *cycle, arms=len(design.arms)))
