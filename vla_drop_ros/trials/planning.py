# SPDX-License-Identifier: Apache-2.0
"""How many pairs, and hours of the robot, a study needs, and what a smaller one cannot see.

A truth is written as the difference of success rates and the discordance, the share of pairs in
which the arms differ. Independent arms that both succeed in 80 % of trials differ in 32 % of the
pairs; a checkpoint and its pruned self usually in fewer. Power is exact, by enumeration of one
look and by the walk of the counts for a boundary.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.boundary import Boundary, Calibration, Spending
from vla_drop_ros.trials.paired_walk import crossing, Rule, scores

POWER = 0.8
TRUTHS = 33  # differences that are followed at once
MOST_PAIRS = 1000  # for which power is enumerated; beyond, the normal approximation
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is assumed of the two arms.

    Attributes:
        difference: success of the candidate minus that of the baseline.
        discordance: share of pairs that one arm solves and the other does not.

    """

    difference: float
    discordance: float

    def __post_init__(self) -> None:
        """Refuse what no two arms can do."""
        if not abs(self.difference) <= self.discordance <= 1.0:
            raise TrialError(f'a difference of {self.difference:g} with a discordance of '
                             f'{self.discordance:g}; the discordance lies between the difference '
                             'and 1')

    @classmethod
    def independent(cls, baseline: float, candidate: float) -> 'Truth':
        """Return the truth of arms that know nothing of each other's luck."""
        return cls(candidate - baseline,
                   candidate * (1 - baseline) + baseline * (1 - candidate))

    @property
    def candidate_only(self) -> float:
        """Return the probability that only the candidate solves a pair."""
        return max(0.0, (self.discordance + self.difference) / 2)

    @property
    def baseline_only(self) -> float:
        """Return the probability that only the baseline solves a pair."""
        return max(0.0, (self.discordance - self.difference) / 2)

    def moved(self, difference: float) -> 'Truth':
        """Return the same discordance, or as much more as another difference needs."""
        return Truth(difference, max(self.discordance, abs(difference)))


def robot_hours(pairs: int, trial: float, reset: float, arms: int = 2) -> float:
    """Return the hours [h] that pairs take; trial and reset in [s]."""
    return pairs * arms * (trial + reset) / 3600.0


def fixed_power(pairs: int, margin: float, alpha: float, truth: Truth) -> float:
    """Return the power of one look after all pairs with Tango's score, enumerated."""
    p, q = truth.candidate_only, truth.baseline_only
    rejected = scores(pairs, margin) >= norm.isf(alpha)
    most = rejected.sum(axis=1) - 1  # the score falls with c, so c = 0 .. most reject
    b = np.arange(pairs + 1)
    share = min(1.0, q / (1 - p)) if p < 1 else 0.0
    return float((binom.pmf(b, pairs, p) * binom.cdf(most, pairs - b, share)).sum())


def fixed_pairs(margin: float, alpha: float, truth: Truth, power: float = POWER) -> int:
    """Return the pairs of one look that reach a power, or 0 where none do.

    The first number that does: a few more pairs may be a little worse, as counts are whole.
    """
    if truth.difference <= -margin:
        return 0
    guess = _approximate_pairs(margin, alpha, truth, power)
    if guess > MOST_PAIRS:
        return guess
    n = max(1, int(0.6 * guess) - 10)
    while n > 1 and fixed_power(n, margin, alpha, truth) >= power:
        n = n // 2
    while fixed_power(n, margin, alpha, truth) < power:
        n += 1
    return n


def _approximate_pairs(margin: float, alpha: float, truth: Truth, power: float) -> int:
    variance = truth.discordance - truth.difference ** 2
    effect = truth.difference + margin
    spread = float(norm.isf(alpha) + norm.ppf(power))
    return max(1, int(np.ceil(max(variance, 1e-3) * (spread / effect) ** 2)))


@dataclass(frozen=True, slots=True)
class SequentialPlan:
    """What a boundary needs.

    Attributes:
        horizon: pairs at most.
        power: probability of the verdict.
        mean_pairs: expected, where the study stops at the verdict.
        half_by: pairs by which half of such studies have it; 0: less than half ever do.

    """

    horizon: int
    power: float
    mean_pairs: float
    half_by: int


def rule_plan(rule: Rule, horizon: int, truth: Truth) -> SequentialPlan:
    """Return what any rule needs under a truth, exactly."""
    found = crossing(rule, horizon, truth.candidate_only, truth.baseline_only)
    return SequentialPlan(horizon, float(found.power[0]), float(found.mean_pairs[0]),
                          int(found.quantile(0.5)[0]))


def sequential_plan(boundary: Boundary, truth: Truth) -> SequentialPlan:
    """Return the power of a boundary and when it stops, exactly."""
    return rule_plan(boundary.region, boundary.horizon, truth)


def sequential_pairs(margin: float, alpha: float, truth: Truth, power: float = POWER, *,
                     spending: Spending = 'linear', calibration: Calibration = 'iid',
                     conditions: int = 1, report: Report | None = None) -> SequentialPlan | None:
    """Return a horizon, found by halving, whose boundary reaches a power; None where none does.

    Args:
        margin: of the study.
        alpha: one-sided error.
        truth: what is assumed.
        power: to reach.
        spending: of the boundary.
        calibration: of the boundary.
        conditions: pairs a round; horizons and looks are whole rounds.
        report: called with a line before every boundary that is tried; hundreds of pairs take
            minutes.

    """
    fixed = fixed_pairs(margin, alpha, truth, power)
    if not 0 < fixed <= MOST_PAIRS // 2:
        return None

    def plan(rounds: int) -> SequentialPlan:
        horizon = rounds * conditions
        if report is not None:
            report(f'trying {horizon} pairs')
        looks = range(conditions, horizon + 1, conditions)
        boundary = Boundary.build(horizon, margin, alpha, spending, calibration=calibration,
                                  looks=looks, until=horizon)
        return sequential_plan(boundary, truth)

    low = max(0, fixed // conditions - 2)
    high = max(low + 1, int(np.ceil(1.35 * fixed / conditions)) + 1)
    best = plan(high)
    while best.power < power:
        low, high = high, int(1.3 * high) + 1
        best = plan(high)
    while high - low > 1:
        middle = (low + high) // 2
        tried = plan(middle)
        if tried.power >= power:
            high, best = middle, tried
        else:
            low = middle
    return best


@dataclass(frozen=True, slots=True)
class Blindness:
    """What a study could not have seen, at 80 % power.

    Attributes:
        discordance: assumed, for instance the observed one.
        shows_no_worse_from: smallest true difference that is found non-inferior.
        sees_loss_from: smallest true loss that is found worse, positive; 1 where none is.

    """

    discordance: float
    shows_no_worse_from: float
    sees_loss_from: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def blindness(no_worse: Rule, worse: Rule, pairs: int, discordance: float, margin: float,
              power: float = POWER) -> Blindness:
    """Return what rules over so many pairs could not have seen.

    Args:
        no_worse: rejects 'the difference is at most -margin'.
        worse: rejects 'the difference is at least 0'.
        pairs: at most.
        discordance: assumed; raised where a difference needs more.
        margin: of the study.
        power: to reach.

    """
    gain = _turn(no_worse, pairs, discordance, power, -margin, 1.0)
    loss = -_turn(worse, pairs, discordance, power, 0.0, -1.0)
    return Blindness(discordance, gain, loss)


def _turn(rule: Rule, pairs: int, discordance: float, power: float, start: float, end: float
          ) -> float:
    """Return the difference from which on, towards ``end``, a rule has the power; or the end."""
    for _ in range(2):  # the second grid is as fine as a thousandth
        grid = np.linspace(start, end, TRUTHS)
        spread = np.maximum(discordance, np.abs(grid))
        found = crossing(rule, pairs, (spread + grid) / 2, (spread - grid) / 2).power
        enough = found >= power
        if not enough[-1]:
            return end
        place = int(enough.argmax())
        if place == 0:
            return start
        start, end = float(grid[place - 1]), float(grid[place])
    return end
