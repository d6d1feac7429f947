# SPDX-License-Identifier: Apache-2.0
"""Rankings: all criteria on one set of samples, with what is known of their certainty."""

from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import RankingError
from vla_drop_ros.pruning.criterion import CRITERIA, criterion, ORACLE, Subject
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.pruning.ranking import CriterionRanking

QUICK = ('leave-one-out', 'gateprobe', 'cka', 'magnitude', 'random')


def test_every_criterion_runs_and_scores_what_it_says(subject: Subject) -> None:
    """All of them, on one subject; block units of every stack that they know."""
    found = rank(subject, CRITERIA)
    assert list(found) == list(CRITERIA)
    for name, one in found.items():
        assert one.higher_means == criterion(name).higher_means
        assert one.source and one.seconds > 0
        for unit, stacks in one.units.items():
            for stack, scores in stacks.items():
                blocks = subject.layout[stack].depth
                assert len(scores.values) == blocks, (name, unit, stack)
    assert 'action' not in found['divergence'].units['block']
    assert set(found['wanda'].units) == {'channel', 'head'}


def test_sampled_scores_have_intervals_stability_and_an_oracle(subject: Subject) -> None:
    """And weights have none, since nothing was drawn."""
    found = rank(subject, QUICK)
    one = found['gateprobe'].units['tied']['language']
    assert ((one.low <= one.values) & (one.values <= one.high)).all()
    assert one.stability is not None and -1 <= one.stability <= 1
    assert one.oracle is not None and -1 <= one.oracle['low'] <= one.oracle['high'] <= 1
    weights = found['magnitude'].units['block']['vision']
    assert weights.low is None and weights.stability is None and weights.oracle is not None
    assert found[ORACLE].units['block']['vision'].oracle is None


def test_the_oracle_runs_first_but_keeps_its_place(subject: Subject) -> None:
    """Whatever the order it is asked for in."""
    found = rank(subject, ('random', 'leave-one-out'))
    assert list(found) == ['random', 'leave-one-out']
    assert found['random'].units['block']['vision'].oracle is not None


def test_the_sign_is_turned_where_high_means_drop(subject: Subject) -> None:
    """Importance always means keep."""
    found = rank(subject, ('cka',))['cka']
    assert np.array_equal(found.importance('block', 'vision'),
                          -np.asarray(found.units['block']['vision'].values))


def test_the_same_seed_gives_the_same_ranking(subject: Subject) -> None:
    """Numbers and intervals."""
    def flat(found: dict[str, CriterionRanking]) -> Any:
        one = found['gateprobe'].units['block']['action']
        return np.concatenate([one.values, one.low, one.high])

    assert np.array_equal(flat(rank(subject, QUICK)), flat(rank(subject, QUICK)))


def test_probes_measure_both_directions_where_it_matters(subject: Subject) -> None:
    """Divergence is probed from both ends and says which a module bears; others from one."""
    found = rank(subject, ('divergence', 'magnitude'), probes=True)
    moved = found['divergence'].units['channel']['language'].extra
    assert set(moved['probe']) == {'low', 'high'}
    assert [row[0] for row in moved['probe']['low']] == [0.1, 0.25, 0.5]
    totals = {direction: sum(row[1] for row in rows)
              for direction, rows in moved['probe'].items()}
    assert moved['direction'] == min(totals, key=lambda one: totals[one])
    assert set(found['magnitude'].units['head']['action'].extra['probe']) == {'low'}


def test_what_is_missing_is_named(subject: Subject) -> None:
    """Unknown criteria, no demonstrations, no base."""
    with pytest.raises(RankingError, match="Did you mean 'gateprobe'"):
        rank(subject, ('gate-probe',))
    subject.batches = ()
    with pytest.raises(RankingError, match="'gateprobe' needs demonstrations.*--data"):
        rank(subject, ('gateprobe',))
    subject.base = None
    with pytest.raises(RankingError, match='--base'):
        rank(subject, ('divergence',))
    rank(subject, ('magnitude',))
