# SPDX-License-Identifier: Apache-2.0
"""Every word of the verdict is given where it belongs, and to nothing else."""

from collections.abc import Sequence
from dataclasses import replace
import json
import random

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.pairs import Pair
from vla_drop_ros.trials.verdict import baseline_bound, judge, may_stop, Word

TERMS = Terms(0.15, 0.05, 'exact_paired', 60, 3)
STORED = boundaries(TERMS)


def study(both: int, candidate: int, baseline: int, neither: int, seed: int = 0) -> list[Pair]:
    """Return rounds of three pairs with these counts, in random order."""
    kinds = ([(True, True)] * both + [(True, False)] * candidate + [(False, True)] * baseline
             + [(False, False)] * neither)
    random.Random(seed).shuffle(kinds)
    return [Pair(place // 3, 'abc'[place % 3], *kind) for place, kind in enumerate(kinds)]


@pytest.mark.parametrize(('counts', 'word'), [
    ((48, 3, 3, 6), Word.NON_INFERIOR),
    ((36, 18, 2, 4), Word.BETTER),
    ((24, 2, 32, 2), Word.INFERIOR),
    ((36, 7, 14, 3), Word.INCONCLUSIVE),
    ((36, 3, 15, 6), Word.WORSE),
    ((27, 10, 18, 5), Word.INCONCLUSIVE),
    ((0, 1, 1, 58), Word.UNINTERPRETABLE),
    ((0, 0, 0, 60), Word.UNINTERPRETABLE)])
def test_words(counts: tuple[int, int, int, int], word: Word) -> None:
    """Counts that speak clearly get the word that a person would give them."""
    assert judge(study(*counts), TERMS, STORED).word is word


def test_worse_but_within_the_margin() -> None:
    """A small loss seen in many pairs is both: shown worse, and shown within the margin."""
    terms = Terms(0.15, 0.05, 'anytime', 0, 3)
    verdict = judge(study(324, 2, 18, 16), terms)
    assert verdict.word is Word.WITHIN_MARGIN
    assert verdict.accepted
    assert verdict.interval.high < 0.0 < verdict.interval.low + 0.15


def test_a_robot_that_changed_contradicts_itself() -> None:
    """First all for the candidate, then all against: no verdict is made of both."""
    pairs = [Pair(place // 3, 'abc'[place % 3], place < 18, place >= 18)
             for place in range(120)]
    terms = replace(TERMS, rule='anytime', horizon=0)
    assert judge(pairs, terms).word is Word.CONTRADICTORY


def test_weak_baseline_may_still_be_beaten() -> None:
    """The guard stops 'no worse', not 'better'."""
    verdict = judge(study(5, 25, 1, 29), TERMS, STORED)
    assert not verdict.guarded
    assert verdict.word is Word.BETTER


def test_guard_is_clopper_pearson() -> None:
    """The lower bound is scipy's exact one, and zero without a success."""
    for successes, trials in ((30, 60), (60, 60), (1, 9)):
        expected = binomtest(successes, trials, alternative='greater').proportion_ci(0.95).low
        assert baseline_bound(successes, trials, 0.05) == pytest.approx(expected)
    assert baseline_bound(0, 60, 0.05) == 0.0


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime', 'fixed'])
def test_lines_in_any_order_and_merged_logs(rule: str) -> None:
    """Shuffled and doubled lines give the very same verdict."""
    terms = replace(TERMS, rule=rule)
    stored = boundaries(terms)
    pairs = study(40, 8, 6, 6)
    expected = judge(pairs, terms, stored)
    for seed in range(2):
        shuffled = pairs + pairs[20:40]
        random.Random(seed).shuffle(shuffled)
        assert judge(shuffled, terms, stored).to_dict() == expected.to_dict()


def test_pairs_beyond_the_horizon_are_left_out() -> None:
    """What was run after the last planned pair cannot change the verdict."""
    pairs = study(48, 3, 3, 6)
    more = [Pair(20 + place // 3, 'abc'[place % 3], False, True) for place in range(30)]
    late = judge(pairs + more, TERMS, STORED)
    assert late.word is judge(pairs, TERMS, STORED).word
    assert (late.counts.pairs, late.left_out) == (60, 30)


def test_fixed_says_nothing_before_the_horizon() -> None:
    """One look means one look."""
    terms = replace(TERMS, rule='fixed')
    pairs = study(36, 18, 2, 4)
    assert judge(pairs[:57], terms).word is Word.INCONCLUSIVE
    assert judge(pairs, terms).word is Word.BETTER


def test_without_pairs() -> None:
    """An empty study has a verdict too, and it is a valid file."""
    verdict = judge([], TERMS, STORED)
    assert verdict.word is Word.INCONCLUSIVE
    assert verdict.blindness is None
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_a_design_is_terms_enough(design: Design) -> None:
    """The design of the study can be handed over as it is, and JSON takes the whole verdict."""
    verdict = judge(study(48, 3, 3, 6), design)
    found = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert found['verdict'] == 'NON-INFERIOR'
    assert found['terms']['margin'] == 0.15
    assert len(found['looks']['worse']) == 20


def test_blindness_tells_the_truth() -> None:
    """At the edges that it names, the power is 80 %: simulated here, computed there."""
    verdict = judge(study(45, 5, 5, 5), TERMS, STORED)
    blind = verdict.blindness
    assert blind is not None
    assert -0.15 < blind.shows_no_worse_from < 0.1 < blind.sees_loss_from < 0.2
    loss = blind.sees_loss_from
    discordance = max(loss, blind.discordance)
    q = (discordance + loss) / 2
    rng, studies = np.random.default_rng(0), 400
    seen = 0
    for _ in range(studies):
        steps = rng.choice((1, -1, 0), 60, p=(discordance - q, q, 1 - discordance))
        b, c = np.cumsum(steps == 1), np.cumsum(steps == -1)
        seen += any(STORED['worse'].crossed(int(c[n - 1]), int(b[n - 1]), n)
                    for n in range(3, 61, 3))
    assert binom.ppf(0.0005, studies, 0.8) <= seen <= binom.ppf(0.9995, studies, 0.8)


def test_needed_pairs_are_zero_where_none_help() -> None:
    """An observed loss of the margin or more is shown no worse by no number of pairs."""
    assert judge(study(40, 0, 12, 8), TERMS, STORED).needed == 0
    assert judge(study(33, 12, 12, 3), TERMS, STORED).needed > 60


def prefixes(pairs: Sequence[Pair]) -> list[bool]:
    """Return whether one may stop, after every round."""
    return [may_stop(pairs[:end], TERMS, STORED) for end in range(0, len(pairs) + 1, 3)]


def test_may_stop_at_the_verdict_or_the_horizon() -> None:
    """The blinded study learns one bit: go on, or stop."""
    clear = prefixes(study(57, 0, 0, 3))
    verdict = judge(study(57, 0, 0, 3), TERMS, STORED)
    assert clear.index(True) * 3 == verdict.rejections['non_inferior']
    assert all(clear[clear.index(True):])
    unclear = prefixes(study(27, 10, 18, 5))
    assert unclear.index(True) == 20


def test_may_not_stop_while_the_baseline_is_too_weak() -> None:
    """Two arms that fail alike are soon 'no worse', but that would be no verdict: go on."""
    weak = prefixes(study(0, 0, 0, 60))
    assert weak.index(True) == 20
    assert judge(study(0, 0, 0, 60), TERMS, STORED).rejections['non_inferior'] < 60


def test_may_stop_when_the_loss_is_clear() -> None:
    """A candidate that fails where the baseline succeeds ends the study early."""
    lost = prefixes(study(0, 0, 60, 0))
    assert lost.index(True) < 6
