# SPDX-License-Identifier: Apache-2.0
"""The weights of blocks, one tensor at a time, from files: what data-free criteria look at."""

from collections.abc import Mapping

import numpy as np
import torch

from vla_drop_ros.errors import RankingError
from vla_drop_ros.families.block_sites import Part, PARTS, Sites, StackSite
from vla_drop_ros.pruning.plan import Unit, WIDTH_UNITS
from vla_drop_ros.pruning.units import parts_removed, shares_of, squares
from vla_drop_ros.types import FloatArray
from vla_drop_ros.weights import Weights


def block_names(weights: Weights, sites: Sites) -> dict[str, list[dict[str, str]]]:
    """Return for each stack its blocks: name of a parameter from the block -> its full name.

    Raises:
        RankingError: the files have a block more than the configuration.

    """
    found: dict[str, list[dict[str, str]]] = {
        site.name: [{} for _ in range(site.depth)] for site in sites}
    for name in weights:
        for site in sites:
            place = site.locate(name)
            if place is None:
                continue
            if place[0] >= site.depth:
                raise RankingError(
                    f'{str(weights.folder)!r} has {name}, its configuration states '
                    f'{site.depth} {site.name} blocks; copy the folder again')
            found[site.name][place[0]][place[1]] = name
    return found


class BlockSquares:
    """Sums of squares over the parts, channels and heads of one block, added tensor by tensor.

    Attributes:
        parts: sum by part.
        units: ``channel`` and ``head`` -> sums by unit; empty where the block has none.

    """

    def __init__(self, site: StackSite, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Begin with zeros; ``shapes`` are those of the block's tensors by name."""
        self._site = site
        linear = {name.removesuffix('.weight'): shape for name, shape in shapes.items()
                  if name.endswith('.weight')}
        self._shares = {unit: shares_of(site, unit, linear) for unit in WIDTH_UNITS}
        self.parts: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
        self.units: dict[Unit, FloatArray] = {
            unit: np.zeros(linear[shares[0].path][0] // shares[0].size) if shares
            else np.zeros(0) for unit, shares in self._shares.items()}

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Add a tensor of the block, named from it."""
        part = self._site.part_of(name)
        if part is not None:
            self.parts[part] += float(tensor.float().square().sum(dtype=torch.float64))
        for unit, shares in self._shares.items():
            for share in shares:
                if name == f'{share.path}.weight':
                    self.units[unit] += squares(tensor, share)

    def removed(self, unit: str) -> float:
        """Return the sum over what a drop of a block unit removes."""
        return sum(self.parts[part] for part in parts_removed(self._site, unit))
