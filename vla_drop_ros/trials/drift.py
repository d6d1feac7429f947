# SPDX-License-Identifier: Apache-2.0
"""Did the robot, the scene or the operator change while the study ran?

The random order within every pair protects the comparison; these tests tell whether there was
something to protect it from. A small p value is a reason to look at the films, no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, chi2_contingency, norm

from vla_drop_ros.trials.pairs import Outcome

PARTS = 4


@dataclass(frozen=True, slots=True)
class Drift:
    """Success over the study, both arms together.

    Attributes:
        parts: (successes, trials) of the quarters, in running order.
        homogeneity: chi-squared p value of 'the quarters are alike'; nan where it has none.
        trend: p value of 'no rise and no fall', two-sided (Cochran-Armitage).
        direction: correlation of success with the running order, -1 to 1.

    """

    parts: tuple[tuple[int, int], ...]
    homogeneity: float
    trend: float
    direction: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {'parts': [list(part) for part in self.parts],
                'homogeneity': None if np.isnan(self.homogeneity) else self.homogeneity,
                'trend': self.trend, 'direction': self.direction}


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """Whether running first in a pair helps.

    Attributes:
        first_only: pairs that only the first run solved.
        second_only: pairs that only the second run solved.
        order_p: exact p value of 'the place does not matter', two-sided.
        candidate_first: pairs in which the candidate ran first.
        pairs: of all.
        balance_p: exact p value of 'a fair coin chose the order', two-sided.

    """

    first_only: int
    second_only: int
    order_p: float
    candidate_first: int
    pairs: int
    balance_p: float


def drift(outcomes: Sequence[Outcome]) -> Drift:
    """Return how success went over the valid trials of a study."""
    valid = sorted((one for one in outcomes if one.success is not None),
                   key=lambda one: (one.index, one.attempt))
    success = np.array([bool(one.success) for one in valid], float)
    parts = tuple((int(part.sum()), part.size) for part in np.array_split(success, PARTS))
    if success.size < 2 or success.min() == success.max():
        return Drift(parts, float('nan'), 1.0, 0.0)
    alike = homogeneity(parts)
    direction = float(np.corrcoef(np.arange(success.size), success)[0, 1])
    trend = 2 * float(norm.sf(abs(direction) * np.sqrt(success.size)))
    return Drift(parts, alike, trend, direction)


def homogeneity(parts: Sequence[tuple[int, int]]) -> float:
    """Return the chi-squared p value of 'all parts have one rate'; nan where it has none.

    Args:
        parts: (successes, trials) of quarters, sessions ...; those without trials say nothing.

    """
    table = np.array([[won, made - won] for won, made in parts if made])
    if len(table) < 2 or not table.sum(axis=0).all():
        return float('nan')
    return float(chi2_contingency(table)[1])


def order_effect(outcomes: Sequence[Outcome], baseline: str, candidate: str) -> OrderEffect:
    """Return whether the place in the pair mattered, over pairs without a repetition."""
    repeated = {one.place for one in outcomes if one.attempt > 0 or one.success is None}
    places = {one.place: one for one in outcomes if one.place not in repeated}
    first_only = second_only = candidate_first = pairs = 0
    for (round_, condition, arm), one in places.items():
        other = places.get((round_, condition, baseline))
        if arm != candidate or other is None:
            continue
        pairs += 1
        early, late = (one, other) if one.position < other.position else (other, one)
        candidate_first += early is one
        first_only += bool(early.success) and not late.success
        second_only += bool(late.success) and not early.success
    return OrderEffect(first_only, second_only, _coin(first_only, first_only + second_only),
                       candidate_first, pairs, _coin(candidate_first, pairs))


def _coin(heads: int, tosses: int) -> float:
    return float(binomtest(heads, tosses).pvalue) if tosses else 1.0
