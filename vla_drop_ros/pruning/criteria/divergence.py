# SPDX-License-Identifier: Apache-2.0
"""Adaptation divergence: how far a unit's weights moved between the base VLM and the VLA.

    absolute    I = ||W_vla - W_vlm||_2
    relative    I = ||W_vla - W_vlm||_2 / ||W_vlm||_2
    controlled  log of the absolute one, residualised by least squares on block index and
                log ||W_vlm||, over all units of a stack

(Revisiting Parameter Redundancy, arXiv 2606.31382.) Needs no data; one tensor of each model is in
memory at a time. Whether what moved most or what moved least may go differs from module to module
in the paper, so a probe measures it for channels and heads: see ``probes.py``; by itself, higher
means keep. The action expert has no counterpart in the VLM and gets no score.
"""

from collections.abc import Callable

import numpy as np

from vla_drop_ros.errors import RankingError
from vla_drop_ros.families.block_sites import StackSite
from vla_drop_ros.pruning.block_weights import block_names, BlockSquares
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import BLOCK_UNITS, WIDTH_UNITS
from vla_drop_ros.types import FloatArray

_EPSILON = 1e-8


class Distances:
    """Norms of difference and of base by unit of one stack: L arrays each."""

    def __init__(self) -> None:
        """Begin with no block."""
        self.moved: dict[str, list[FloatArray]] = {}
        self.base: dict[str, list[FloatArray]] = {}

    def add(self, moved: BlockSquares, base: BlockSquares) -> None:
        """Add a block."""
        for sums, into in ((moved, self.moved), (base, self.base)):
            for unit in BLOCK_UNITS:
                into.setdefault(unit, []).append(np.sqrt(np.asarray(sums.removed(unit))))
            for unit in WIDTH_UNITS:
                into.setdefault(unit, []).append(np.sqrt(sums.units[unit]))


def distances(subject: Subject) -> dict[str, Distances]:
    """Compare both models block by block; done once a subject.

    Raises:
        RankingError: there is no base, or it has other shapes.

    """
    if subject.moved is None:
        subject.moved = _measure(subject)
    found: dict[str, Distances] = subject.moved
    return found


def _measure(subject: Subject) -> dict[str, Distances]:
    if subject.base is None:
        raise RankingError(
            'divergence compares with the vision-language model that the policy was adapted from; '
            'name its folder with --base')
    _, base_sites, base_weights = subject.base
    names = block_names(subject.weights, subject.sites)
    found: dict[str, Distances] = {}
    base_names = block_names(base_weights, base_sites)
    shared = [site for site in subject.sites if site.name in base_sites.names]
    done, total = 0, sum(site.depth for site in shared)
    for site in shared:
        ours, theirs = names[site.name], base_names[site.name][:site.depth]
        _check_same(subject, site, ours, theirs)
        one = found.setdefault(site.name, Distances())
        for block, other in zip(ours, theirs, strict=True):
            shapes = {name: subject.weights.shape(full) for name, full in block.items()}
            moved, base = BlockSquares(site, shapes), BlockSquares(site, shapes)
            for name, full in block.items():
                old = base_weights[other[name]].float()
                base.add(name, old)
                moved.add(name, subject.weights[full].float() - old)
            one.add(moved, base)
            done += 1
            subject.tick(done / total)
    return found


def _check_same(subject: Subject, site: StackSite, ours: list[dict[str, str]],
                theirs: list[dict[str, str]]) -> None:
    """Refuse a base whose blocks have other shapes."""
    base = subject.base
    assert base is not None  # noqa: S101 - the caller has looked
    problems = []
    if len(theirs) < len(ours):
        problems.append(f'the base has {len(theirs)} {site.name} blocks, the checkpoint '
                        f'{len(ours)}')
    for index, (block, other) in enumerate(zip(ours, theirs, strict=False)):
        missing = sorted(set(block) - set(other))
        if missing:
            problems.append(f'{site.name} block {index} of the base has no {missing[0]}')
        problems += [
            f'{site.name} block {index} {name}: {base[2].shape(other[name])} in the base, '
            f'{subject.weights.shape(full)} in the checkpoint'
            for name, full in block.items() if name in other
            and base[2].shape(other[name]) != subject.weights.shape(full)]
    if problems:
        raise RankingError(
            f'base {str(base[2].folder)!r} is not what the checkpoint was adapted from: '
            f'{"; ".join(problems[:3])}. If blocks were dropped, rank the parent')


def absolute(moved: list[FloatArray], _base: list[FloatArray]) -> list[FloatArray]:
    """Return ||W_vla - W_vlm||."""
    return moved


def relative(moved: list[FloatArray], base: list[FloatArray]) -> list[FloatArray]:
    """Return ||W_vla - W_vlm|| / ||W_vlm||."""
    return [one / (other + _EPSILON) for one, other in zip(moved, base, strict=True)]


def controlled(moved: list[FloatArray], base: list[FloatArray]) -> list[FloatArray]:
    """Return what block index and weight norm do not explain of log ||W_vla - W_vlm||."""
    sizes = [one.size for one in moved]
    depth = np.concatenate([np.full(size, float(i)) for i, size in enumerate(sizes)])
    size = np.log(np.concatenate([one.reshape(-1) for one in base]) + _EPSILON)
    target = np.log(np.concatenate([one.reshape(-1) for one in moved]) + _EPSILON)
    design = np.stack([np.ones_like(depth), depth, size], 1)
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    residual = target - design @ solution
    parts = np.split(residual, np.cumsum(sizes)[:-1])
    return [part.reshape(one.shape) for part, one in zip(parts, moved, strict=True)]


_Variant = Callable[[list[FloatArray], list[FloatArray]], list[FloatArray]]


def _variant(transform: _Variant) -> Callable[[Subject], list[Scores]]:
    def measure(subject: Subject) -> list[Scores]:
        """Score blocks, attentions, MLPs, channels and heads of the stacks that the base has."""
        scores = []
        for name, found in distances(subject).items():
            for unit in (*subject.units(name), *WIDTH_UNITS):
                values = transform(found.moved[unit], found.base[unit])
                scores.append(Scores(
                    name, unit, values if unit in WIDTH_UNITS else np.array(values)))
        return scores

    return measure


CRITERIA = {
    name: Criterion(name, 'keep', 'arXiv 2606.31382', _variant(transform), needs=('base',))
    for name, transform in (('divergence', absolute), ('divergence-relative', relative),
                            ('divergence-controlled', controlled))}
