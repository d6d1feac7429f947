# SPDX-License-Identifier: Apache-2.0
"""The loop: what is saved is an average, frozen weights stay, measuring leaves no trace."""

from pathlib import Path
from typing import Any

import pytest
import torch

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.recovery.losses import RecoveryLoss
from vla_drop_ros.recovery.low_rank import trainable
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.samples import Samples
from vla_drop_ros.recovery.trainer import accelerator, Trainer


def trainer_of(policy: Any, dataset: Dataset, recipe: Recipe, work: Path) -> Trainer:
    """Return a trainer of a policy, alone."""
    trainable(policy.family, policy.model, recipe)
    return Trainer(policy, RecoveryLoss(policy.family, policy.model, recipe),
                   Samples(dataset, policy, recipe), recipe, work, 'meaning',
                   accelerator(recipe, 'cpu'))


def test_the_average_is_what_is_saved(policy: Any, dataset: Dataset, tmp_path: Path) -> None:
    """It lies between first and last weights; the model keeps its own while measuring is over."""
    recipe = Recipe(steps=6, batch_size=8, learning_rate=1e-2, warm_up=0, average=0.9)
    trainer = trainer_of(policy, dataset, recipe, tmp_path)
    name, head = 'action_out_proj.weight', policy.model.action_out_proj.weight
    first = head.detach().clone()
    seen: list[torch.Tensor] = []

    def look(_: int) -> dict[str, float]:
        seen.append(head.detach().clone())
        return {}

    trainer.run(3, look, lambda *_: None)
    average = trainer.weights()[name]
    assert torch.equal(average, seen[-1]) and not torch.equal(average, head)
    assert (average - first).norm() < (head - first).norm()


def test_without_an_average_the_last_weights_are_saved(
        policy: Any, dataset: Dataset, tmp_path: Path) -> None:
    """``average`` 0."""
    trainer = trainer_of(policy, dataset, Recipe(steps=3, batch_size=8, average=0.0), tmp_path)
    trainer.run(3, lambda _: {}, lambda *_: None)
    found = trainer.weights()
    assert all(torch.equal(found[name], tensor)
               for name, tensor in policy.model.state_dict().items())


def test_frozen_stacks_do_not_move(policy: Any, dataset: Dataset, tmp_path: Path) -> None:
    """Vision stays bit for bit, the rest moves."""
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    recipe = Recipe(steps=3, batch_size=8, freeze=('vision',), learning_rate=1e-2)
    trainer = trainer_of(policy, dataset, recipe, tmp_path)
    trainer.run(3, lambda _: {}, lambda *_: None)
    moved = {name for name, tensor in trainer.weights().items()
             if not torch.equal(tensor, before[name])}
    assert moved and not any('vision_tower' in name for name in moved)


def test_nothing_to_train_is_refused(policy: Any, dataset: Dataset, tmp_path: Path) -> None:
    """Every weight frozen."""
    recipe = Recipe()
    policy.model.requires_grad_(False)
    with pytest.raises(RecoveryError, match='nothing is left to train'):
        Trainer(policy, RecoveryLoss(policy.family, policy.model, recipe),
                Samples(dataset, policy, recipe), recipe, tmp_path, '', accelerator(recipe, 'cpu'))


def test_low_precision_still_trains(policy: Any, dataset: Dataset, tmp_path: Path) -> None:
    """bf16 forward passes, float32 weights, a loss that goes down; whatever ran here before."""
    accelerator(Recipe(), 'cpu')
    recipe = Recipe(steps=30, batch_size=8, learning_rate=3e-3, precision='bf16')
    losses: list[float] = []
    trainer = trainer_of(policy, dataset, recipe, tmp_path)
    trainer.run(30, lambda _: {}, lambda _, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    assert all(tensor.dtype == torch.float32 for tensor in trainer.weights().values())


def test_loaders_show_the_same_frames(
        pruned: Path, dataset: Dataset, tmp_path: Path) -> None:
    """Reading in another process changes no weight."""
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.policies.registry import assemble_policy
    found = []
    for loaders in (0, 1):
        model, manifest = load_checkpoint(pruned)
        trainer = trainer_of(assemble_policy(model, manifest, pruned), dataset,
                             Recipe(steps=3, batch_size=4), tmp_path / str(loaders))
        trainer.run(3, lambda _: {}, lambda *_: None, loaders)
        found.append(trainer.weights())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
