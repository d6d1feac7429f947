# SPDX-License-Identifier: Apache-2.0
"""Where the blocks of a family sit, as paths: true of a live model and of a file of weights."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from vla_drop_ros.errors import PlanError, unknown

Part = Literal['keys_values', 'attention', 'mlp']
PARTS: tuple[Part, ...] = ('keys_values', 'attention', 'mlp')
MODES = ('whole', 'keep-kv', 'tied', 'mha', 'mlp')


@dataclass(frozen=True, slots=True)
class StackSite:
    """A stack of residual blocks h + attention(norm(h)), then h + mlp(norm(h)).

    Paths of parts are relative to the block, other paths to the model.

    Attributes:
        name: ``vision``, ``language``, ``action``, or what the family calls it.
        blocks: path of the list of blocks.
        final_norm: path of the norm behind the last block.
        depth: blocks.
        head_dim: width of an attention head.
        attention_norm, attention, query, key, value, output: paths of the attention's parts.
        mlp_norm, mlp, expand, contract: paths of the MLP's parts; every linear of ``expand`` has
            one row a channel, ``contract`` one column.
        scales: paths of learned factors behind attention and MLP, as DINOv2 has them.
        roles: role of each block, for instance ``self`` and ``cross``; what is left after a drop
            must repeat them in the same order. Empty: all blocks alike.
        read_by: stack whose blocks attend to the keys and values of this one's, one each.
        output_read: something reads what the last block puts out.
        tap: blocks before the one hidden state that is read; None: behind the last.
        key_inputs: a cross-attending block's keys are made from another stack's keys, so their
            columns go with that one's heads.

    """

    name: str
    blocks: str
    final_norm: str
    depth: int
    head_dim: int
    attention_norm: str = 'input_layernorm'
    attention: str = 'self_attn'
    query: str = 'self_attn.q_proj'
    key: str = 'self_attn.k_proj'
    value: str = 'self_attn.v_proj'
    output: str = 'self_attn.o_proj'
    mlp_norm: str = 'post_attention_layernorm'
    mlp: str = 'mlp'
    expand: tuple[str, ...] = ('mlp.gate_proj', 'mlp.up_proj')
    contract: str = 'mlp.down_proj'
    scales: tuple[str, str] | None = None
    roles: tuple[str, ...] = ()
    read_by: str = ''
    output_read: bool = True
    tap: int | None = None
    key_inputs: bool = False

    def part_of(self, name: str) -> Part | None:
        """Return the part of a block that a parameter, named from the block, belongs to."""
        parts: tuple[tuple[Part, tuple[str, ...]], ...] = (
            ('keys_values', (self.attention_norm, self.key, self.value)),
            ('attention', (self.query, self.output, *(self.scales or ())[:1])),
            ('mlp', (self.mlp_norm, self.mlp, *(self.scales or ())[1:])))
        return next((part for part, paths in parts
                     if any(name.startswith(f'{path}.') for path in paths)), None)

    def locate(self, name: str) -> tuple[int, str] | None:
        """Return block index and the rest of the name of a parameter of this stack's blocks."""
        if not name.startswith(f'{self.blocks}.'):
            return None
        index, _, rest = name[len(self.blocks) + 1:].partition('.')
        return int(index), rest


@dataclass(frozen=True, slots=True)
class Sites:
    """All stacks of a family and what holds them together.

    Attributes:
        stacks: in the order of computation.
        modes: stack -> drop modes that the family can run, the default first. ``whole``: the
            block goes; ``keep-kv``: all but its keys and values, which another stack reads;
            ``tied``: it goes with the block that reads it; ``mha``: its attention; ``mlp``.
        protected: path -> why nothing below it may be dropped.
        unused: paths of modules that nothing reads, whatever the weights.
        prefixes: path -> stack, for what is no block but counts as one's size.
        same_heads: stacks whose heads of keys and values meet in one attention: paired blocks
            must lose the same.
        even_heads: all blocks of those stacks must have the same number of heads.
        refused: (stack, mode) -> why this family cannot do it.

    """

    stacks: tuple[StackSite, ...]
    modes: dict[str, tuple[str, ...]]
    protected: dict[str, str]
    unused: tuple[str, ...] = ()
    prefixes: dict[str, str] = field(default_factory=dict)
    same_heads: tuple[str, ...] = ()
    even_heads: bool = False
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stacks."""
        return tuple(stack.name for stack in self.stacks)

    def __getitem__(self, name: str) -> StackSite:
        """Return a stack by name; PlanError names the valid ones."""
        for stack in self.stacks:
            if stack.name == name:
                return stack
        raise PlanError(unknown('stack', name, self.names))

    def __iter__(self) -> Iterator[StackSite]:
        """Iterate over the stacks."""
        return iter(self.stacks)

    def reader(self, name: str) -> StackSite | None:
        """Return the stack that reads the keys and values of this one."""
        read_by = self[name].read_by
        return self[read_by] if read_by else None

    def source(self, name: str) -> StackSite | None:
        """Return the stack whose keys and values this one reads."""
        return next((stack for stack in self.stacks if stack.read_by == name), None)

    def stack_of(self, name: str) -> str:
        """Return the stack that a parameter counts for, ``other`` if none."""
        best = max((prefix for prefix in self.prefixes if name.startswith(prefix)),
                   key=len, default=None)
        return 'other' if best is None else self.prefixes[best]

    def locate(self, name: str) -> tuple[StackSite, int, Part | None] | None:
        """Return stack, block and part of a parameter, None if it is in no block."""
        for stack in self.stacks:
            found = stack.locate(name)
            if found is not None:
                return stack, found[0], stack.part_of(found[1])
        return None


def follows_roles(roles: Iterable[str], pattern: tuple[str, ...]) -> bool:
    """Return whether blocks with these roles may stand one behind the other from the first."""
    return all(role == wanted for role, wanted in zip(roles, pattern, strict=False))
