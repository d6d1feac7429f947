# SPDX-License-Identifier: Apache-2.0
"""Controls know nothing of the model, and are what the papers compare with."""

import numpy as np
import pytest

from vla_drop_ros.pruning.criteria.controls import CRITERIA
from vla_drop_ros.pruning.criterion import Scores, Subject


def scores(subject: Subject, name: str) -> dict[tuple[str, str], Scores]:
    """Return what a control scores, by stack and unit."""
    return {(one.stack, one.unit): one for one in CRITERIA[name].measure(subject)}


def test_orders(subject: Subject) -> None:
    """Of four blocks: what each control would keep longest."""
    assert scores(subject, 'keep-first')['language', 'block'].values.tolist() == [4, 3, 2, 1]
    assert scores(subject, 'uniform')['language', 'tied'].values.tolist() == [1, 0, 1, 0]
    ends = scores(subject, 'endpoints')['action', 'block'].values
    assert np.argsort(-ends).tolist() == [0, 3, 1, 2]


def test_random_repeats_with_its_seed(subject: Subject) -> None:
    """The same seed gives the same order, another one another; channels are drawn too."""
    first, again = (scores(subject, 'random') for _ in range(2))
    subject.seed = 1
    other = scores(subject, 'random')
    key = ('vision', 'channel')
    assert all(np.array_equal(a, b) for a, b in zip(
        first[key].values, again[key].values, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(
        first[key].values, other[key].values, strict=True))
    assert sorted(first['language', 'block'].values) == [0, 1, 2, 3]


@pytest.mark.parametrize('name', CRITERIA)
def test_every_unit_is_scored(subject: Subject, name: str) -> None:
    """A control stands beside every criterion."""
    found = scores(subject, name)
    assert set(subject.block_units()) <= set(found)
