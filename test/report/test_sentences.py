# SPDX-License-Identifier: Apache-2.0
"""The report says one of a few sentences about a verdict, and never a nan."""

from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from types import ModuleType

import pytest

from vla_drop_ros.report import sentences
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.trials.verdict import Word


def test_every_word_has_a_tone_and_advice() -> None:
    """No verdict is without its colour and its next step."""
    assert set(sentences.TONES) == set(sentences.NEXT) == set(Word)


def test_what_is_not_known_is_a_dash() -> None:
    """What is nan or infinite becomes '-', wherever numbers become words."""
    for value in (nan, inf):
        assert {sentences.percent(value), sentences.milliseconds(value), sentences.number(value),
                sentences.p_value(value)} == {'-'}
    assert sentences.span(Interval(nan, -1.0, 1.0, 0.9)) == '-'
    assert sentences.span(Interval(-0.05, nan, nan, 0.9)) == '-5'
    assert sentences.span(Interval(-0.05, -0.125, 0.02, 0.9)) == '-5 [-12.5, +2]'


def test_p_values_are_not_zero() -> None:
    """A small p value is given as a bound."""
    assert sentences.p_value(1e-9) == 'p < 0.001' and sentences.p_value(0.0312) == 'p = 0.031'


def test_the_box_of_a_whole_study(opened: Results) -> None:
    """The box names candidate, pairs, margin, rule, guard, deviations and what was saved."""
    box = sentences.verdict_box(opened.comparisons[0], opened)
    facts = dict(box.facts)
    assert 'checkpoint lean9' in box.sentence.lower() and 'the baseline whole9' in box.sentence
    assert facts['pairs'] == '36 of at most 36' and facts['margin'].startswith('15 points')
    assert 'strong enough' in facts['baseline, lower bound'] and 'ms' in facts['latency']
    assert box.notes[0].startswith('What this study could not have seen.')


@pytest.mark.parametrize(('rule', 'words'), [
    ('exact_paired', 'so the verdict holds'), ('fixed', 'no verdict before it')])
def test_an_early_opening_is_said_first(study: Callable[..., Path], studies: ModuleType,
                                        rule: str, words: str) -> None:
    """The line below the title says that the study goes on, and how many pairs are missing."""
    folder = study(trials=14, data=studies.design_data(
        stopping={'rule': rule, 'horizon': 24}))
    blinded = results_of(read_record(folder))
    assert 'NOT ended' in sentences.status(blinded).text
    opened = results_of(unblind(read_record(folder), 'P1', early=True))
    told = sentences.status(opened)
    assert '18 pairs before its horizon' in told.text and words in told.text
    assert told.tone == 'warning'


def test_a_checkpoint_after_a_failed_one_is_not_recommended(
        study: Callable[..., Path], studies: ModuleType) -> None:
    """Good numbers do not help the one that comes after the first that was not accepted."""
    rates = {'base': 0.97, 'three': 0.2, 'six': 0.97}
    folder = study(world=studies.World(rates, alike=1.0),
                   data=studies.design_data(tuple(rates), horizon=48))
    results = results_of(unblind(read_record(folder), 'P1'))
    last = results.comparisons[-1]
    box = sentences.verdict_box(last, results)
    assert box.word == 'NON-INFERIOR' and box.tone == 'warning'
    assert box.notes[0].startswith('NOT ACCEPTED')
    assert 'study of its own' in sentences.what_next(last, results)[0]
    assert sentences.ladder_sentence(results).startswith('No pruned checkpoint')
