# SPDX-License-Identifier: Apache-2.0
"""Evidence, thresholds and intervals belong to the stopping rule of the study."""

from dataclasses import replace
import math

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import (
    boundaries,
    check_boundaries,
    evidence,
    HYPOTHESES,
    Hypothesis,
    interval_of,
    rejected_at,
    rule_for,
    Terms,
)
from vla_drop_ros.trials.paired_walk import crossing

TERMS = Terms(0.15, 0.05, 'exact_paired', 30, 3)
PATH = [(1, 0, 3), (3, 0, 6), (4, 1, 9), (6, 1, 12), (8, 1, 15)]


def test_terms_of_a_design(design: Design) -> None:
    """Nothing that decides is lost between the design and the statistics."""
    terms = Terms.of(design)
    assert (terms.margin, terms.alpha, terms.rule, terms.horizon) == (0.15, 0.05, 'exact_paired',
                                                                      60)
    assert (terms.conditions, terms.minimum_baseline, terms.spending) == (3, 0.5, 'linear')
    assert terms.looks == tuple(range(3, 61, 3))


def test_fixed_looks_once() -> None:
    """Before the horizon no score is high enough; at it the normal quantile counts."""
    terms = replace(TERMS, rule='fixed', horizon=15)
    looks = evidence(PATH, 'non_inferior', terms, {})
    assert [math.isinf(look.threshold) for look in looks] == [True] * 4 + [False]
    assert looks[-1].threshold == pytest.approx(1.6449, abs=1e-4)
    assert rejected_at(looks) == 15


def test_anytime_needs_twenty_times_the_stake() -> None:
    """The threshold is log(1 / alpha) at every look."""
    looks = evidence(PATH, 'better', replace(TERMS, rule='anytime', horizon=0), {})
    assert {look.threshold for look in looks} == {-math.log(0.05)}


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime', 'fixed'])
def test_directions_mirror(rule: str) -> None:
    """Evidence for 'worse' is evidence for 'better' with the arms exchanged."""
    terms = replace(TERMS, rule=rule)
    stored = boundaries(terms)
    exchanged = [(c, b, n) for b, c, n in PATH]
    assert evidence(PATH, 'better', terms, stored) == evidence(exchanged, 'worse', terms, stored)


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime'])
@pytest.mark.parametrize('hypothesis', HYPOTHESES)
def test_every_null_keeps_its_error(rule: str, hypothesis: Hypothesis) -> None:
    """At the edge of each of the four nulls the error is alpha at most, by exact walk."""
    terms = replace(TERMS, rule=rule)
    found = rule_for(hypothesis, terms, boundaries(terms), 30)
    edge = {'non_inferior': -0.15, 'better': 0.0, 'worse': 0.0, 'inferior': -0.15}[hypothesis]
    p = np.linspace(0.0, (1 + edge) / 2, 40)
    assert crossing(found, 30, p, p - edge).power.max() <= 0.05


def test_boundaries_are_looked_at_after_rounds_only() -> None:
    """No threshold exists inside a round."""
    stored = boundaries(TERMS)
    assert set(stored) == set(HYPOTHESES)
    assert all(math.isinf(boundary.threshold(n)) for boundary in stored.values()
               for n in range(1, 31) if n % 3)


def test_building_tells_progress() -> None:
    """Three boundaries are built for four hypotheses, and told by name."""
    told: set[str] = set()
    boundaries(TERMS, progress=lambda name, done, total: told.add(name))
    assert told == {'non_inferior', 'better', 'inferior'}


def test_boundaries_of_another_study_are_refused() -> None:
    """A margin changed after the lock is found, and so is a missing boundary."""
    stored = boundaries(TERMS)
    check_boundaries(stored, TERMS)
    with pytest.raises(TrialError, match="'non_inferior' is for"):
        check_boundaries(stored, replace(TERMS, margin=0.2))
    with pytest.raises(TrialError, match='no boundary'):
        check_boundaries({'better': Boundary.build(30, 0.0, 0.05, looks=TERMS.looks)}, TERMS)


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime', 'fixed'])
def test_interval_agrees_with_the_rejections(rule: str) -> None:
    """Where 'no worse' is rejected the interval lies above minus the margin, else not."""
    terms = replace(TERMS, rule=rule, horizon=15)
    stored = boundaries(terms)
    for path in (PATH, [(c, b, n) for b, c, n in PATH], [(2, 2, n) for _, _, n in PATH[2:]]):
        rejections = {name: rejected_at(evidence(path, name, terms, stored))
                      for name in HYPOTHESES}
        found = interval_of(path, terms, rejections)
        assert (found.low >= -0.15) == (rejections['non_inferior'] > 0)
        assert (found.low >= 0.0) == (rejections['better'] > 0)
        assert (found.high <= 0.0) == (rejections['worse'] > 0)
        assert (found.high <= -0.15) == (rejections['inferior'] > 0)
        assert found.low <= found.estimate <= found.high
        assert found.confidence == pytest.approx(0.9)


@pytest.mark.parametrize(('change', 'message'), [
    ({'rule': 'gut_feeling'}, 'gut_feeling'), ({'margin': 0.0}, 'margin 0.0'),
    ({'horizon': 2}, 'horizon of 2')])
def test_impossible_terms_are_refused(change: dict[str, object], message: str) -> None:
    """The message names the value."""
    with pytest.raises(TrialError, match=message):
        replace(TERMS, **change)  # type: ignore[arg-type]
