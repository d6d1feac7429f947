# SPDX-License-Identifier: Apache-2.0
"""Sums of weight times gradient by block, channel and head: one pass for Taylor and Fisher."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vla_drop_ros.families.block_sites import PARTS
from vla_drop_ros.families.family import Batch
from vla_drop_ros.pruning.criterion import check_finite, Scores, Subject
from vla_drop_ros.pruning.plan import Unit, WIDTH_UNITS
from vla_drop_ros.pruning.units import by_unit, parts_removed, shares_of
from vla_drop_ros.types import FloatArray

GROUP = 8  # samples whose gradients are added up; what the intervals resample


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums over the weights w of each unit, with g = dL/dw of the mean loss of a group.

    Attributes:
        first: sum of w g, shape (groups, units).
        second: sum of (w g)^2, shape (groups, units).

    """

    first: FloatArray
    second: FloatArray


# stack -> part of a block -> all blocks, and stack -> width unit -> block -> its units
GradientSums = dict[str, dict[str, Any]]


def groups_of(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the samples of the batches in groups of ``GROUP``."""
    for batch in batches:
        for begin in range(0, len(batch), GROUP):
            rows = slice(begin, begin + GROUP)
            yield replace(
                batch, inputs={name: tensor[rows] for name, tensor in batch.inputs.items()},
                actions=batch.actions[rows], weights=batch.weights[rows],
                noise=batch.noise[rows], time=batch.time[rows])


def gradient_sums(subject: Subject) -> GradientSums:
    """Run one backward a group of samples and add up by unit; done once a subject."""
    if subject.gradients is None:
        subject.gradients = _measure(subject)
    sums: GradientSums = subject.gradients
    return sums


def _measure(subject: Subject) -> GradientSums:
    model = subject.model
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in subject.stacks}
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(True)
    try:
        for batch in groups_of(subject.each()):
            model.zero_grad(set_to_none=True)
            losses = subject.family.loss(model, batch)
            check_finite(losses.detach().double().cpu().numpy())
            losses.mean().backward()
            for name in subject.stacks:
                rows[name].append(_group(subject, name))
    finally:
        model.zero_grad(set_to_none=True)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
    return {name: _join(found) for name, found in rows.items()}


def _products(subject: Subject, stack: str, index: int) -> dict[str, torch.Tensor]:
    """Return w g of every parameter of a block, by its name from the block; 0 without gradient."""
    return {name: (torch.zeros_like(parameter) if parameter.grad is None
                   else parameter.detach() * parameter.grad).double()
            for name, parameter in subject.stacks[stack].blocks[index].named_parameters()}


def _group(subject: Subject, stack: str) -> dict[str, Any]:
    """Return first and second sums of every unit of a stack after one backward."""
    site = subject.sites[stack]
    found: dict[str, Any] = {}
    blocks = [_products(subject, stack, index) for index in range(len(subject.stacks[stack]))]
    for part in PARTS:
        mine = [[value for name, value in products.items() if site.part_of(name) == part]
                for products in blocks]
        found[part] = np.array([[sum(float(value.sum()) for value in values),
                                 sum(float((value ** 2).sum()) for value in values)]
                                for values in mine])
    for unit in WIDTH_UNITS:
        found[unit] = [_width(site, unit, products) for products in blocks]
    return found


def _width(site: Any, unit: str, products: dict[str, torch.Tensor]) -> FloatArray:
    """Return first and second sums of each channel or head, shape (units, 2)."""
    weights = {name.removesuffix('.weight'): value for name, value in products.items()}
    shares = shares_of(site, unit, {path: tuple(one.shape) for path, one in weights.items()})
    if not shares:
        return np.zeros((0, 2))
    whole = by_unit(weights, shares)
    return torch.stack([whole.sum(1), (whole ** 2).sum(1)], 1).cpu().numpy()


def _join(rows: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in PARTS:
        values = np.array([row[part] for row in rows])
        joined[part] = UnitSums(values[..., 0], values[..., 1])
    for unit in WIDTH_UNITS:
        blocks = [np.stack([row[unit][index] for row in rows])
                  for index in range(len(rows[0][unit]))]
        joined[unit] = [UnitSums(values[..., 0], values[..., 1]) for values in blocks]
    return joined


def unit_scores(subject: Subject, order: str) -> list[Scores]:
    """Return means over groups of |first| or of second, for every unit.

    Args:
        subject: what is ranked.
        order: ``first`` or ``second``.

    """
    sums = gradient_sums(subject)

    def total(stack: str, unit: str) -> FloatArray:
        found: FloatArray = sum(getattr(sums[stack][part], order)
                                for part in parts_removed(subject.sites[stack], unit))
        return found

    size = np.abs if order == 'first' else np.asarray
    scores = []
    ties = subject.tie({name: total(name, 'tied') for name in subject.sites.names})
    for name, unit in subject.block_units():
        samples = size(ties[name] if unit == 'tied' else total(name, unit))
        scores.append(Scores(name, unit, samples.mean(0), samples))
    for name in subject.sites.names:
        for width in WIDTH_UNITS:
            scores.append(width_scores(name, width, [
                size(getattr(block, order)) for block in sums[name][width]]))
    return scores


def width_scores(stack: str, unit: Unit, samples: list[FloatArray]) -> Scores:
    """Return the scores of channels or heads from L arrays of shape (S, units)."""
    return Scores(stack, unit, [block.mean(0) for block in samples], samples)
