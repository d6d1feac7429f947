# SPDX-License-Identifier: Apache-2.0
"""Where the blocks of a model sit, and which of them live and die together."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class BlockStack:
    """A stack of residual blocks that can be shortened.

    Attributes:
        name: ``vision``, ``language`` or ``action``.
        owner: the module whose ``layers`` are the blocks.
        config: the part of the model's configuration that states the depth.

    """

    name: str
    owner: Any
    config: Any

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks in order."""
        layers: nn.ModuleList = self.owner.layers
        return layers

    def remove(self, indices: Collection[int]) -> None:
        """Remove blocks and make every record of the depth agree with what is left.

        Attention modules number themselves anew, since that number is their place in the
        key-value cache.
        """
        kept = [index for index in range(len(self.blocks)) if index not in indices]
        if len(kept) == len(self.blocks):
            return
        self.owner.layers = nn.ModuleList([self.blocks[index] for index in kept])
        for place, block in enumerate(self.blocks):
            attention = block.self_attn
            if hasattr(attention, 'layer_idx'):
                attention.layer_idx = place
        types = getattr(self.config, 'layer_types', None)
        if types is not None:
            self.config.layer_types = [types[index] for index in kept]
        self.config.num_hidden_layers = len(kept)


def block_stacks(model: Any) -> dict[str, BlockStack]:
    """Return the stacks of a transformers pi0 or paligemma model by name."""
    config = model.config
    is_policy = hasattr(config, 'vlm_config')
    vlm, vlm_config = (model.model.vlm, config.vlm_config) if is_policy else (model.model, config)
    stacks = [
        BlockStack('vision', vlm.vision_tower.encoder, vlm_config.vision_config),
        BlockStack('language', vlm.language_model, vlm_config.text_config),
    ]
    if is_policy:
        stacks.append(BlockStack('action', model.model.dit, config.dit_config))
    return {stack.name: stack for stack in stacks}


def tied_stacks(model: Any) -> dict[str, tuple[str, ...]]:
    """Return, for each stack a plan may name, the stacks that lose the same blocks.

    Block i of the action expert attends to the keys and values that block i of the language
    model left in the cache, so in pi0 the two are shortened together.
    """
    if 'action' in block_stacks(model):
        return {'vision': ('vision',), 'language': ('language', 'action')}
    return {'vision': ('vision',), 'language': ('language',)}
