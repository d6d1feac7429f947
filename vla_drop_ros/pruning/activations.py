# SPDX-License-Identifier: Apache-2.0
"""What flows along the residual streams: captured where blocks read it, at their norms.

Hooks sit on the norms, not on the blocks: pi0 in lerobot and openpi, and SmolVLA, take their
blocks apart and call the parts, so that a hook on a block would never fire.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import nn

from vla_drop_ros.families.family import Family, stacks

Listener = Callable[[str, int, bool, torch.Tensor], None]


class Recorder:
    """Hear every residual stream while a model runs; use as a context.

    Attributes:
        inputs: stack -> for each block the hidden states that it was given, one tensor a call,
            and behind the last block what the final norm was given: depth + 1 lists of h_i.
        middles: stack -> for each block the states between its attention and its MLP.

    """

    def __init__(self, family: Family, model: Any, *, gradients: bool = False) -> None:
        """Prepare to listen; ``gradients`` keeps d loss / d h for every h that is captured."""
        self.inputs: dict[str, list[list[torch.Tensor]]] = {}
        self.middles: dict[str, list[list[torch.Tensor]]] = {}
        self._gradients = gradients
        self._model = model
        self._stacks = stacks(family, model)
        self._handles: list[Any] = []

    def __enter__(self) -> 'Recorder':
        """Hang the hooks."""
        for name, stack in self._stacks.items():
            self.inputs[name] = [[] for _ in range(len(stack) + 1)]
            self.middles[name] = [[] for _ in range(len(stack))]
            for index in range(len(stack)):
                self._hear(stack.module(index, stack.site.attention_norm),
                           self.inputs[name][index], first=index == 0)
                self._hear(stack.module(index, stack.site.mlp_norm), self.middles[name][index])
            self._hear(self._model.get_submodule(stack.site.final_norm), self.inputs[name][-1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Take the hooks away; what was captured stays."""
        while self._handles:
            self._handles.pop().remove()

    def clear(self) -> None:
        """Forget what was captured."""
        for lists in (*self.inputs.values(), *self.middles.values()):
            for found in lists:
                found.clear()

    def _hear(self, module: nn.Module, into: list[torch.Tensor], *, first: bool = False) -> None:
        def keep(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
            hidden = arguments[0]
            if self._gradients:
                if first and not hidden.requires_grad:
                    # The weights are frozen: the graph begins at the first block of a stack.
                    hidden.requires_grad_(True)
                if hidden.requires_grad:
                    hidden.retain_grad()
            into.append(hidden)

        self._handles.append(module.register_forward_pre_hook(keep))


def by_sample(values: torch.Tensor, samples: int) -> torch.Tensor:
    """Return the sum over everything but the sample, in float32, shape (samples,).

    Leading rows belong to samples in order, several to each: cameras or flow draws.
    """
    return values.float().reshape(samples, -1).sum(1)


def rows_mask(mask: torch.Tensor | None, hidden: torch.Tensor) -> torch.Tensor:
    """Return which tokens of (R, T, D) count, shape (R, T), bool; all where no mask is given."""
    if mask is None:
        return torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    found = mask.bool()
    if hidden.shape[1] > found.shape[1]:  # tokens behind the prompt, such as the state
        more = torch.ones(len(found), hidden.shape[1] - found.shape[1], dtype=torch.bool,
                          device=found.device)
        found = torch.cat([found, more], 1)
    return found.repeat_interleave(hidden.shape[0] // found.shape[0], 0)[:, :hidden.shape[1]]
