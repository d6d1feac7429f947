# SPDX-License-Identifier: Apache-2.0
"""Costs: exact counts, differences that add up, and a prediction that meets a real drop."""

from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.checkpoint import empty_model
from vla_drop_ros.pruning.cost import count, count_units, measure_plan, time_units
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.prediction import blocks_gone, blocks_twice, predict

PLANS = {
    'tied': Plan({'language': {'tied': (1, 2)}}),
    'mixed': Plan({'language': {'keep-kv': (0,), 'mlp': (3,)}, 'vision': {'whole': (2,)},
                   'action': {'whole': (2,), 'mha': (0,)}}),
    'widths': Plan(channels={'language': {1: (0, 3), 2: (5,)}}, heads={'vision': {0: (1,)}}),
    'widths of what goes': Plan({'language': {'tied': (1,)}}, {'language': {1: (0,), 2: (0,)},
                                                              'action': {1: (3,)}}),
}


@pytest.fixture(scope='module')
def empty(tiny_pair: tuple[Path, Path]) -> Any:
    """Return the tiny policy on the meta device."""
    return empty_model(tiny_pair[0], 'pi0', None).to('meta')


@pytest.fixture
def counted(subject: Subject, empty: Any) -> Subject:
    """Return what is counted: no weights, no data."""
    return Subject(subject.family, empty, (), subject.weights)


def test_a_linear_layer_counts_two_per_weight_and_token(
        counted: Subject, tiny_policy: Any) -> None:
    """A language MLP: three layers of 16 x 32 for every token of the prompt, once a chunk."""
    example = tiny_policy.example_inputs()[0]
    costs = count_units(counted, example)
    tokens = example[0]['input_ids'].shape[1]
    assert costs['flops']['units']['language']['mlp'] == [2 * 3 * 16 * 32 * tokens] * 4
    assert costs['parameters']['units']['language']['mlp'] == [3 * 16 * 32 + 16] * 4
    # Queries and output, and both products of two heads of width 8 over all pairs of tokens.
    assert costs['flops']['units']['language']['attention'] == [
        2 * 2 * 16 * 16 * tokens + 2 * 2 * 2 * 8 * tokens * tokens] * 4
    # The action expert runs once a denoising step, on the state and four actions.
    assert costs['flops']['units']['action']['mlp'] == [2 * 3 * 12 * 24 * 5 * 2] * 4


@pytest.mark.parametrize('name', PLANS)
def test_predictions_of_counts_are_exact(
        counted: Subject, tiny_policy: Any, name: str) -> None:
    """What the units save adds up to what a real drop leaves."""
    example, plan = tiny_policy.example_inputs()[0], PLANS[name]
    costs = count_units(counted, example)
    left, real = predict(costs, counted.layout, plan), measure_plan(counted, plan, example)
    assert left['parameters'] == real.parameters
    if name != 'mixed':  # dead keys and values are still computed where their reader went
        assert left['flops'] == real.flops
    assert count(counted, example).parameters == costs['parameters']['total']


def test_seconds_are_measured_for_every_unit(subject: Subject, tiny_policy: Any) -> None:
    """On this machine, with the sampler that the runtime uses; the model is whole afterwards."""
    size = sum(p.numel() for p in subject.model.parameters())
    told: list[float] = []
    found = time_units(subject, tiny_policy.example_inputs(), 1, told.append)
    assert found['total'] > 0 and found['threads'] == 1 and told[-1] == 1.0
    assert set(found['units']['language']) == {
        'block', 'tied', 'attention', 'mlp', 'channel', 'head'}
    assert all(seconds >= 0 for units in found['units'].values() for seconds in units.values())
    assert sum(p.numel() for p in subject.model.parameters()) == size
    left = predict({'latency': found}, subject.layout, PLANS['tied'])
    assert left['latency'] == pytest.approx(
        found['total'] - 2 * found['units']['language']['tied'])


def test_ties_take_blocks_of_the_reader_along(subject: Subject) -> None:
    """And naming those as well is told."""
    plan = Plan({'language': {'tied': (1, 2)}, 'action': {'whole': (0,)}})
    assert blocks_gone(subject.layout, plan, 'action') == {0, 1, 2}
    assert blocks_gone(subject.layout, plan, 'language') == {1, 2}
    assert blocks_twice(subject.layout, plan, 'action') == set()
    plan = Plan({'language': {'tied': (1, 2)}, 'action': {'mlp': (2,)}})
    assert blocks_twice(subject.layout, plan, 'action') == {2}
