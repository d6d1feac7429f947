# SPDX-License-Identifier: Apache-2.0
"""Block influence, angular distance, CKA: what they say of blocks whose effect is known."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from vla_drop_ros.pruning.activations import Recorder
from vla_drop_ros.pruning.criteria import angular, block_influence, cka
from vla_drop_ros.pruning.criterion import Scores, Subject
from vla_drop_ros.pruning.similarity import PairSums


def by_key(scores: list[Scores]) -> dict[tuple[str, str], Scores]:
    """Return the scores by stack and unit."""
    return {(one.stack, one.unit): one for one in scores}


@contextmanager
def muted(subject: Subject, stack: str, index: int) -> Iterator[None]:
    """Let a block add nothing, by zero weights."""
    live = subject.stacks[stack]
    layers = [live.module(index, path) for path in (live.site.output, live.site.contract)]
    kept = [{name: value.clone() for name, value in layer.state_dict().items()}
            for layer in layers]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.zero_()
    try:
        yield
    finally:
        for layer, state in zip(layers, kept, strict=True):
            layer.load_state_dict(state)


@pytest.mark.parametrize(('stack', 'index'), [('vision', 1), ('language', 2), ('action', 1)])
def test_a_block_that_adds_nothing_is_found(subject: Subject, stack: str, index: int) -> None:
    """Its influence and its angle are 0 and its CKA is 1; the others' are not."""
    with muted(subject, stack, index):
        influence, angle, alike = (by_key(module.measure(subject))[stack, 'block']
                                   for module in (block_influence, angular, cka))
    assert influence.values[index] == pytest.approx(0.0, abs=1e-6)
    assert angle.values[index] == pytest.approx(0.0, abs=1e-3)
    assert alike.values[index] == pytest.approx(1.0, abs=1e-6)
    others = [i for i in range(len(influence.values)) if i != index]
    assert (influence.values[others] > 1e-3).all() and (angle.values[others] > 1e-2).all()
    assert (alike.values[others] < 0.9999).all()
    assert cka.CRITERION.importance(alike.values).argmin() == index


def test_influence_is_the_mean_over_valid_tokens(subject: Subject) -> None:
    """Padding does not count: the score is what the formula gives on the valid tokens."""
    batch = subject.batches[0]
    mask = batch.inputs['attention_mask'].bool()
    assert not mask.all()
    with torch.no_grad(), Recorder(subject.family, subject.model) as recorder:
        subject.family.loss(subject.model, batch)
    before, behind = recorder.inputs['language'][1][0], recorder.inputs['language'][2][0]
    cosine = torch.nn.functional.cosine_similarity(before, behind, dim=-1)
    expected = torch.stack([1 - cosine[row][mask[row]].mean() for row in range(len(batch))])
    subject.batches = [batch]
    found = by_key(block_influence.measure(subject))['language', 'block']
    assert np.allclose(found.samples[:, 1], expected.numpy(), atol=1e-6)


def test_halves_are_scored_by_their_own_states(subject: Subject) -> None:
    """An attention whose output is zero has no influence; its MLP still has."""
    live = subject.stacks['language']
    layer = live.module(1, live.site.output)
    kept = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.zero_()
    scores = by_key(block_influence.measure(subject))
    with torch.no_grad():
        layer.weight.copy_(kept)
    assert scores['language', 'attention'].values[1] == pytest.approx(0.0, abs=1e-6)
    assert scores['language', 'mlp'].values[1] > 1e-3


def test_runs_are_distances_between_any_two_states(subject: Subject) -> None:
    """d(l, 1) are the scores; the longest run spans the stack; a run is no sum of its parts."""
    found = by_key(angular.measure(subject))['vision', 'block']
    runs = found.extra['runs']
    assert [len(run) for run in runs] == [3, 2, 1]
    assert np.allclose(runs[0], found.values)
    assert 0 < runs[2][0] <= sum(runs[0]) + 1e-9  # angles obey the triangle inequality
    assert found.rule == 'contiguous'


def test_cka_of_a_batch_is_not_enough(subject: Subject) -> None:
    """The score pools all samples; what each batch alone would say is kept for the interval."""
    found = by_key(cka.measure(subject))['vision', 'block']
    assert found.samples.shape == (len(subject.batches), 3)
    assert found.extra['biased'] != found.extra['published']
    assert all(biased >= value - 1e-9 for biased, value in zip(
        found.extra['biased'], found.values, strict=True))


def test_cka_draws_the_same_tokens_for_the_same_seed(
        subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more tokens than are looked at, which ones is the seed's choice."""
    monkeypatch.setattr(cka, 'TOKENS', 5)
    first = by_key(cka.measure(subject))['language', 'block'].values
    again = by_key(cka.measure(subject))['language', 'block'].values
    subject.seed = 9
    other = by_key(cka.measure(subject))['language', 'block'].values
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_states_come_from_the_norms_in_every_stack(subject: Subject) -> None:
    """One more than blocks, the same stream: each state is the one before plus the update."""
    with torch.no_grad(), Recorder(subject.family, subject.model) as recorder:
        subject.family.loss(subject.model, subject.batches[0])
    for name, stack in subject.stacks.items():
        assert len(recorder.inputs[name]) == len(stack) + 1
        assert len(recorder.middles[name]) == len(stack)
        assert all(len(calls) == 1 for calls in recorder.inputs[name])
    sums = PairSums()
    sums.add(*(recorder.inputs['action'][place][0].flatten(0, 1) for place in (0, 1)))
    assert sums.rows == 4 * 2 * 5  # samples, draws, state and four steps
