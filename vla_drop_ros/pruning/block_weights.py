# SPDX-License-Identifier: Apache-2.0
"""The weights of one block at a time, from files: what data-free criteria look at."""

from collections.abc import Iterator

import torch

from vla_drop_ros.families.block_sites import Part, Sites, StackSite
from vla_drop_ros.weights import Weights


def block_names(weights: Weights, sites: Sites) -> dict[str, list[dict[str, str]]]:
    """Return for each stack its blocks: name of a parameter from the block -> its full name."""
    found: dict[str, list[dict[str, str]]] = {
        site.name: [{} for _ in range(site.depth)] for site in sites}
    for name in weights:
        for site in sites:
            place = site.locate(name)
            if place is not None:
                found[site.name][place[0]][place[1]] = name
    return found


def read_blocks(weights: Weights, site: StackSite, names: list[dict[str, str]],
                ) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the tensors of each block by their names from the block; one block is in memory."""
    for block in names:
        yield {name: weights[full] for name, full in block.items()}


def linear_weights(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of the layers of a block by path, in float32."""
    return {name.removesuffix('.weight'): tensor.float() for name, tensor in tensors.items()
            if name.endswith('.weight')}


def part_squares(site: StackSite, tensors: dict[str, torch.Tensor]) -> dict[Part, float]:
    """Return the sum of squares of the weights of each part of a block."""
    squares: dict[Part, float] = {'keys_values': 0.0, 'attention': 0.0, 'mlp': 0.0}
    for name, tensor in tensors.items():
        part = site.part_of(name)
        if part is not None:
            squares[part] += float((tensor.float() ** 2).sum())
    return squares
