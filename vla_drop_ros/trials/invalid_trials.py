# SPDX-License-Identifier: Apache-2.0
"""Trials that were left out: could they have made the verdict?

An operator who calls every third failure of one arm a bad reset turns a 5 % error into 17 %. No
analysis undoes that; these show whether it could have happened.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.stats import fisher_exact

from vla_drop_ros.trials.pairs import Outcome, Pair, pairs_of, Place


@dataclass(frozen=True, slots=True)
class InvalidAudit:
    """Left-out attempts of the two arms of a comparison.

    Attributes:
        baseline: (left out, attempts) of the baseline.
        candidate: (left out, attempts) of the candidate.
        p_value: Fisher's exact test of 'both arms lose equally many', two-sided.

    """

    baseline: tuple[int, int]
    candidate: tuple[int, int]
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {'baseline': list(self.baseline), 'candidate': list(self.candidate),
                'p_value': self.p_value}


def audit(outcomes: Iterable[Outcome], baseline: str, candidate: str) -> InvalidAudit:
    """Count the attempts that were left out, by arm."""
    made: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for outcome in outcomes:
        made[outcome.arm] += 1
        lost[outcome.arm] += outcome.success is None
    found = [(lost[arm], made[arm]) for arm in (baseline, candidate)]
    table = [[gone, all_ - gone] for gone, all_ in found]
    return InvalidAudit(found[0], found[1], float(fisher_exact(table)[1]))


def worst_case(outcomes: Sequence[Outcome], baseline: str, candidate: str) -> tuple[Pair, ...]:
    """Return the pairs as if every left-out trial had spoken for the baseline.

    Wherever an attempt was left out, the candidate failed and the baseline succeeded, whatever
    came of the repetition.
    """
    lost = {outcome.place for outcome in outcomes if outcome.success is None}
    last = {outcome.place: outcome for outcome in sorted(outcomes, key=lambda one: one.attempt)}
    assumed = [replace(outcome, success=outcome.arm == baseline) if place in lost else outcome
               for place, outcome in last.items()]
    return pairs_of(assumed, baseline, candidate)


def first_attempts(outcomes: Iterable[Outcome], baseline: str, candidate: str
                   ) -> tuple[Pair, ...]:
    """Return the pairs whose two first attempts both counted."""
    first: dict[Place, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda one: one.attempt):
        first.setdefault(outcome.place, outcome)
    return pairs_of(first.values(), baseline, candidate)
