# SPDX-License-Identifier: Apache-2.0
"""Magnitude: the L2 norm of the weights that a drop would remove.

    I = sqrt(sum_w w^2)

(Han et al., arXiv 1506.02626, for units instead of single weights.) Needs no data; one tensor is
in memory at a time. Higher means keep.
"""

import numpy as np

from vla_drop_ros.pruning.block_weights import block_names, BlockSquares
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.types import FloatArray


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs, ties, channels and heads."""
    names, found = block_names(subject.weights, subject.sites), {}
    done, total = 0, sum(map(len, names.values()))
    for site in subject.sites:
        blocks = []
        for block in names[site.name]:
            sums = BlockSquares(site, {
                name: subject.weights.shape(full) for name, full in block.items()})
            for name, full in block.items():
                sums.add(name, subject.weights[full])
            blocks.append(sums)
            done += 1
            subject.tick(done / total)
        found[site.name] = blocks

    def total_of(stack: str, unit: str) -> FloatArray:
        return np.array([block.removed(unit) for block in found[stack]])

    ties = subject.tie({name: total_of(name, 'tied') for name in subject.sites.names})
    scores = [Scores(name, unit, np.sqrt(ties[name] if unit == 'tied' else total_of(name, unit)))
              for name, unit in subject.block_units()]
    return scores + [Scores(name, unit, [np.sqrt(block.units[unit]) for block in blocks])
                     for name, blocks in found.items() for unit in WIDTH_UNITS]


CRITERION = Criterion('magnitude', 'keep', 'arXiv 1506.02626', measure)
