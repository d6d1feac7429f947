# SPDX-License-Identifier: Apache-2.0
"""Controls: orders that know nothing of the model; a criterion that does not beat them is none.

    random      a seeded permutation
    uniform     what is kept is spread evenly, from block 0; half of a stack: its odd blocks go
                (Drop-Then-Recovery's best half-depth models, arXiv 2606.27755)
    keep-first  the last blocks go (SmolVLA's first N layers, arXiv 2506.01844)
    endpoints   the middle goes; two are kept: the first and the last (arXiv 2606.27755)

Higher means keep.
"""

from collections.abc import Callable

import numpy as np

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.types import FloatArray

_Order = Callable[[int, np.random.Generator], FloatArray]


def random(depth: int, rng: np.random.Generator) -> FloatArray:
    """Return a seeded permutation."""
    return rng.permutation(depth).astype(float)


def uniform(depth: int, _rng: np.random.Generator) -> FloatArray:
    """Return 1 for even blocks and 0 for odd ones; a plan spreads other numbers evenly."""
    return 1.0 - np.arange(depth, dtype=float) % 2


def keep_first(depth: int, _rng: np.random.Generator) -> FloatArray:
    """Return a score that falls from the first block to the last."""
    return np.arange(depth, 0, -1, dtype=float)


def endpoints(depth: int, _rng: np.random.Generator) -> FloatArray:
    """Return the distance from the middle; of the two ends of a pair the first counts more."""
    place = np.arange(depth, dtype=float)
    return np.abs(place - (depth - 1) / 2) - 0.1 * (place > (depth - 1) / 2)


def _control(name: str, order: _Order, rule: str) -> Criterion:
    def measure(subject: Subject) -> list[Scores]:
        """Score blocks, attentions, MLPs and ties; random also channels and heads."""
        rng = np.random.default_rng([subject.seed, 3])
        scores = [Scores(stack, unit, order(len(subject.stacks[stack]), rng), rule=rule)
                  for stack, unit in subject.block_units()]
        if name == 'random':
            for stack, live in subject.stacks.items():
                sizes = {'channel': live.channels, 'head': live.heads}
                for unit in WIDTH_UNITS:
                    scores.append(Scores(stack, unit, [
                        order(sizes[unit](index), rng) for index in range(len(live))]))
        return scores

    return Criterion(name, 'keep', 'control', measure)


CRITERIA = {
    'random': _control('random', random, 'lowest'),
    'uniform': _control('uniform', uniform, 'uniform'),
    'keep-first': _control('keep-first', keep_first, 'lowest'),
    'endpoints': _control('endpoints', endpoints, 'lowest')}
