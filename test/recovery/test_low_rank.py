# SPDX-License-Identifier: Apache-2.0
"""LoRA trains small matrices beside the blocks' linears and leaves a plain model behind."""

from typing import Any

import pytest
import torch

from vla_drop_ros.errors import PlanError
from vla_drop_ros.recovery.low_rank import merge, trainable
from vla_drop_ros.recovery.recipe import Recipe

pytest.importorskip('peft')
LORA = Recipe(method='lora', rank=2)


def test_full_trains_all_but_the_frozen(policy: Any) -> None:
    """Frozen stacks stay, everything else trains; no adapter is needed."""
    assert trainable(policy.family, policy.model, Recipe(freeze=('vision',))) is None
    for name, parameter in policy.model.named_parameters():
        assert parameter.requires_grad != ('vision_tower' in name), name


def test_an_unknown_stack_is_named(policy: Any) -> None:
    """Valid stacks are listed."""
    with pytest.raises(PlanError, match='language'):
        trainable(policy.family, policy.model, Recipe(freeze=('tongue',)))


def test_merging_leaves_names_and_answers(policy: Any, calibration: Any) -> None:
    """Before training LoRA changes nothing; after it, the merged model answers as the adapted."""
    batch, family = calibration.batches[0], policy.family
    names = list(policy.model.state_dict())
    torch.manual_seed(0)
    with torch.no_grad():
        before = family.loss(policy.model, batch)
        adapter = trainable(family, policy.model, LORA)
        assert torch.allclose(family.loss(policy.model, batch), before, rtol=1e-5)
        low = [p for name, p in policy.model.named_parameters() if '.lora_' in name]
        assert low and all(p.requires_grad for p in low)
        for parameter in low:
            torch.nn.init.normal_(parameter, std=0.1)
        adapted = family.loss(policy.model, batch)
        merge(adapter)
        assert list(policy.model.state_dict()) == names
        assert not torch.allclose(adapted, before, rtol=1e-3)
        assert torch.allclose(family.loss(policy.model, batch), adapted, rtol=1e-3)


def test_blocks_own_weights_are_frozen_and_heads_train(policy: Any) -> None:
    """What is no block is small and trains whole; frozen stacks get no adapter."""
    trainable(policy.family, policy.model, Recipe(method='lora', rank=2, freeze=('vision',)))
    for name, parameter in policy.model.named_parameters():
        if 'vision_tower' in name:
            assert not parameter.requires_grad and '.lora_' not in name
        elif '.layers.' in name:
            assert parameter.requires_grad == ('.lora_' in name), name
        else:
            assert parameter.requires_grad, name


def test_the_seed_decides_the_first_values(pruned: Any) -> None:
    """Two models adapted with one seed are equal, with another they are not."""
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.families.registry import family_of
    found = []
    for seed in (1, 1, 2):
        model, _ = load_checkpoint(pruned)
        trainable(family_of(model), model, Recipe(method='lora', rank=2, seed=seed))
        found.append(torch.cat([p.flatten() for name, p in model.named_parameters()
                                if '.lora_A' in name]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
