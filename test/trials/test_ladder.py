# SPDX-License-Identifier: Apache-2.0
"""Several checkpoints keep one error, and the furthest accepted one is found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.ladder import climb, fixed_sequence, has_answers, holm
from vla_drop_ros.trials.pairs import Pair
from vla_drop_ros.trials.statistics import tango_z

TERMS = Terms(0.15, 0.05, 'fixed', 60, 3)


def study(both: int, candidate: int, baseline: int) -> list[Pair]:
    """Return 60 pairs with these counts, the rest solved by neither."""
    kinds = ([(True, True)] * both + [(True, False)] * candidate + [(False, True)] * baseline)
    kinds += [(False, False)] * (60 - len(kinds))
    return [Pair(place // 3, 'abc'[place % 3], *kind) for place, kind in enumerate(kinds)]


GOOD, FAIR, BAD = study(50, 2, 2), study(48, 3, 6), study(30, 2, 22)


@pytest.mark.parametrize('seed', range(5))
def test_holm_agrees_with_statsmodels(seed: int) -> None:
    """The step-down rejects what the library rejects, ties and large values included."""
    values = np.random.default_rng(seed).choice([0.001, 0.01, 0.012, 0.02, 0.04, 0.5], 6)
    expected = multipletests(values, alpha=0.05, method='holm')[0]
    assert holm(list(values), 0.05) == list(expected)


def test_fixed_sequence_ends_at_the_first_failure() -> None:
    """What comes after a checkpoint that failed is not accepted, however good it looks."""
    assert fixed_sequence([True, True, False, True]) == [True, True, False, False]


def test_furthest_accepted_checkpoint() -> None:
    """Three good rungs and a bad one: the third is the furthest; the last says why not."""
    ladder = climb({'d1': GOOD, 'd2': GOOD, 'd3': GOOD, 'd4': BAD}, TERMS)
    assert ladder.furthest == 'd3'
    assert 'not shown' in ladder.rungs[3].reason
    blocked = climb({'d1': BAD, 'd2': GOOD}, TERMS)
    assert blocked.furthest == ''
    assert 'comes after d1' in blocked.rungs[1].reason
    assert blocked.to_dict()['rungs'][1]['accepted'] is False


def test_holm_knows_no_order() -> None:
    """A good checkpoint behind a bad one is accepted, each at a smaller error."""
    ladder = climb({'d1': BAD, 'd2': GOOD}, TERMS, 'holm')
    assert [rung.accepted for rung in ladder.rungs] == [False, True]
    assert ladder.rungs[1].verdict.terms.alpha == pytest.approx(0.025)
    assert ladder.rungs[0].verdict.terms.alpha == pytest.approx(0.05)


def test_holm_asks_more_than_one_test_does() -> None:
    """A checkpoint that passes alone may fail among four."""
    assert climb({'d1': FAIR}, TERMS, 'holm').furthest == 'd1'
    several = climb({name: FAIR for name in ('d1', 'd2', 'd3', 'd4')}, TERMS, 'holm')
    assert several.furthest == ''


def test_ladder_with_a_sequential_rule() -> None:
    """The boundary is built anew at the smaller error, and the e-value uses K / alpha."""
    for rule in ('exact_paired', 'anytime'):
        ladder = climb({'d1': GOOD, 'd2': BAD}, replace(TERMS, rule=rule), 'holm')
        assert [rung.accepted for rung in ladder.rungs] == [True, False]


@pytest.mark.parametrize('method', ['fixed_sequence', 'holm'])
def test_family_error(method: str) -> None:
    """Of simulated studies with two checkpoints at the margin, few accept any."""
    rng, studies, wrong = np.random.default_rng(2), 4000, 0
    # Half of the pairs go alike for both, as they share the baseline.
    luck = rng.random((studies, 60, 2))
    luck[..., 1] = np.where(rng.random((studies, 60)) < 0.5, luck[..., 0], luck[..., 1])
    b, c = (luck < 0.08).sum(axis=1), (luck > 1 - 0.23).sum(axis=1)
    z = np.vectorize(lambda i, j: tango_z(int(i), int(j), 60, 0.15))(b, c)
    for one in norm.sf(z):
        accepted = fixed_sequence(list(one <= 0.05)) if method == 'fixed_sequence' else holm(
            list(one), 0.05)
        wrong += any(accepted)
    assert 0.02 < wrong / studies < 0.06


def test_unknown_method_and_no_checkpoint() -> None:
    """Both are named with what is possible."""
    with pytest.raises(TrialError, match='holm'):
        climb({'d1': GOOD}, TERMS, 'bonferoni')
    with pytest.raises(TrialError, match='no pruned'):
        climb({}, TERMS)


@pytest.mark.parametrize('rule', ['anytime', 'exact_paired'])
@pytest.mark.parametrize('method', ['fixed_sequence', 'holm'])
def test_a_study_ends_when_the_report_has_its_answers(rule: str, method: str) -> None:
    """Not one look before: by Holm each rung is judged at a smaller error than the study's."""
    terms = Terms(0.15, 0.05, rule, 90 if rule == 'exact_paired' else 0, 3, 0.3)
    stored = boundaries(terms)

    def pairs(rounds: int) -> dict[str, list[Pair]]:
        kinds = {'good': (True, True), 'fair': (True, True), 'bad': (False, True)}
        return {name: [Pair(place // 3, 'abc'[place % 3], *kind) for place in range(3 * rounds)]
                for name, kind in kinds.items()}

    ends = next(rounds for rounds in range(1, 31)
                if has_answers(pairs(rounds), terms, method, stored))
    for rounds, done in ((ends - 1, False), (ends, True)):
        rungs = climb(pairs(rounds), terms, method, stored).rungs
        said = [rung.verdict.word.value for rung in rungs]
        assert (said == ['NON-INFERIOR', 'NON-INFERIOR', 'WORSE BY MORE THAN THE MARGIN']) is done
    assert 1 < ends < 30


@pytest.mark.parametrize('method', ['fixed_sequence', 'holm'])
def test_a_round_that_lacks_a_checkpoint_is_no_look_at_the_others(method: str) -> None:
    """Neither ladder nor stopping rule sees it before it is complete with all of them."""
    terms = Terms(0.15, 0.05, 'fixed', 60, 3)
    stored = boundaries(terms)
    late = {'first': GOOD, 'last': GOOD[:-1]}
    assert not has_answers(late, terms, method, stored)
    verdicts = [rung.verdict for rung in climb(late, terms, method, stored).rungs]
    assert [one.counts.pairs for one in verdicts] == [57, 57]
    assert [one.left_out for one in verdicts] == [3, 2]
    assert has_answers({'first': GOOD, 'last': GOOD}, terms, method, stored)
