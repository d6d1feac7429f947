# SPDX-License-Identifier: Apache-2.0
"""Leave-one-out: the oracle that cheap criteria are measured by.

    I_i = E_x [ L(x; model without i) - L(x; model) ]

the native action loss after a real drop of one block, attention, MLP or tie, on the same frames,
flow times and noise. One forward pass over the data for each. What it measures is what a block is
worth before any recovery. Higher means keep.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.drop import dropped, skipped
from vla_drop_ros.pruning.plan import Plan, Unit, UNIT_OF_MODE


@contextmanager
def without(subject: Subject, stack: str, unit: Unit, indices: Collection[int]) -> Iterator[None]:
    """Take units of a stack away for a while.

    Where the roles of blocks follow from their places, whole blocks are skipped in place, which
    is what dropping them together with others that restore the order would do.
    """
    live = subject.stacks[stack]
    if live.site.roles and unit in ('block', 'tied'):
        both = {stack: indices}
        if unit == 'tied':
            both[live.site.read_by] = [subject.pairs[stack][index] for index in indices]
        with skipped(subject.family, subject.model, both):
            yield
        return
    mode = next(mode for mode in ('keep-kv', 'tied', 'whole', 'mha', 'mlp')
                if UNIT_OF_MODE[mode] == unit and mode in subject.sites.modes[stack])
    with dropped(subject.family, subject.model, Plan({stack: {mode: tuple(indices)}})):
        yield


def removable(subject: Subject, *units: Unit) -> list[tuple[str, Unit]]:
    """Return stacks and those of the units that a drop mode of the family removes."""
    return [(stack, unit) for stack, unit in subject.block_units() if unit in units
            and (any(UNIT_OF_MODE[mode] == unit for mode in subject.sites.modes[stack])
                 or (unit == 'block' and bool(subject.sites[stack].roles)))]


def droppable(subject: Subject, stack: str, unit: Unit, index: int) -> bool:
    """Return whether a block still has what the unit would remove, and may lose it alone."""
    live = subject.stacks[stack]
    if unit == 'tied':
        return index in subject.pairs[stack] and len(live) > 1
    if unit != 'block':
        return unit in live.left(index)
    tap = live.site.tap
    return len(live) > 1 and (tap is None or tap > 1 or index >= tap)


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs and ties."""
    units = removable(subject, 'block', 'tied', 'attention', 'mlp')
    total, done, full = sum(len(subject.stacks[stack]) for stack, _ in units), 0, subject.losses()
    scores = []
    for stack, unit in units:
        depth = len(subject.stacks[stack])
        samples = np.full((len(full), depth), np.nan)
        for index in range(depth):
            if droppable(subject, stack, unit, index):
                with without(subject, stack, unit, (index,)):
                    samples[:, index] = subject.losses() - full
            done += 1
            subject.tick(done / total)
        scores.append(Scores(stack, unit, samples.mean(0), samples))
    return scores


CRITERION = Criterion('leave-one-out', 'keep', 'SLEB, arXiv 2402.09025, with the action loss',
                      measure, needs=('data',))
