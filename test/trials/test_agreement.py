# SPDX-License-Identifier: Apache-2.0
"""Kappa and its interval are those of the textbook, and detectors are measured against people."""

import math

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from vla_drop_ros.trials.agreement import agreement, detection, second_raters
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.ratings import Rating


def labels(table: tuple[int, int, int, int]) -> tuple[list[bool], list[bool]]:
    """Return two judges' labels with these counts: both, first only, second only, neither."""
    both, first, second, neither = table
    return ([True] * (both + first) + [False] * (second + neither),
            [True] * both + [False] * first + [True] * second + [False] * neither)


@pytest.mark.parametrize('table', [(40, 5, 3, 12), (20, 5, 10, 15), (1, 9, 9, 1), (10, 0, 0, 10)])
def test_kappa_agrees_with_statsmodels(table: tuple[int, int, int, int]) -> None:
    """Estimate and large-sample interval equal the library's."""
    found = agreement(*labels(table))
    both, first, second, neither = table
    library = cohens_kappa(np.array([[both, first], [second, neither]]))
    assert (found.both, found.first_only, found.second_only, found.neither) == table
    assert found.kappa.estimate == pytest.approx(library.kappa)
    assert found.kappa.low == pytest.approx(max(-1.0, library.kappa_low))
    assert found.kappa.high == pytest.approx(min(1.0, library.kappa_upp))


def test_kappa_is_undefined_without_variation() -> None:
    """Two judges who always say success agree, but luck explains it; and nobody agrees on none."""
    assert math.isnan(agreement([True] * 9, [True] * 9).kappa.estimate)
    assert math.isnan(agreement([], []).kappa.estimate)


def trial(code: int, verdict: str, confidence: str, *ratings: Rating) -> Attempt:
    """Return a judged trial that others have rated."""
    return Attempt(str(code), code, 0, 'a', 'x', verdict=verdict, confidence=confidence,
                   ratings=list(ratings))


def test_second_raters_against_statsmodels() -> None:
    """Kappa of each rater with the first verdict, apart for sure and unsure ones."""
    words = ('success', 'partial', 'failure')
    rng = np.random.default_rng(3)
    first, second = (rng.choice(words, 60, p=(0.6, 0.2, 0.2)) for _ in range(2))
    second = np.where(rng.random(60) < 0.7, first, second)
    attempts = [trial(code, str(one), 'unsure' if code % 4 == 0 else 'sure',
                      Rating('R2', 'success'), Rating('R2', str(other)))
                for code, (one, other) in enumerate(zip(first, second, strict=True))]
    [found] = second_raters(attempts)
    for part, chosen in ((found.drawn, np.arange(60) % 4 > 0),
                         (found.unsure, np.arange(60) % 4 == 0)):
        a, b = first[chosen] == 'success', second[chosen] == 'success'
        table = np.array([[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]])
        assert part.kappa.estimate == pytest.approx(cohens_kappa(table).kappa)
        assert [part.both, part.first_only, part.second_only, part.neither] == [*table.flat]
    assert found.disputed == tuple(
        str(code) for code in range(60)
        if (first[code] == 'success') != (second[code] == 'success'))


def test_raters_are_held_against_what_was_said_first() -> None:
    """A correction is not what stood there; an invalid trial, and one not rated, is left out."""
    corrected = trial(1, 'failure', 'sure', Rating('R3', 'failure'), Rating('R2', 'success'))
    corrected.relabelled.append('success')
    left_out = trial(2, 'invalid', 'sure', Rating('R2', 'success'))
    raters = second_raters([corrected, left_out, trial(3, 'success', 'sure')])
    assert [(one.rater, one.drawn.both, one.disputed) for one in raters] == [
        ('R2', 1, ()), ('R3', 0, ('1',))]
    assert math.isnan(raters[0].unsure.kappa.estimate) and second_raters([left_out]) == []


def test_detector_that_invents_successes() -> None:
    """It sees all ten successes, and calls three of ten failures a success."""
    found = detection([True] * 10 + [False] * 10, [True] * 13 + [False] * 7)
    assert found.sensitivity.estimate == 1.0
    assert found.specificity.estimate == pytest.approx(0.7)
    assert found.specificity.low < 0.7 < found.specificity.high


def test_labels_must_match() -> None:
    """Judges of different trials cannot be compared."""
    with pytest.raises(ValueError, match='same trials'):
        agreement([True], [True, False])
