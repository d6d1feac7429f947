# SPDX-License-Identifier: Apache-2.0
"""The fast judge of the benchmark is the real one, and false acceptances stay within alpha."""

from dataclasses import replace
from pathlib import Path
import re

import numpy as np
import pytest

from bench import null_studies
from bench.null_studies import (
    answered,
    climbed,
    draw,
    false_acceptances,
    judged,
    METHODS,
    Outcomes,
    TERMS,
)
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.ladder import climb, has_answers
from vla_drop_ros.trials.pairs import Pair
from vla_drop_ros.trials.verdict import judge, may_stop

DOCUMENT = null_studies.DOCUMENT.read_text(encoding='utf-8')


def terms_of(rule: str) -> Terms:
    """Return the terms of the benchmark under a rule, of a shorter study."""
    return replace(TERMS, rule=rule, horizon=0 if rule == 'anytime' else 40)


def pairs(outcomes: Outcomes, arm: int, study: int, rounds: int) -> list[Pair]:
    """Return the pairs of an arm in one study after some rounds."""
    return [Pair(place // 4, 'abcd'[place % 4], bool(outcomes.arms[arm, study, place]),
                 bool(outcomes.baseline[study, place])) for place in range(4 * rounds)]


@pytest.mark.parametrize('rule', null_studies.RULES)
def test_the_fast_judge_is_the_real_one(rule: str) -> None:
    """After every round tried, word and bit to stop are those of ``judge`` and ``may_stop``."""
    terms, rng = terms_of(rule), np.random.default_rng(4)
    stored = boundaries(terms)
    outcomes = draw(rng, 40, null_studies.pairs_of(terms), (0.1, -0.1, -0.4))
    accepted, stop, _ = judged(terms, outcomes)
    seen = set()
    for study in range(40):
        arm, rounds = int(rng.integers(3)), int(rng.integers(1, 11))
        found = pairs(outcomes, arm, study, rounds)
        verdict = judge(found, terms, stored)
        assert accepted[arm, study, rounds - 1] == verdict.accepted
        assert stop[arm, study, rounds - 1] == may_stop(found, terms, stored)
        seen.add((verdict.accepted, may_stop(found, terms, stored)))
    assert (False, False) in seen and len(seen) > 1


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', ['anytime', 'fixed'])
def test_the_fast_ladder_is_the_real_one(rule: str, method: str) -> None:
    """Three checkpoints at once are accepted by both ladders alike."""
    terms, rng = terms_of(rule), np.random.default_rng(6)
    outcomes = draw(rng, 6, null_studies.pairs_of(terms), (0.1, 0.0, -0.05))
    fast = climbed(terms, outcomes, method)
    for study in range(6):
        real = climb({str(arm): pairs(outcomes, arm, study, 10) for arm in range(3)}, terms,
                     method)
        assert list(fast[:, study, 9]) == [rung.accepted for rung in real.rungs]
    assert 0 < fast[..., 9].sum() < 18


@pytest.mark.parametrize('rule', null_studies.RULES)
def test_the_fast_end_of_a_study_is_the_real_one(rule: str) -> None:
    """By Holm it waits for answers at the smaller error, as ``has_answers`` does."""
    terms, rng = terms_of(rule), np.random.default_rng(7)
    stored = boundaries(terms)
    outcomes = draw(rng, 8, null_studies.pairs_of(terms), (0.1, 0.0, -0.4))
    for method in METHODS:
        fast = answered(terms, outcomes, method)
        for study in range(8):
            rounds = 1 + int(rng.integers(fast.shape[1]))
            found = {str(arm): pairs(outcomes, arm, study, rounds) for arm in range(3)}
            assert fast[study, rounds - 1] == has_answers(found, terms, method, stored)
    sooner, later = (answered(terms, outcomes, method) for method in METHODS)
    assert (sooner & ~later).any() == (rule != 'fixed')


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', null_studies.RULES)
def test_false_acceptances_stay_within_alpha(rule: str, method: str) -> None:
    """Whoever stops whenever they like accepts a bad checkpoint in 5 % of studies at most."""
    rates = false_acceptances(np.random.default_rng(8), 2000, terms_of(rule),
                              (0.0, -0.15, -0.15), method)
    assert max(rates) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert rates[2] == max(rates) > 0.0


def test_the_document_keeps_alpha_in_ten_thousand_studies() -> None:
    """Every rate of the table is at most 5 %, within two and a half standard errors."""
    table = DOCUMENT.partition(null_studies.BEGIN)[2].partition(null_studies.END)[0]
    assert '--studies 10000' in table
    rows = [line for line in table.splitlines() if line.startswith('| ') and '±' in line]
    assert len(rows) == len(list(null_studies.cases(quick=False)))
    for row in rows:
        found = re.findall(r'([\d.]+) ± ([\d.]+)', row)
        assert len(found) == 3
        assert all(float(rate) <= 0.05 + 2.5 * float(error) for rate, error in found), row


def test_it_writes_between_the_marks_only(tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    """What people wrote before and after stays; without marks nothing is computed."""
    document = tmp_path / 'statistics.md'
    document.write_text(f'before\n{null_studies.BEGIN}\nold\n{null_studies.END}\nafter\n')
    assert null_studies.measure(['--studies', '20', '--document', str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f'before\n{null_studies.BEGIN}\n')
    assert text.endswith(f'{null_studies.END}\nafter\n') and '\nold\n' not in text
    document.write_text('nothing')
    assert null_studies.measure(['--document', str(document)]) == 1
    assert 'lacks the marks' in capsys.readouterr().err
