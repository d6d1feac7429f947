# SPDX-License-Identifier: Apache-2.0
"""A stack of a live model: its blocks, their parts and sizes, and what can be taken away."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from vla_drop_ros.families.block_sites import Part, PARTS, StackSite
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.reduced import StandIns

# Marks on a block, absent from one that is whole and read.
_LEFT, _UNREAD = '_vla_drop_left', '_vla_drop_unread'


class Stack:
    """The blocks of one stack of a live model."""

    def __init__(self, model: Any, site: StackSite, stand_ins: StandIns) -> None:
        """Look at ``site`` of ``model``; ``stand_ins`` take the places of removed parts."""
        self.model, self.site = model, site
        self._stand_ins = stand_ins

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks in order."""
        blocks: nn.ModuleList = self.model.get_submodule(self.site.blocks)
        return blocks

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self.blocks)

    def module(self, index: int, path: str) -> Any:
        """Return a part of block ``index`` by its path from the block."""
        return self.blocks[index].get_submodule(path)

    def left(self, index: int) -> frozenset[Part]:
        """Return the parts that a block still has."""
        return getattr(self.blocks[index], _LEFT, frozenset(PARTS))

    def is_read(self, index: int) -> bool:
        """Return whether another stack reads the keys and values of this block."""
        return bool(self.site.read_by) and not hasattr(self.blocks[index], _UNREAD)

    def heads(self, index: int) -> int:
        """Return the query heads of a block, 0 if it has none."""
        if 'attention' not in self.left(index):
            return 0
        return int(self.module(index, self.site.query).out_features) // self.site.head_dim

    def key_value_heads(self, index: int) -> int:
        """Return the heads of keys and values of a block, 0 if it has none."""
        if 'keys_values' not in self.left(index):
            return 0
        return int(self.module(index, self.site.key).out_features) // self.site.head_dim

    def channels(self, index: int) -> int:
        """Return the hidden channels of a block's MLP, 0 if it has none."""
        if 'mlp' not in self.left(index):
            return 0
        return int(self.module(index, self.site.contract).in_features)

    def remove_blocks(self, indices: Iterable[int], journal: Journal) -> None:
        """Remove whole blocks; the owner of the list gets a new, shorter one."""
        gone = set(indices)
        if not gone:
            return
        path, _, name = self.site.blocks.rpartition('.')
        kept = [block for index, block in enumerate(self.blocks) if index not in gone]
        journal.set(self.model.get_submodule(path), name, nn.ModuleList(kept))

    def remove_attention(self, index: int, journal: Journal, *, keep_keys_values: bool) -> None:
        """Remove queries and output, and keys, values and norm too unless they are kept."""
        block, left = self.blocks[index], self.left(index)
        gone: set[Part] = {'attention'} if keep_keys_values else {'attention', 'keys_values'}
        if not left & gone:
            return
        attention = block.get_submodule(self.site.attention)
        self._put(block, self.site.attention, self._stand_ins.attention(
            attention, keep_keys_values), journal)
        if not keep_keys_values:
            self._put(block, self.site.attention_norm, nn.Identity(), journal)
        self._drop_scale(block, 0, journal)
        journal.set(block, _LEFT, left - gone)

    def remove_mlp(self, index: int, journal: Journal) -> None:
        """Remove the MLP and its norm."""
        block, left = self.blocks[index], self.left(index)
        if 'mlp' not in left:
            return
        nothing = self._stand_ins.mlp(block.get_submodule(self.site.mlp))
        self._put(block, self.site.mlp, nothing, journal)
        self._put(block, self.site.mlp_norm, nn.Identity(), journal)
        self._drop_scale(block, 1, journal)
        journal.set(block, _LEFT, left - {'mlp'})

    def stop_reading(self, index: int, journal: Journal) -> None:
        """Let a block attend on its own and keep its keys and values out of the shared cache."""
        block = self.blocks[index]
        if hasattr(block, _UNREAD):
            return
        journal.set(block, _UNREAD, True)
        # On the block, not on its attention, which another change may replace.
        hook = block.register_forward_pre_hook(_without_cache, with_kwargs=True)
        journal.on_undo(hook.remove)

    def keep_channels(self, index: int, kept: Sequence[int], journal: Journal) -> None:
        """Keep these channels of a block's MLP, in this order."""
        for path in self.site.expand:
            self._slice(index, path, 0, kept, journal)
        self._slice(index, self.site.contract, 1, kept, journal)

    def keep_heads(self, index: int, queries: Sequence[int], groups: Sequence[int] | None,
                   journal: Journal) -> None:
        """Keep these query heads, if it has any, and, unless None, these of keys and values."""
        rows = self.head_rows(queries)
        if 'attention' in self.left(index):
            self._slice(index, self.site.query, 0, rows, journal)
            self._slice(index, self.site.output, 1, rows, journal)
        if groups is not None:
            for path in (self.site.key, self.site.value):
                self._slice(index, path, 0, self.head_rows(groups), journal)
        attention = self.module(index, self.site.attention)
        for name, value in (('num_heads', self.heads(index)),
                            ('num_attention_heads', self.heads(index)),
                            ('all_head_size', self.heads(index) * self.site.head_dim),
                            ('num_key_value_groups',
                             self.heads(index) // max(1, self.key_value_heads(index)))):
            for owner in {id(m): m for m in attention.modules()}.values():
                if isinstance(getattr(owner, name, None), int):
                    journal.set(owner, name, value)

    def keep_key_columns(self, index: int, groups: Sequence[int], journal: Journal) -> None:
        """Keep what a cross-attending block reads of these heads of the other stack's keys."""
        for path in (self.site.key, self.site.value):
            self._slice(index, path, 1, self.head_rows(groups), journal)

    def head_rows(self, heads: Sequence[int]) -> list[int]:
        """Return the rows of a projection that belong to these heads."""
        size = self.site.head_dim
        return [head * size + row for head in heads for row in range(size)]

    def _slice(self, index: int, path: str, axis: int, kept: Sequence[int],
               journal: Journal) -> None:
        """Put a smaller linear layer, with the kept rows (0) or columns (1), in place of one."""
        linear = self.module(index, path)
        picked = torch.as_tensor(kept, dtype=torch.long, device=linear.weight.device)
        if picked.device.type == 'meta':
            shape = list(linear.weight.shape)
            shape[axis] = len(kept)
            weight = linear.weight.new_empty(shape)
        else:
            weight = linear.weight.detach().index_select(axis, picked)
        bias = linear.bias
        if bias is not None and axis == 0:
            bias = bias.new_empty(len(kept)) if bias.is_meta else bias.detach()[picked]
        smaller = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device='meta')
        smaller.weight = nn.Parameter(weight, linear.weight.requires_grad)
        if bias is not None:
            smaller.bias = nn.Parameter(bias, linear.weight.requires_grad)
        self._put(self.blocks[index], path, smaller, journal)

    def _drop_scale(self, block: nn.Module, which: int, journal: Journal) -> None:
        if self.site.scales is not None:
            self._put(block, self.site.scales[which], nn.Identity(), journal)

    @staticmethod
    def _put(block: nn.Module, path: str, module: nn.Module, journal: Journal) -> None:
        owner, _, name = path.rpartition('.')
        journal.set(block.get_submodule(owner), name, module)


def _without_cache(_module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any],
                   ) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments, {**options, 'past_key_values': None}
