# SPDX-License-Identifier: Apache-2.0
"""The facts about a checkpoint's stacks that a plan needs, as plain data: no model, no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vla_drop_ros.errors import PlanError, unknown


@dataclass(frozen=True, slots=True)
class StackLayout:
    """One stack.

    Attributes:
        depth: blocks.
        roles: role of each block; empty: all alike.
        modes: drop modes that the family can run, the default first.
        reader: stack that reads its keys and values; empty: none.
        pairs: its block -> the block of ``reader`` that reads it.
        channels, heads: units of each block that can go one by one.

    """

    depth: int
    roles: tuple[str, ...]
    modes: tuple[str, ...]
    reader: str
    pairs: Mapping[int, int]
    channels: tuple[int, ...]
    heads: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All stacks of a checkpoint.

    Attributes:
        stacks: by name, in the order of computation.
        same_heads: stacks that must lose the same heads.
        even_heads: every block of those must have as many.
        protected: path -> why nothing below it may be dropped.

    """

    stacks: Mapping[str, StackLayout]
    same_heads: tuple[str, ...] = ()
    even_heads: bool = False
    protected: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> StackLayout:
        """Return a stack; PlanError names the valid ones, or why this one is protected."""
        if name in self.stacks:
            return self.stacks[name]
        for path, why in self.protected.items():
            if name in path:
                raise PlanError(f'protected: {name!r} cannot be dropped, since {why}')
        raise PlanError(unknown('stack', name, self.stacks))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Layout':
        """Build from ``to_dict`` output, also after JSON."""
        stacks = {name: StackLayout(
            int(one['depth']), tuple(one['roles']), tuple(one['modes']), one['reader'],
            {int(index): int(partner) for index, partner in one['pairs'].items()},
            tuple(one['channels']), tuple(one['heads']))
            for name, one in data['stacks'].items()}
        return cls(stacks, tuple(data['same_heads']), bool(data['even_heads']),
                   dict(data['protected']))
