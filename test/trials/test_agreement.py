# SPDX-License-Identifier: Apache-2.0
"""Kappa and its interval are those of the textbook, and detectors are measured against people."""

import math

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from vla_drop_ros.trials.agreement import agreement, detection


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
