# SPDX-License-Identifier: Apache-2.0
"""Simulated plans agree with exact ones where both exist, and are ordered as they have to be."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.evidence import boundaries, rule_for, Terms
from vla_drop_ros.trials.fast_ladder import FastLadder
from vla_drop_ros.trials.outlook import Assumption, Outlook, outlook, seen_from
from vla_drop_ros.trials.planning import robot_hours, rule_plan

RULES = ('exact_paired', 'anytime', 'fixed')
METHODS = ('fixed_sequence', 'holm')
STUDIES = 2000
PAIRS = {'exact_paired': 60, 'anytime': 120, 'fixed': 60}


@cache
def ladder_of(rule: str, arms: int = 1, method: str = 'fixed_sequence',
              pairs: int = 0) -> FastLadder:
    """Return a rule in rounds of four, with a margin of 15 points and without the guard."""
    pairs = pairs or PAIRS[rule]
    terms = Terms(0.15, 0.05, rule, 0 if rule == 'anytime' else pairs, 4, 0.0)
    return FastLadder.build(terms, arms, method, pairs)


@cache
def seen(rule: str, loss: float = 0.0, arms: int = 1, method: str = 'fixed_sequence',
         discordance: float | None = 0.16) -> Outlook:
    """Return what two thousand studies say."""
    return outlook(ladder_of(rule, arms, method), Assumption(0.8, discordance), loss, arms,
                   STUDIES)


@pytest.mark.parametrize('discordance', [0.08, 0.16, 0.32])
@pytest.mark.parametrize('rule', RULES)
def test_simulated_and_exact_power_agree(rule: str, discordance: float) -> None:
    """Within four standard errors, under every rule; so do the pairs until the verdict."""
    terms, pairs = ladder_of(rule).judges[0].terms, PAIRS[rule]
    exact = rule_plan(rule_for('non_inferior', terms, boundaries(terms), pairs), pairs,
                      Assumption(0.8, discordance).truth(0.0))
    found = seen(rule, discordance=discordance)
    assert abs(found.all_accepted.value - exact.power) <= 4 * found.all_accepted.error
    if rule != 'fixed':  # one look is made at the horizon, whatever it says
        assert abs(found.mean_pairs - exact.mean_pairs) <= 4 * found.mean_error
    assert found.mean_pairs == pairs if rule == 'fixed' else found.mean_pairs < pairs


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', RULES)
def test_more_arms_never_need_fewer_hours(rule: str, method: str) -> None:
    """A study of three pruned arms holds all that one of two does, and goes on as long."""
    for loss in (0.0, 0.1):
        hours = [robot_hours(1, 30.0, 20.0, arms + 1) * seen(rule, loss, arms, method).mean_pairs
                 for arms in (1, 2, 3)]
        assert hours == sorted(hours) and hours[0] < hours[2]


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime'])
def test_more_arms_leave_the_luck_of_the_first_as_it_is(rule: str) -> None:
    """Study for study, a fixed sequence of two arms ends no sooner than that of the first."""
    one, two = (ladder_of(rule, arms).ends(Assumption(0.8).draw(0.05, arms, 300, PAIRS[rule]))
                for arms in (1, 2))
    assert (two.pairs >= one.pairs).all() and (two.pairs > one.pairs).any()


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', RULES)
def test_larger_losses_are_accepted_less(rule: str, method: str) -> None:
    """Acceptance falls and 'worse' grows with the loss; all or any arm are on either side."""
    rows = [seen(rule, loss, 2, method) for loss in (0.0, 0.05, 0.1, 0.15, 0.3)]
    accepted = [row.any_accepted.value for row in rows]
    worse = [row.worse.value for row in rows]
    assert accepted == sorted(accepted, reverse=True) and worse == sorted(worse)
    for row in rows:
        assert row.all_accepted.value <= min(share.value for share in row.each)
        assert row.any_accepted.value >= max(share.value for share in row.each)
        mean = np.mean([share.value for share in row.each])
        assert mean + row.worse.value + row.neither.value == pytest.approx(1.0)


@pytest.mark.parametrize('arms', [1, 2, 3])
@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', RULES)
def test_the_error_that_is_spent_is_that_of_the_study(rule: str, method: str, arms: int) -> None:
    """Where all arms lose the margin, any of them is accepted in 5 % of studies at most."""
    found = seen(rule, 0.15, arms, method, None).any_accepted
    assert 0.0 < found.value <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_holm_judges_at_the_smaller_error_first() -> None:
    """Two arms: its tables are those of the whole and of half of the error."""
    assert [judge.terms.alpha for judge in ladder_of('fixed', 2, 'holm').judges] == [0.05, 0.025]
    assert len(ladder_of('fixed', 2).judges) == 1
    assert (seen('fixed', 0.0, 2, 'holm').each[0].value
            < seen('fixed', 0.0, 2).each[0].value)


def test_a_later_end_sees_more() -> None:
    """By anytime, who gives up later needs more pairs and has more answers."""
    early, late = (outlook(ladder_of('anytime', pairs=pairs), Assumption(0.8), 0.0, 1, 500)
                   for pairs in (80, 160))
    assert early.all_accepted.value < late.all_accepted.value
    assert early.answered.value < late.answered.value
    assert early.mean_pairs < late.mean_pairs
    assert early.half_by <= late.half_by <= late.most_by <= 160


@pytest.mark.parametrize('rule', RULES)
def test_the_smallest_loss_that_is_seen(rule: str) -> None:
    """From there on the power is 80 %, and one point before it is not."""
    ladder, assumption = ladder_of(rule), Assumption(0.8)
    points = seen_from(ladder, assumption, 1, 1000)
    assert points > 1
    at, before = (outlook(ladder, assumption, loss / 100, 1, 1000).worse.value
                  for loss in (points, points - 1))
    assert before < 0.8 <= at


def test_a_tiny_study_sees_no_loss() -> None:
    """Four pairs do not tell a checkpoint that always fails from its parent well enough."""
    assert seen_from(ladder_of('fixed', pairs=4), Assumption(0.5), 1, 500) == 0


@pytest.mark.parametrize('discordance', [None, 0.1, 0.3])
@pytest.mark.parametrize('loss', [0.0, 0.1, 0.5])
def test_arms_are_drawn_as_assumed(discordance: float | None, loss: float) -> None:
    """Success and discordance are those of the truth, within four standard errors."""
    assumption = Assumption(0.8, discordance)
    truth = assumption.truth(loss)
    drawn = assumption.draw(loss, 2, 400, 100)
    for arm in drawn.arms:
        for expected, happened in ((0.8, drawn.baseline), (0.8 - loss, arm),
                                   (truth.discordance, arm != drawn.baseline)):
            error = np.sqrt(expected * (1 - expected) / happened.size)
            assert abs(happened.mean() - expected) <= 4 * error + 1e-6
    assert truth.discordance == pytest.approx(max(discordance, loss)) if discordance else True


def test_what_no_arms_can_do_is_refused() -> None:
    """The reason is said: a discordance or a loss that the baseline leaves no room for."""
    with pytest.raises(TrialError, match=r'differ in 0\.4 of the pairs at most'):
        Assumption(0.8, 0.5)
    with pytest.raises(TrialError, match='between 0 and the baseline'):
        Assumption(0.3).truth(0.4)
    with pytest.raises(TrialError, match='between 0 and 1'):
        Assumption(1.0)


def test_the_guard_costs_power_where_the_baseline_is_weak() -> None:
    """Equal arms of 50 %: nearly none is shown to be no worse if 50 % has to be proven."""
    terms = replace(ladder_of('fixed').judges[0].terms, minimum_baseline=0.5)
    guarded = outlook(FastLadder.build(terms, 1, 'fixed_sequence', 60), Assumption(0.5), 0.0, 1,
                      500)
    free = outlook(ladder_of('fixed'), Assumption(0.5), 0.0, 1, 500)
    assert guarded.all_accepted.value < 0.1 < free.all_accepted.value
