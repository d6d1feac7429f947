# SPDX-License-Identifier: Apache-2.0
"""The fast judge and the fast ladder of simulated studies are the real ones."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.fast_judge import FastJudge, Outcomes
from vla_drop_ros.trials.fast_ladder import FastLadder
from vla_drop_ros.trials.ladder import climb, has_answers, METHODS
from vla_drop_ros.trials.pairs import Pair
from vla_drop_ros.trials.verdict import judge, may_stop, Word

RULES = ('exact_paired', 'anytime', 'fixed')
PAIRS = 40


def terms_of(rule: str) -> Terms:
    """Return the terms of a short study in rounds of four."""
    return Terms(0.15, 0.05, rule, 0 if rule == 'anytime' else PAIRS, 4)


def draw(rng: np.random.Generator, studies: int, truth: tuple[float, ...]) -> Outcomes:
    """Return outcomes of arms that share half of the luck of a baseline of 80 %."""
    luck = rng.random((studies, PAIRS))
    arms = [np.where(rng.random(luck.shape) < 0.5, luck, rng.random(luck.shape))
            < 0.8 + difference for difference in truth]
    return Outcomes(luck < 0.8, np.array(arms))


def pairs(outcomes: Outcomes, arm: int, study: int, rounds: int) -> list[Pair]:
    """Return the pairs of an arm in one study after some rounds."""
    return [Pair(place // 4, 'abcd'[place % 4], bool(outcomes.arms[arm, study, place]),
                 bool(outcomes.baseline[study, place])) for place in range(4 * rounds)]


@pytest.mark.parametrize('rule', RULES)
def test_the_fast_judge_is_the_real_one(rule: str) -> None:
    """After every round tried, words and bits to stop are those of ``judge``, ``may_stop``."""
    terms, rng = terms_of(rule), np.random.default_rng(4)
    stored = boundaries(terms)
    outcomes = draw(rng, 40, (0.1, -0.1, -0.4))
    fast = FastJudge.build(terms, PAIRS).judge(outcomes)
    seen = set()
    for study in range(40):
        arm, rounds = int(rng.integers(3)), int(rng.integers(1, 11))
        found = pairs(outcomes, arm, study, rounds)
        verdict = judge(found, terms, stored)
        at = arm, study, rounds - 1
        assert fast.accepted[at] == verdict.accepted
        assert fast.worse[at] == (verdict.word in (Word.WORSE, Word.INFERIOR))
        assert fast.stop[at] == may_stop(found, terms, stored)
        seen.add((verdict.accepted, may_stop(found, terms, stored)))
    assert (False, False) in seen and len(seen) > 1


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', ['anytime', 'fixed'])
def test_the_fast_ladder_is_the_real_one(rule: str, method: str) -> None:
    """Three checkpoints at once are accepted, and called worse, by both ladders alike."""
    terms, rng = terms_of(rule), np.random.default_rng(6)
    outcomes = draw(rng, 6, (0.1, 0.0, -0.3))
    ladder = FastLadder.build(terms, 3, method, PAIRS)
    fast, ends = ladder.climbed(outcomes), ladder.ends(outcomes)
    for study in range(6):
        real = climb({str(arm): pairs(outcomes, arm, study, 10) for arm in range(3)}, terms,
                     method)
        assert list(fast[:, study, 9]) == [rung.accepted for rung in real.rungs]
        if study >= 2:  # the real one is slow
            continue
        real = climb({str(arm): pairs(outcomes, arm, study, int(ends.pairs[study]) // 4)
                      for arm in range(3)}, terms, method)
        assert list(ends.accepted[:, study]) == [rung.accepted for rung in real.rungs]
        assert list(ends.worse[:, study]) == [rung.verdict.word in (Word.WORSE, Word.INFERIOR)
                                              for rung in real.rungs]
    assert 0 < fast[..., 9].sum() < 18 and ends.worse.any()


@pytest.mark.parametrize('rule', RULES)
def test_the_fast_end_of_a_study_is_the_real_one(rule: str) -> None:
    """By Holm it waits for answers at the smaller error, as ``has_answers`` does."""
    terms, rng = terms_of(rule), np.random.default_rng(7)
    stored = boundaries(terms)
    outcomes = draw(rng, 8, (0.1, 0.0, -0.4))
    found = []
    for method in METHODS:
        fast = FastLadder.build(terms, 3, method, PAIRS).answered(outcomes)
        for study in range(8):
            rounds = 1 + int(rng.integers(fast.shape[1]))
            real = {str(arm): pairs(outcomes, arm, study, rounds) for arm in range(3)}
            assert fast[study, rounds - 1] == has_answers(real, terms, method, stored)
        found.append(fast)
    sooner, later = found
    assert (sooner & ~later).any() == (rule != 'fixed')


def test_the_guard_holds_back_a_weak_baseline() -> None:
    """Where the baseline must be strong, fewer studies accept: never one that else did not."""
    outcomes = draw(np.random.default_rng(5), 200, (0.0,))
    strict, lax = (FastJudge.build(replace(terms_of('fixed'), minimum_baseline=bound), PAIRS)
                   .judge(outcomes).accepted[..., -1] for bound in (0.75, 0.0))
    assert not (strict & ~lax).any() and (lax & ~strict).any()


def test_a_bet_is_tabled_up_to_a_limit() -> None:
    """Beyond, the reason is said before minutes have passed."""
    with pytest.raises(TrialError, match='at most 900'):
        FastJudge.build(terms_of('anytime'), 1000)
