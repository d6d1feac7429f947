# SPDX-License-Identifier: Apache-2.0
"""Which weights a unit owns: the parts of a block, and the rows and columns of a channel or head.

True of a live block and of tensors read from a file.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from vla_drop_ros.families.block_sites import Part, StackSite
from vla_drop_ros.types import FloatArray


class Share(NamedTuple):
    """The rows (axis 0) or columns (1) of a linear layer that each unit owns, ``size`` of them."""

    path: str
    axis: int
    size: int


def parts_removed(site: StackSite, unit: str) -> tuple[Part, ...]:
    """Return what goes with a block unit: keys and values that another stack reads stay."""
    own: tuple[Part, ...] = () if site.read_by else ('keys_values',)
    return {'block': (*own, 'attention', 'mlp'), 'attention': (*own, 'attention'),
            'mlp': ('mlp',), 'tied': ('keys_values', 'attention', 'mlp')}[unit]


def channel_shares(site: StackSite) -> list[Share]:
    """Return what a channel owns: a row of each way in, a column of the way out."""
    return [*(Share(path, 0, 1) for path in site.expand), Share(site.contract, 1, 1)]


def head_shares(site: StackSite, heads: int, groups: int) -> list[Share]:
    """Return what a head owns; with several groups, a group: its query heads, key and value."""
    if groups <= 1:
        return [Share(site.query, 0, site.head_dim), Share(site.output, 1, site.head_dim)]
    size = heads // groups * site.head_dim
    return [Share(site.query, 0, size), Share(site.output, 1, size),
            Share(site.key, 0, site.head_dim), Share(site.value, 0, site.head_dim)]


def by_unit(tensors: Mapping[str, torch.Tensor], shares: list[Share]) -> torch.Tensor:
    """Return the weights of every unit, one row each, shape (units, weights of a unit).

    Args:
        tensors: weight of each linear layer by its path from the block.
        shares: which of them the units own.

    """
    rows = []
    for path, axis, size in shares:
        matrix = tensors[path] if axis == 0 else tensors[path].T
        rows.append(matrix.unflatten(0, (-1, size)).flatten(1))
    return torch.cat(rows, 1)


def squares(matrix: torch.Tensor, share: Share) -> FloatArray:
    """Return the sum of squares that each unit owns of one linear layer, shape (units,)."""
    size, axis = share.size, share.axis
    total = matrix.float().square().sum(1 - axis, dtype=torch.float64)
    found: FloatArray = total.unflatten(0, (-1, size)).sum(1).numpy()
    return found


def shares_of(site: StackSite, unit: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Share]:
    """Return what each channel or head of a block owns; empty if the block has none.

    Args:
        site: of the stack.
        unit: ``channel`` or ``head``.
        shapes: of the weight of each linear layer that the block has, by its path.

    """
    if unit == 'channel':
        return channel_shares(site) if site.contract in shapes else []
    if site.query not in shapes:
        return []
    heads, groups = (shapes[path][0] // site.head_dim for path in (site.query, site.key))
    return head_shares(site, heads, groups)
