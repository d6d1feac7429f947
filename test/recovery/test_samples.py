# SPDX-License-Identifier: Apache-2.0
"""What a recovery sees hangs on the seed alone, not on how the work is shared out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.samples import Samples

RECIPE = Recipe(steps=6, batch_size=8, seed=3)


def batches(policy: Any, samples: Samples, parts: range) -> list[Any]:
    """Return the batches of some parts."""
    return [samples.batch(policy, part, samples[part]) for part in parts]


def test_processes_and_parts_share_a_step_out(policy: Any, dataset: Dataset) -> None:
    """Two processes of two parts see together, in order, what one process sees at once."""
    whole = Samples(dataset, policy, RECIPE)
    for step in range(2):
        alone = whole.batch(policy, step, whole[step])
        shared = [one for rank in range(2) for one in batches(
            policy, Samples(dataset, policy, replace(RECIPE, accumulate=2), rank, 2),
            range(2 * step, 2 * step + 2))]
        for name in ('actions', 'weights', 'noise', 'time'):
            assert torch.equal(getattr(alone, name),
                               torch.cat([getattr(one, name) for one in shared]))
        for name, tensor in alone.inputs.items():
            assert torch.equal(tensor, torch.cat([one.inputs[name] for one in shared]))


def test_an_epoch_shows_every_frame_once(policy: Any, dataset: Dataset) -> None:
    """Frames of the first epoch are all training frames; another seed has another order."""
    count = len(Samples(dataset, policy, RECIPE).training)
    one, other = (Samples(dataset, policy, Recipe(steps=1, batch_size=count, seed=seed))
                  for seed in (0, 1))
    assert np.array_equal(one.held_out, other.held_out)
    assert sorted(one._step(0)) == sorted(one.training)
    assert list(one._step(0)) != list(other._step(0))


def test_held_out_episodes_are_never_trained_on(policy: Any, dataset: Dataset) -> None:
    """Whole episodes are on one side, and a share takes from the training side only."""
    samples = Samples(dataset, policy, RECIPE)
    episodes = [set(dataset.episode[part]) for part in (samples.training, samples.held_out)]
    assert not episodes[0] & episodes[1] and len(episodes[1]) == 1
    some = Samples(dataset, policy, replace(RECIPE, share=0.4))
    assert set(some.held_out) == set(samples.held_out)
    assert some.episodes == 2 and set(some.training) < set(samples.training)


def test_validation_repeats(policy: Any, dataset: Dataset) -> None:
    """Two calls give the same frames and noise."""
    samples = Samples(dataset, policy, RECIPE)
    (_, one), (_, two) = (next(samples.validation(policy, 4)) for _ in range(2))
    assert torch.equal(one.noise, two.noise) and torch.equal(one.actions, two.actions)


def test_an_uneven_batch_is_refused(policy: Any, dataset: Dataset) -> None:
    """The message says what to take."""
    with pytest.raises(RecoveryError, match='over 3 processes .* take a multiple of 3'):
        Samples(dataset, policy, RECIPE, 0, 3)
