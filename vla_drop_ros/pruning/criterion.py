# SPDX-License-Identifier: Apache-2.0
"""What a criterion is, what it is given, and what it returns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch

from vla_drop_ros.errors import RankingError, unknown
from vla_drop_ros.families.block_sites import Sites
from vla_drop_ros.families.family import Batch, Family, stacks
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.pruning.constraints import layout_of, reader_pairs
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import BLOCK_UNITS, Unit, UNIT_OF_MODE
from vla_drop_ros.types import FloatArray
from vla_drop_ros.weights import Weights

# In the order in which they are run and shown.
CRITERIA = (
    'leave-one-out', 'greedy', 'gateprobe', 'taylor', 'fisher', 'block-influence', 'angular',
    'cka', 'divergence', 'divergence-relative', 'divergence-controlled', 'magnitude', 'wanda',
    'flap', 'random', 'uniform', 'keep-first', 'endpoints')
ORACLE = 'leave-one-out'
CONTROLS = CRITERIA[-4:]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one unit of one stack.

    Attributes:
        stack, unit: what was scored.
        values: by block, shape (L,), NaN where a block has no such part; for ``channel`` and
            ``head`` by block and unit: L vectors.
        samples: what the mean is over, to resample: shape (S, L), or S of each block's vectors.
        rule: how blocks are picked by it: ``lowest`` importance first, or as the criterion says.
        extra: what else was found, plain JSON.

    """

    stack: str
    unit: Unit
    values: Any
    samples: Any = None
    rule: str = 'lowest'
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A way to score blocks, channels or heads.

    Attributes:
        name: as on the command line.
        higher_means: ``keep`` or ``drop``.
        source: where it comes from.
        measure: does it.
        needs: of ``data``, ``gradient``, ``base``; what it cannot do without.

    """

    name: str
    higher_means: Literal['keep', 'drop']
    source: str
    measure: 'Callable[[Subject], list[Scores]]'
    needs: tuple[str, ...] = ()

    def importance(self, values: FloatArray) -> FloatArray:
        """Return the scores with the sign that makes a high one mean keep."""
        return values if self.higher_means == 'keep' else -values


def criterion(name: str) -> Criterion:
    """Return a criterion by name; RankingError names the valid ones."""
    if name not in CRITERIA:
        raise RankingError(unknown('criterion', name, (*CRITERIA, 'all')))
    family = 'controls' if name in CONTROLS else name.split('-')[0] if name.startswith(
        'divergence') else name.replace('-', '_')
    module = import_module(f'vla_drop_ros.pruning.criteria.{family}')
    found: Criterion = module.CRITERIA[name] if hasattr(module, 'CRITERIA') else module.CRITERION
    return found


@dataclass
class Subject:
    """The model that is ranked, and the data it is ranked on; passes are shared.

    Attributes:
        family, model: live, in evaluation mode.
        batches: calibration samples; empty for what needs none.
        weights: of the checkpoint, read lazily.
        base: family and weights of the vision-language model it was adapted from.
        seed: of everything random.
        tick: called with the share of the criterion that is done.
        gradients: sums that Taylor and Fisher share, once measured.
        features: moments that Wanda and FLAP share, once measured.
        moved: distances that the variants of divergence share, once measured.

    """

    family: Family
    model: Any
    batches: Sequence[Batch]
    weights: Weights
    base: tuple[Family, Sites, Weights] | None = None
    seed: int = 0
    tick: Callable[[float], None] = lambda _: None
    gradients: Any = None
    features: Any = None
    moved: Any = None

    @cached_property
    def sites(self) -> Sites:
        """Where the blocks are."""
        return self.family.sites(self.family.config(self.model))

    @cached_property
    def stacks(self) -> dict[str, Stack]:
        """The live stacks."""
        return stacks(self.family, self.model)

    @cached_property
    def pairs(self) -> dict[str, dict[int, int]]:
        """Stack -> its block -> the block of another stack that reads it."""
        return {name: reader_pairs(self.stacks, self.sites, name) for name in self.sites.names}

    @cached_property
    def layout(self) -> Layout:
        """The facts about the stacks that a plan needs."""
        return layout_of(self.family, self.model)

    @property
    def samples(self) -> int:
        """Number of calibration samples."""
        return sum(len(batch) for batch in self.batches)

    def units(self, name: str) -> tuple[Unit, ...]:
        """Return the block units that a stack can lose."""
        wanted = {'block', *(UNIT_OF_MODE[mode] for mode in self.sites.modes[name])}
        return tuple(unit for unit in BLOCK_UNITS if unit in wanted)

    def block_units(self) -> Iterator[tuple[str, Unit]]:
        """Yield every stack and block unit."""
        for name in self.sites.names:
            for unit in self.units(name):
                yield name, unit

    def each(self, share: float = 1.0) -> Iterator[Batch]:
        """Yield the batches, the first ``share`` of them, and tell the progress."""
        chosen = self.batches[:max(1, round(share * len(self.batches)))]
        for number, batch in enumerate(chosen):
            yield batch
            self.tick((number + 1) / len(chosen))

    def losses(self, share: float = 1.0) -> FloatArray:
        """Return the action loss by sample, over the first ``share`` of the batches.

        Raises:
            RankingError: a loss is not finite.

        """
        chosen = self.batches[:max(1, round(share * len(self.batches)))]
        with torch.no_grad():
            found = [self.family.loss(self.model, batch).double().cpu().numpy()
                     for batch in chosen]
        return check_finite(np.concatenate(found))

    def tie(self, by_stack: dict[str, Any]) -> dict[str, Any]:
        """Return for each stack that another one reads the sum of both blocks' scores.

        Args:
            by_stack: stack -> scores, shape (..., L).

        Returns:
            Stack -> scores of the ties, NaN where a block is read by none.

        """
        tied = {}
        for name in self.sites.names:
            reader = self.sites.reader(name)
            if reader is None or 'tied' not in self.units(name):
                continue
            own, other = np.asarray(by_stack[name]), np.asarray(by_stack[reader.name])
            both = np.full_like(own, np.nan)
            for index, partner in self.pairs[name].items():
                both[..., index] = own[..., index] + other[..., partner]
            tied[name] = both
        return tied


def check_finite(losses: FloatArray) -> FloatArray:
    """Return the losses; RankingError if one of them is not finite, saying which."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise RankingError(
            f'the action loss of {bad.size} of {losses.size} calibration samples is not finite '
            f'(first: sample {bad[0]}); check the dataset for actions that are not numbers, and '
            "the checkpoint's normalisation")
    return losses


def block_scores(subject: Subject, by_unit: dict[Unit, dict[str, FloatArray]],
                 reduce: Callable[[FloatArray], FloatArray] = np.abs) -> list[Scores]:
    """Return scores that are means over samples of ``reduce`` of something.

    Args:
        subject: what was ranked.
        by_unit: unit -> stack -> signed values, shape (S, L); ties are added from ``block``.
        reduce: applied to every value before the mean.

    """
    found: dict[Unit, dict[str, FloatArray]] = {**by_unit}
    if 'block' in by_unit:
        found['tied'] = subject.tie(by_unit['block'])
    result = []
    for name, unit in subject.block_units():
        if name in found.get(unit, {}):
            samples = reduce(found[unit][name])
            result.append(Scores(name, unit, samples.mean(0), samples))
    return result
