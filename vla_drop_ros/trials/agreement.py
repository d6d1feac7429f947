# SPDX-License-Identifier: Apache-2.0
"""Do two judges of the same trials agree: two people, or a person and a detector?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.stats import norm

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.statistics import Interval, wilson


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two judges on the same trials.

    Attributes:
        both: both say success.
        first_only: only the first does.
        second_only: only the second does.
        neither: both say failure.
        kappa: agreement beyond luck, 1 complete, 0 as by luck; nan where luck explains all.

    """

    both: int
    first_only: int
    second_only: int
    neither: int
    kappa: Interval


@dataclass(frozen=True, slots=True)
class Detection:
    """A detector against a person, for one arm.

    Attributes:
        sensitivity: share of the successes that it sees.
        specificity: share of the failures that it sees.

    """

    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True)
class SecondRater:
    """One person who rated recordings, against who stood at the robot.

    Attributes:
        rater: pseudonym.
        drawn: on trials about which the first was sure: a random part of them, so that kappa
            stands for all of them.
        unsure: on trials about which the first was not.
        disputed: codes of the trials about which the two say otherwise.

    """

    rater: str
    drawn: Agreement
    unsure: Agreement
    disputed: tuple[str, ...]


def second_raters(attempts: Sequence[Attempt]) -> list[SecondRater]:
    """Return what each rater says against the first verdict; by pseudonym.

    The first verdict is the one that people at the robot let stand, before any correction. A
    partial success is none. Of two ratings of a trial by the same person the last counts. Invalid
    trials are left out.

    Args:
        attempts: of all logs, or of one arm.

    """
    said: dict[str, list[tuple[Attempt, bool, bool]]] = {}
    for one in attempts:
        first = one.relabelled[0] if one.relabelled else one.verdict
        if one.counts:
            for rater, second in {each.rater: each.success for each in one.ratings}.items():
                said.setdefault(rater, []).append((one, first == 'success', second))
    return [SecondRater(rater, _of(labels, 'sure'), _of(labels, 'unsure'),
                        tuple(one.code for one, first, second in labels if first != second))
            for rater, labels in sorted(said.items())]


def _of(labels: Sequence[tuple[Attempt, bool, bool]], confidence: str) -> Agreement:
    chosen = [label for label in labels if label[0].confidence == confidence]
    return agreement([first for _, first, _ in chosen], [second for _, _, second in chosen])


def agreement(first: Sequence[bool], second: Sequence[bool],
              confidence: float = 0.95) -> Agreement:
    """Return the table of two judges and Cohen's kappa with its large-sample interval.

    Source: J. Cohen, Educational and Psychological Measurement 20 (1960) 37-46; variance of
    J. L. Fleiss, J. Cohen and B. S. Everitt, Psychological Bulletin 72 (1969) 323-327.
    """
    both, first_only, second_only, neither = _table(first, second)
    n = both + first_only + second_only + neither
    if n == 0:
        return Agreement(0, 0, 0, 0, Interval(float('nan'), -1.0, 1.0, confidence))
    cells = [[both / n, first_only / n], [second_only / n, neither / n]]
    rows = [sum(row) for row in cells]
    columns = [cells[0][k] + cells[1][k] for k in (0, 1)]
    observed = cells[0][0] + cells[1][1]
    chance = rows[0] * columns[0] + rows[1] * columns[1]
    if chance >= 1.0:
        kappa = Interval(float('nan'), -1.0, 1.0, confidence)
        return Agreement(both, first_only, second_only, neither, kappa)
    value = (observed - chance) / (1 - chance)
    on = sum(cells[k][k] * (1 - (rows[k] + columns[k]) * (1 - value)) ** 2 for k in (0, 1))
    off = (1 - value) ** 2 * sum(cells[k][1 - k] * (columns[k] + rows[1 - k]) ** 2
                                 for k in (0, 1))
    variance = (on + off - (value - chance * (1 - value)) ** 2) / (n * (1 - chance) ** 2)
    half = float(norm.ppf(0.5 + confidence / 2)) * sqrt(max(0.0, variance))
    return Agreement(both, first_only, second_only, neither,
                     Interval(value, max(-1.0, value - half), min(1.0, value + half), confidence))


def detection(person: Sequence[bool], detector: Sequence[bool]) -> Detection:
    """Return what a detector sees of what a person says; Wilson intervals of 95 %."""
    both, missed, invented, neither = _table(person, detector)
    return Detection(wilson(both, both + missed), wilson(neither, neither + invented))


def _table(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, int, int]:
    if len(first) != len(second):
        raise ValueError(f'{len(first)} and {len(second)} labels; both judge the same trials')
    pairs = [(bool(one), bool(other)) for one, other in zip(first, second, strict=True)]
    return (pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)),
            pairs.count((False, False)))
