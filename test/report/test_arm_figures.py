# SPDX-License-Identifier: Apache-2.0
"""The figures of the arms name every arm, its number of trials, and units."""

from collections.abc import Callable
import xml.etree.ElementTree as ElementTree

import pytest

from vla_drop_ros.report.arm_figures import (
    funnel,
    heat_map,
    histogram,
    latency,
    solved,
    violins,
)
from vla_drop_ros.report.document import Picture
from vla_drop_ros.report.letters import Letters
from vla_drop_ros.report.results import Results

FIGURES: dict[str, tuple[Callable[[Results], Picture], list[str]]] = {
    'funnel': (lambda one: funnel(one.arms, one.record.study.design),
               ['reached', 'grasped', 'success', 'whole9, n = 36', 'lean9, n = 36', '[%]']),
    'violins': (lambda one: violins(one.arms),
                ['whole9', 'lean9', 'n = 36', 'success [%]']),
    'histogram': (lambda one: histogram(one.arms),
                  ['whole9, n = 36', 'lean9, n = 36', 'progress at the end of the trial [%]']),
    'solved': (lambda one: solved(one.arms, 30.0),
               ['whole9, n = 36', 'lean9, n = 36', 'time since the start [s]', 'solved [%]']),
    'latency': (lambda one: latency(one.arms), ['n = 36', '[ms]', 'whole9', 'lean9']),
    'heat_map': (lambda one: heat_map(one.arms, one.record.study.design),
                 ['red-left', 'blue-right', 'green-top', 'whole9', 'lean9'])}


@pytest.mark.parametrize('name', FIGURES)
def test_figures_say_what_they_show(opened: Results, name: str) -> None:
    """Each parses, holds its labels as text, and has a caption and words."""
    make, labels = FIGURES[name]
    picture = make(opened)
    ElementTree.fromstring(picture.svg)
    assert [text for text in labels if text not in picture.svg] == []
    assert picture.caption and picture.words


def test_the_histogram_adds_up(opened: Results) -> None:
    """The bars of an arm are all of its trials; many values of progress share ten bars."""
    from dataclasses import replace
    for arms in (opened.arms, [replace(opened.arms[0], progress=tuple(
            step / 100 for step in range(101)))]):
        for arm, words in zip(arms, histogram(arms).words.split('; '), strict=True):
            shares = [int(part.split()[-2]) for part in words.split(': ')[1].split(', ')]
            assert 97 <= sum(shares) <= 103 and len(shares) <= 11
            assert f'100 % in {round(100 * arm.progress.count(1.0) / len(arm.progress))} %' in (
                words) or len(arm.progress) == 101


def test_letters_stand_beside_the_violins(opened: Results) -> None:
    """With letters every arm has its own in the picture and in the words."""
    letters = Letters({'whole9': 'qq', 'lean9': 'zz'}, ())
    picture = violins(opened.arms, letters)
    assert 'qq' in picture.svg and 'zz' in picture.svg and 'letters zz' in picture.words
    assert 'letters' not in violins(opened.arms).words


def test_the_heat_map_holds_the_counts(opened: Results) -> None:
    """Every cell is printed as successes / trials."""
    text = heat_map(opened.arms, opened.record.study.design).svg
    for arm in opened.arms:
        for won, made in arm.conditions.values():
            assert f'{won} / {made}' in text


def test_arms_that_were_not_measured_are_left_out(opened: Results) -> None:
    """An arm without latency has no line of its own."""
    from dataclasses import replace
    whole9, lean9 = opened.arms
    silent = replace(whole9, speed=replace(whole9.speed, trials=0, medians=()))
    assert 'whole9' not in latency([silent, lean9]).words
