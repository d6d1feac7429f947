# SPDX-License-Identifier: Apache-2.0
"""What a recovery minimises: the family's action loss and, if asked, the distance to the parent.

Distillation as in the recovery of pruned VLAs and Shallow-pi (arXiv 2601.20262): the parent's
answer under the same noise and time, and its hidden states behind the blocks that were kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.families.family import Batch, Family, stacks
from vla_drop_ros.manifest import Manifest
from vla_drop_ros.pruning.activations import Recorder, rows_mask
from vla_drop_ros.recovery.recipe import Recipe

Parts = dict[str, torch.Tensor]


class Parent:
    """The checkpoint that the pruned one was made from, which it is taught by.

    Attributes:
        model: live, frozen.
        places: stack -> for each block of the pruned model the parent's block that it was.

    """

    def __init__(self, model: Any, manifest: Manifest, child: Manifest) -> None:
        """Refuse a model that is not the parent of ``child``."""
        found, self.model = child.parent or {}, model
        if manifest.identity not in (found.get('sha256'), child.identity):
            raise RecoveryError(
                f'{manifest.name!r} ({manifest.short}) is not the parent of {child.name!r}, '
                f'which is {found.get("name")!r} ({str(found.get("sha256"))[:12]}); give that one')
        own = manifest.identity == child.identity
        dropped = {} if own else dict(child.dropped or {})
        self.places: dict[str, Sequence[int]] = {
            stack: change['kept'] for stack, change in dropped.items() if stack != 'dead'}

    def place(self, stack: str, depth: int) -> Sequence[int]:
        """Return the parent's block for each block of a stack of this depth.

        What the dead-compute pass took away behind the last one has no place.
        """
        return list(self.places.get(stack, range(depth)))[:depth]


class RecoveryLoss(nn.Module):
    """The loss of a batch as a module, so that it can be shared out over processes.

    Attributes:
        model: what is trained.

    """

    def __init__(self, family: Family, model: Any, recipe: Recipe,
                 parent: Parent | None = None) -> None:
        """Take the parts; the parent is frozen and no part of the module."""
        super().__init__()
        self.model = model
        self._family, self._recipe = family, recipe
        self._parent = (parent,)  # in a tuple: nn.Module would count its weights as its own

    def forward(self, batch: Batch) -> Parts:
        """Return ``loss`` and, where they are asked for, its parts, each a number.

        Parts: ``task`` the family's own, ``actions`` and ``hidden`` the distances to the parent.
        """
        parent = self._parent[0]
        if parent is None:
            task = self._family.loss(self.model, batch).mean()
            return {'loss': task}
        with torch.no_grad():
            _, wanted, states = self._run(parent.model, batch)
        task, found, own = self._run(self.model, batch)
        parts = {'task': task}
        if self._recipe.distill_actions:
            parts['actions'] = _masked((found - wanted).square(), batch.weights)
        if self._recipe.distill_hidden:
            parts['hidden'] = self._hidden(own, states, parent, batch)
        total = task
        for name, weight in (('actions', self._recipe.distill_actions),
                             ('hidden', self._recipe.distill_hidden)):
            if name in parts:
                total = total + weight * parts[name]
        return {'loss': total, **parts}

    def _run(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor,
                                                      Mapping[str, list[list[torch.Tensor]]]]:
        """Return task loss, what the head said (B * D, T, A), and the residual streams."""
        said: list[torch.Tensor] = []
        handle = model.get_submodule(self._family.head).register_forward_hook(
            lambda _module, _arguments, output: said.append(output))
        try:
            with Recorder(self._family, model) as recorder:
                task = self._family.loss(model, batch).mean()
        finally:
            handle.remove()
        return task, said[-1], recorder.inputs

    def _hidden(self, own: Mapping[str, list[list[torch.Tensor]]],
                states: Mapping[str, list[list[torch.Tensor]]], parent: Parent,
                batch: Batch) -> torch.Tensor:
        """Return the mean relative distance behind the blocks that both have."""
        masks, distances = self._family.masks(batch.inputs), []
        for name, stack in stacks(self._family, self.model).items():
            for index, place in enumerate(parent.place(name, len(stack))):
                last = place + 1 == len(states[name]) - 1
                if last and not stack.site.output_read:
                    continue  # nothing reads it, here and there
                pairs = zip(own[name][index + 1], states[name][place + 1], strict=False)
                for ours, theirs in pairs:  # none where a hollow block's norm is never called
                    rows = rows_mask(masks.get(name), theirs)[..., None]
                    gap = ((ours - theirs).square() * rows).sum()
                    distances.append(gap / (theirs.square() * rows).sum().clamp(min=1e-12))
        if not distances:
            raise RecoveryError('distill_hidden: the parent and the pruned model share no block '
                                'whose output is read; set it to 0')
        return torch.stack(distances).mean()


def _masked(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean over what counts; draws repeat the rows of the weights (B, T, A)."""
    rows = weights.repeat_interleave(len(values) // len(weights), 0)
    return (values * rows).sum() / rows.sum().clamp(min=1)
