# SPDX-License-Identifier: Apache-2.0
"""Compute that nothing reads: found by structure and by zero gradient, removed, proven away.

The one pruning that loses nothing. In pi0 the language model's output is thrown away, so its last
block matters only for keys and values (pruning of 3-4 % of the full model, bit-identical actions);
a vision tower that is tapped before its end computes the rest for nobody.
"""

from typing import Any

import torch

from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.family import Batch, Family, Inputs, stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.families.structure import remove_module

PROOFS = 16  # pseudo-random inputs on which not one bit of an action may differ
_SEED = 1_000


def remove_dead(family: Family, model: Any, journal: Journal) -> list[dict[str, Any]]:
    """Remove what nothing reads, by structure; return what went and why.

    Returns:
        For each removal ``what`` (a path or block), ``why`` and ``parameters``.

    """
    removed: list[dict[str, Any]] = []

    def note(what: str, why: str, before: int) -> None:
        removed.append({'what': what, 'why': why, 'parameters': before - _count(model)})

    sites = family.sites(family.config(model))
    for path in sites.unused:
        _remove_path(model, path, 'no input of the model reaches it', journal, note)
    for site in sites:
        stack = stacks(family, model)[site.name]
        if site.tap is not None or not site.output_read:
            _remove_path(model, site.final_norm, 'what it puts out is not read', journal, note)
        if site.tap is not None:
            before, tail = _count(model), range(site.tap, len(stack))
            if len(tail):
                stack.remove_blocks(tail, journal)
                note(f'{site.name} blocks {list(tail)}', 'the features are tapped before', before)
        if not site.output_read:
            _remove_tail(stack, journal, note, model)
        _remove_hollow(stack, journal, note, model)
    family.agree(model, journal)
    return removed


def _remove_path(model: Any, path: str, why: str, journal: Journal, note: Any) -> None:
    owner, _, name = path.rpartition('.')
    module = getattr(model.get_submodule(owner), name, None)
    if module is not None and any(True for _ in module.parameters()):
        before = _count(model)
        remove_module(model, path, journal)
        note(path, why, before)


def _remove_tail(stack: Stack, journal: Journal, note: Any, model: Any) -> None:
    """Remove what stands behind the last keys and values that are read."""
    name = stack.site.name
    read = [index for index in range(len(stack)) if stack.is_read(index)]
    if not read:
        return
    behind = [index for index in range(read[-1] + 1, len(stack)) if stack.left(index)]
    if behind:
        before = _count(model)
        if stack.site.roles:  # what the reader's blocks do hangs on their places
            for index in behind:
                stack.remove_attention(index, journal, keep_keys_values=False)
                stack.remove_mlp(index, journal)
        else:
            stack.remove_blocks(behind, journal)
        note(f'{name} blocks {behind}', 'no block behind them is read', before)
    if {'attention', 'mlp'} & stack.left(read[-1]):
        before = _count(model)
        stack.remove_attention(read[-1], journal, keep_keys_values=True)
        stack.remove_mlp(read[-1], journal)
        note(f'{name} block {read[-1]}: queries, output and MLP',
             'only its keys and values are read', before)


def _remove_hollow(stack: Stack, journal: Journal, note: Any, model: Any) -> None:
    """Remove keys and values that nobody reads, and blocks that nothing is left of."""
    for index in range(len(stack)):
        left = stack.left(index)
        if 'keys_values' in left and 'attention' not in left and not stack.is_read(index):
            before = _count(model)
            stack.remove_attention(index, journal, keep_keys_values=False)
            note(f'{stack.site.name} block {index}: keys and values', 'nothing reads them', before)
    hollow = [index for index in range(len(stack)) if not stack.left(index)]
    if hollow and not stack.site.roles:
        stack.remove_blocks(hollow, journal)
        note(f'{stack.site.name} blocks {hollow}', 'nothing is left in them', _count(model))


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def without_gradient(family: Family, model: Any, batch: Batch) -> dict[str, str]:
    """Return the parameters that the action loss of a batch does not move.

    Returns:
        Name -> ``unreached`` (no path from it to the loss) or ``zero`` (a path, but every
        derivative is 0, as for words that no instruction has).

    """
    parameters = dict(model.named_parameters())
    wanted = {name: parameter.requires_grad for name, parameter in parameters.items()}
    model.requires_grad_(True)
    try:
        loss = family.loss(model, batch).sum()
        if not torch.isfinite(loss):
            raise PlanError('the action loss of the calibration data is not finite; check the '
                            'data and its normalisation')
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(wanted[name])
    return {name: 'unreached' if gradient is None else 'zero'
            for name, gradient in zip(parameters, gradients, strict=True)
            if gradient is None or not gradient.any()}


def prove_dead(family: Family, model: Any, cameras: int, journal: Journal,
               ) -> list[dict[str, Any]]:
    """Remove what nothing reads and compare the actions before and after, bit for bit.

    Raises:
        PlanError: an action differs: the structure that the family states is wrong; the model is
            left as it was.

    """
    before = [_answer(family, model, *family.fixed_inputs(model, cameras, _SEED + number))
              for number in range(PROOFS)]
    inner = Journal()
    removed = remove_dead(family, model, inner)
    worst = max(float((_answer(
        family, model, *family.fixed_inputs(model, cameras, _SEED + number)) - old).abs().max())
        for number, old in enumerate(before))
    if worst > 0.0:
        inner.undo()
        raise PlanError(f'removing what nothing reads changed an action by {worst:.3g}; nothing '
                        'was removed. Please report the family and its configuration')
    journal.on_undo(inner.undo)
    return removed


def _answer(family: Family, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
    return family.act(model, inputs, noise)
