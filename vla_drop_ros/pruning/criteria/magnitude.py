# SPDX-License-Identifier: Apache-2.0
"""Magnitude: the L2 norm of the weights that a drop would remove.

    I = sqrt(sum_w w^2)

(Han et al., arXiv 1506.02626, for units instead of single weights.) Needs no data; one block is in
memory at a time. Higher means keep.
"""

import numpy as np

from vla_drop_ros.pruning.block_weights import (
    block_names,
    linear_weights,
    part_squares,
    read_blocks,
)
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.pruning.units import by_unit, parts_removed, shares_of


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs, ties, channels and heads."""
    names, squares, widths = block_names(subject.weights, subject.sites), {}, []
    done, total = 0, sum(map(len, names.values()))
    for site in subject.sites:
        parts, units = [], {unit: [] for unit in WIDTH_UNITS}  # type: ignore[var-annotated]
        for tensors in read_blocks(subject.weights, site, names[site.name]):
            parts.append(part_squares(site, tensors))
            linear = linear_weights(tensors)
            for unit in WIDTH_UNITS:
                shares = shares_of(site, unit, linear)
                units[unit].append(by_unit(linear, shares).norm(dim=1).double().numpy()
                                   if shares else np.zeros(0))
            done += 1
            subject.tick(done / total)
        squares[site.name] = parts
        widths += [Scores(site.name, unit, units[unit]) for unit in WIDTH_UNITS]

    def total_of(stack: str, unit: str) -> np.ndarray:
        return np.array([sum(block[part] for part in parts_removed(subject.sites[stack], unit))
                         for block in squares[stack]])

    ties = subject.tie({name: total_of(name, 'tied') for name in subject.sites.names})
    blocks = [Scores(name, unit, np.sqrt(ties[name] if unit == 'tied' else total_of(name, unit)))
              for name, unit in subject.block_units()]
    return [*blocks, *widths]


CRITERION = Criterion('magnitude', 'keep', 'arXiv 1506.02626', measure)
