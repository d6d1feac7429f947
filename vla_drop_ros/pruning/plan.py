# SPDX-License-Identifier: Apache-2.0
"""What is to be removed from a model, as data: written by ``plan``, carried out by ``drop``."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
import json
from operator import index as index_of
from pathlib import Path
from typing import Any, Literal

from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.families.block_sites import MODES

FORMAT = 1
Unit = Literal['block', 'tied', 'attention', 'mlp', 'channel', 'head']
BLOCK_UNITS: tuple[Unit, ...] = ('block', 'tied', 'attention', 'mlp')
WIDTH_UNITS: tuple[Unit, ...] = ('channel', 'head')
# What a drop mode removes, and so which scores it goes by.
UNIT_OF_MODE: dict[str, Unit] = {
    'whole': 'block', 'keep-kv': 'block', 'tied': 'tied', 'mha': 'attention', 'mlp': 'mlp'}
_FIELDS = ('blocks', 'channels', 'heads', 'dead', 'checkpoint', 'origin')
Blocks = Mapping[str, Mapping[str, tuple[int, ...]]]
Widths = Mapping[str, Mapping[int, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, by indices of the checkpoint that it is made for.

    Attributes:
        blocks: stack -> mode -> blocks. ``whole``: the block; ``keep-kv``: all of it but the keys
            and values that another stack reads; ``tied``: it and the block that reads it;
            ``mha``: its attention; ``mlp``: its MLP.
        channels: stack -> block -> channels of its MLP.
        heads: stack -> block -> attention heads; where several query heads share a head of keys
            and values and there is more than one such group, groups.
        dead: also what nothing reads, which changes no action.
        checkpoint: identity of the checkpoint; empty: any that it fits.
        origin: how it came about: criterion, budget, predictions.

    """

    blocks: Blocks = field(default_factory=dict)
    channels: Widths = field(default_factory=dict)
    heads: Widths = field(default_factory=dict)
    dead: bool = False
    checkpoint: str = ''
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort, and refuse indices that are given twice or are no indices."""
        blocks = {stack: {mode: _indices(f'{stack} block', found)
                          for mode, found in modes.items() if len(found)}
                  for stack, modes in self.blocks.items()}
        for stack, modes in blocks.items():
            for mode in modes:
                if mode not in MODES:
                    raise PlanError(unknown('drop mode', mode, MODES))
            _refuse_twice(stack, [index for found in modes.values() for index in found])
        object.__setattr__(self, 'blocks', {k: v for k, v in blocks.items() if v})
        for name in ('channels', 'heads'):
            widths = {stack: {int(index): _indices(f'{stack} block {index} {name[:-1]}', units)
                              for index, units in found.items() if len(units)}
                      for stack, found in getattr(self, name).items()}
            object.__setattr__(self, name, {k: v for k, v in widths.items() if v})

    @property
    def is_empty(self) -> bool:
        """True if nothing goes."""
        return not (self.blocks or self.channels or self.heads or self.dead)

    def key(self) -> str:
        """Return text that two plans share if they remove the same."""
        return json.dumps({name: value for name, value in self.to_dict().items()
                           if name in _FIELDS[:4]}, sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        def listed(widths: Widths) -> dict[str, Any]:
            return {stack: {str(index): list(units) for index, units in sorted(found.items())}
                    for stack, found in widths.items()}

        return {'format': FORMAT, 'checkpoint': self.checkpoint, 'dead': self.dead,
                'blocks': {stack: {mode: list(found) for mode, found in sorted(modes.items())}
                           for stack, modes in self.blocks.items()},
                'channels': listed(self.channels), 'heads': listed(self.heads),
                'origin': dict(self.origin)}

    @classmethod
    def from_dict(cls, data: Any) -> 'Plan':
        """Build from ``to_dict`` output; unknown fields are refused by name."""
        if not isinstance(data, dict) or data.get('format') != FORMAT:
            raise PlanError(f'a plan is a JSON object with "format": {FORMAT}; write one with '
                            '`vla_drop plan`')
        strange = set(data) - {*_FIELDS, 'format'}
        if strange:
            raise PlanError(unknown('field of a plan', sorted(strange)[0], _FIELDS))
        if not isinstance(data.get('dead', False), bool):
            raise PlanError(f'dead {data["dead"]!r} must be true or false')
        try:
            return cls(**{name: data[name] for name in _FIELDS if name in data})
        except (TypeError, ValueError, AttributeError) as error:
            raise PlanError(f'the plan is malformed: {error}') from error

    @classmethod
    def load(cls, path: str | Path) -> 'Plan':
        """Read a plan file."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except (OSError, ValueError) as error:
            raise PlanError(f'plan {str(path)!r} cannot be read: {error}') from error
        except PlanError as error:
            raise PlanError(f'plan {str(path)!r}: {error}') from error

    def save(self, path: str | Path) -> None:
        """Write a plan file, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'{path.name}.partial')
        partial.write_text(json.dumps(self.to_dict(), indent=1) + '\n')
        partial.replace(path)

    def with_widths(self, unit: str, widths: Widths) -> 'Plan':
        """Return the plan with channels or heads of some more stacks."""
        if unit == 'channel':
            return replace(self, channels={**self.channels, **widths})
        return replace(self, heads={**self.heads, **widths})

    def with_blocks(self, stack: str, mode: str, indices: Collection[int]) -> 'Plan':
        """Return the plan with some more blocks."""
        modes = dict(self.blocks.get(stack, {}))
        modes[mode] = (*modes.get(mode, ()), *indices)
        return replace(self, blocks={**self.blocks, stack: modes})


def _indices(what: str, found: Any) -> tuple[int, ...]:
    try:
        if isinstance(found, str):
            raise TypeError
        indices = sorted(index_of(index) for index in found)
    except TypeError:  # operator.index takes no fractions and no texts
        raise PlanError(f'{what} {found!r} must be a list of whole numbers') from None
    twice = sorted({index for index in indices if indices.count(index) > 1}) if len(
        set(indices)) < len(indices) else []
    if twice:
        raise PlanError(f'{what} {twice} is named more than once; name it once')
    return tuple(indices)


def _refuse_twice(stack: str, indices: list[int]) -> None:
    twice = sorted({index for index in indices if indices.count(index) > 1})
    if twice:
        raise PlanError(
            f'{stack} block {twice} is named more than once, in several modes; name it once')
