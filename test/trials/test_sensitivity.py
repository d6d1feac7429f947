# SPDX-License-Identifier: Apache-2.0
"""Other ways to ask the question are printed beside the verdict, whether they agree or not."""

from dataclasses import replace
import json
import sys

import numpy as np
import pytest

from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.pairs import Outcome, pairs_of
from vla_drop_ros.trials.sensitivity import Row, sensitivity, strata_of
from vla_drop_ros.trials.verdict import judge

TERMS = Terms(0.2, 0.05, 'exact_paired', 60, 3)


def study(seed: int, drop_failures: float = 0.0) -> list[Outcome]:
    """Return twenty rounds; some failures of the new arm are called invalid and repeated."""
    rng, found, index = np.random.default_rng(seed), [], 0
    for round_ in range(20):
        for condition in 'abc':
            for arm in ('new', 'old'):
                for attempt in range(9):
                    success = bool(rng.random() < (0.75 if arm == 'new' else 0.8))
                    lost = arm == 'new' and not success and rng.random() < drop_failures
                    found.append(Outcome(round_, condition, arm, None if lost else success,
                                         'easy' if condition == 'a' else 'hard', attempt,
                                         index=index))
                    index += 1
                    if not lost:
                        break
    return found


def rows(outcomes: list[Outcome], terms: Terms = TERMS) -> dict[str, Row]:
    """Return the rows by name."""
    verdict = judge(pairs_of(outcomes, 'old', 'new'), terms)
    return {row.name: row for row in sensitivity(outcomes, 'old', 'new', terms, verdict)}


def test_rows_without_invalid_trials_agree() -> None:
    """With nothing left out, all pairs, first attempts and worst case are the same numbers."""
    found = rows(study(0))
    same = [found[name].interval for name in ('all complete pairs', 'first attempts only',
                                              'invalid trials at their worst')]
    assert same[0] == same[1] == same[2]
    assert found['primary'].interval.low < same[0].low
    assert next(iter(found)) == 'primary'
    for row in found.values():
        json.dumps(row.to_dict(), allow_nan=False)


def test_an_operator_who_drops_failures_is_seen() -> None:
    """Every second failure of the new arm repeated: the worst case turns the sign."""
    found = rows(study(1, drop_failures=0.7))
    usual, worst = found['all complete pairs'], found['invalid trials at their worst']
    assert usual.interval.estimate > worst.interval.estimate + 0.1
    assert usual.no_worse
    assert not worst.no_worse


def test_doubted_verdicts() -> None:
    """Unsure trials removed, at their worst, and the second rater's word: each as by hand."""
    outcomes = study(2)
    doubted = [replace(one, sure=place % 10 != 0, rated=(not one.success) if place % 15 == 0
                       else None) for place, one in enumerate(outcomes)]
    found = rows(doubted)
    unsure = {one.place[:2] for one in doubted if not one.sure}
    assert found['unsure trials removed'].pairs == 60 - len(unsure)
    assert f'{len(doubted[::10])} of 120 trials' in found['unsure trials removed'].note
    assert (found['unsure trials at their worst'].interval.estimate
            < found['all complete pairs'].interval.estimate)
    turned = [replace(one, success=one.success if one.rated is None else one.rated)
              for one in doubted]
    assert found['second rater'].interval == rows(turned)['all complete pairs'].interval
    assert '8 of 120 trials, 8 rated otherwise' in found['second rater'].note
    assert not {'unsure trials removed', 'second rater'} & set(rows(outcomes))


def test_adversarial_row_is_harder() -> None:
    """What it shows the primary analysis shows too; it is left out where it asks nothing."""
    for seed in range(6):
        found = rows(study(seed))
        assert found['primary'].no_worse or not found['adversarial calibration'].no_worse
    assert 'adversarial calibration' not in rows(study(0), replace(TERMS, rule='fixed'))


def test_strata_count_by_task() -> None:
    """Twenty rounds with one easy condition of three."""
    strata = strata_of(study(0), 'old', 'new')
    assert {task: (one[1], other[1]) for task, (one, other) in strata.items()} == {
        'easy': (20, 20), 'hard': (40, 40)}


def test_missing_statsmodels_leaves_one_row_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is computed without it."""
    monkeypatch.setitem(sys.modules, 'statsmodels.stats.contingency_tables', None)
    found = rows(study(0))
    assert 'pip install' in found['tasks as strata'].note
    assert found['pairs ignored'].interval.low < found['pairs ignored'].interval.high


def test_without_outcomes() -> None:
    """An empty study has its paired rows, without numbers."""
    found = rows([])
    assert found['primary'].no_worse is False
    assert found['all complete pairs'].pairs == 0
    assert 'pairs ignored' not in found
