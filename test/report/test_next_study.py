# SPDX-License-Identifier: Apache-2.0
"""The next study is planned on what was observed."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vla_drop_ros.report.next_study import cycle_of, next_studies, observed_truth
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.trials.planning import fixed_power, Truth
from vla_drop_ros.trials.verdict import Counts


def test_one_look_reaches_the_power(opened: Results) -> None:
    """Every number of pairs that is printed has 80 % power, exactly, and a horizon is longer."""
    assert opened.next_studies
    for one in opened.next_studies:
        if one.one_look:
            truth = Truth(one.difference, one.discordance)
            assert fixed_power(one.one_look, one.margin, 0.05, truth) >= 0.8
            assert one.horizon == 0 or (one.horizon % 3 == 0 and one.mean_pairs < one.horizon)


def test_a_loss_of_the_margin_cannot_be_shown(opened: Results) -> None:
    """Where the observed loss reaches the margin no number of pairs is promised."""
    for one in opened.next_studies:
        assert (one.one_look == 0) == (one.difference <= -one.margin)


def test_no_pair_is_no_plan(opened: Results) -> None:
    """Without a verdict nothing is planned."""
    assert next_studies([], opened.rows, opened.record.study.design, print) == ()


def test_luck_leaves_some_discordance() -> None:
    """Twenty pairs alike do not mean that pairs always are."""
    truth = observed_truth(Counts(20, 0, 0, 0))
    assert truth.difference == 0.0 and truth.discordance == pytest.approx(1 / 22)


def test_a_cycle_is_a_trial_and_its_rest(opened: Results) -> None:
    """The length is observed, the rest is the design's; without trials both are."""
    design = opened.record.study.design
    assert cycle_of([], design) == (30.0, 20.0)
    assert 6.0 < cycle_of(opened.rows, design)[0] < 30.0


def test_by_holm_the_page_speaks_of_one_error(study: Callable[..., Path], studies: ModuleType
                                              ) -> None:
    """Pairs of one look are the same beside the verdict and in the table of next studies."""
    folder = study(world=studies.World({'baseline': 0.9, 'third': 0.8, 'half': 0.8}, seed=1),
                   data=studies.design_data(('baseline', 'third', 'half'), horizon=12,
                                            several='holm', seed=1))
    results = results_of(unblind(read_record(folder), 'P1'))
    last = results.comparisons[-1].verdict
    assert last.terms.alpha < 0.05 and last.needed > 0
    assert results.next_studies[0].one_look == last.needed
