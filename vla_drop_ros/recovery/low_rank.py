# SPDX-License-Identifier: Apache-2.0
"""LoRA by peft: put into a model to train, merged into its weights to save."""

from typing import Any

import torch
from torch import nn

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.families.family import Family, stacks
from vla_drop_ros.recovery.recipe import Recipe

SCALE = 2  # alpha / rank


def trainable(family: Family, model: Any, recipe: Recipe) -> Any:
    """Make a model ready to be trained as the recipe says.

    Full: every weight outside of the frozen stacks. LoRA: matrices of rank ``recipe.rank`` beside
    every linear of the blocks outside of the frozen stacks, and what is no block trains whole.

    Returns:
        What ``merge`` needs: None without LoRA.

    """
    model.requires_grad_(True)
    sites = family.sites(family.config(model))
    for stack in recipe.freeze:
        sites[stack]  # names the valid ones
    adapter = _insert(family, model, recipe) if recipe.method == 'lora' else None
    for name, parameter in model.named_parameters():
        if sites.stack_of(name) in recipe.freeze or not parameter.is_floating_point():
            parameter.requires_grad_(False)
    return adapter


def _insert(family: Family, model: Any, recipe: Recipe) -> Any:
    try:
        from peft import get_peft_model, LoraConfig
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'LoRA needs the package {error.name!r}: pip install peft; or recover with '
            '--method full') from error
    roots = [stack.site.blocks for name, stack in stacks(family, model).items()
             if name not in recipe.freeze]
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)
             and any(name.startswith(f'{root}.') for root in roots)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        adapter = get_peft_model(model, LoraConfig(
            r=recipe.rank, lora_alpha=SCALE * recipe.rank, target_modules=names))
    # peft froze everything; heads and projections are small and train whole.
    inside = tuple(f'{root}.' for stack in stacks(family, model).values()
                   for root in [stack.site.blocks])
    for name, parameter in model.named_parameters():
        if not name.startswith(inside):
            parameter.requires_grad_(True)
    return adapter


def merge(adapter: Any) -> None:
    """Add the low-rank matrices to the weights and take them out of the model."""
    if adapter is not None:
        adapter.merge_and_unload(safe_merge=True)
