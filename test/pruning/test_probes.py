# SPDX-License-Identifier: Apache-2.0
"""A probe is what a real drop of that share adds to the loss, in the direction it names."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.probes import probe, RATIOS, SHARE
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.pruning.ranking import CriterionRanking
from vla_drop_ros.pruning.widths import narrow


@pytest.fixture
def ranked(subject: Subject) -> CriterionRanking:
    """Return widths by magnitude, not probed."""
    return rank(subject, ('magnitude',), probes=False)['magnitude']


def test_rows_are_losses_after_a_drop(subject: Subject, ranked: CriterionRanking) -> None:
    """Share, mean loss added by sample, and its standard error; the model is whole after."""
    before = subject.losses(SHARE)
    found = probe(subject, ranked, ('low', 'high'))
    table = found.units['channel']['vision'].extra['probe']
    assert [row[0] for row in table['low']] == list(RATIOS)
    importance = {name: ranked.width_importance('channel', name)
                  for name in ranked.units['channel']}
    for direction in ('low', 'high'):
        widths = narrow(subject.layout, 'channel', importance, 'vision', 0.5, direction)
        with dropped(subject.family, subject.model, Plan().with_widths('channel', widths)):
            added = subject.losses(SHARE) - before
        assert table[direction][-1] == pytest.approx(
            [0.5, added.mean(), added.std(ddof=1) / len(added) ** 0.5])
    assert np.array_equal(subject.losses(SHARE), before)


def test_the_direction_is_the_one_that_adds_less(
        subject: Subject, ranked: CriterionRanking) -> None:
    """Turning the scores round turns the direction round."""
    def directions(one: CriterionRanking) -> dict[str, str]:
        found = probe(subject, one, ('low', 'high'))
        return {name: entry.extra['direction'] for name, entry in found.units['channel'].items()}

    turned = replace(ranked, higher_means='drop')
    other = {'low': 'high', 'high': 'low'}
    assert directions(turned) == {
        name: other[direction] for name, direction in directions(ranked).items()}


def test_one_direction_is_probed_alone(subject: Subject, ranked: CriterionRanking) -> None:
    """Criteria whose direction is known cost half."""
    found = probe(subject, ranked, ('low',))
    for unit in ('channel', 'head'):
        for entry in found.units[unit].values():
            if 'probe' in entry.extra:
                assert list(entry.extra['probe']) == ['low'] and entry.extra['direction'] == 'low'
