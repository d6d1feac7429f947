# SPDX-License-Identifier: Apache-2.0
"""What channels and heads carry: moments of the inputs of the layers that lead out of a block."""

from dataclasses import dataclass
from typing import Any

import torch

from vla_drop_ros.pruning.activations import rows_mask
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.types import FloatArray


@dataclass
class Moments:
    """Sums over the valid tokens of one batch, by feature, shape (F,)."""

    count: int = 0
    first: Any = 0.0
    second: Any = 0.0

    def add(self, features: torch.Tensor, mask: torch.Tensor | None) -> None:
        """Add features (R, T, F)."""
        rows = features[rows_mask(mask, features)].double()
        self.count += len(rows)
        self.first = self.first + rows.sum(0)
        self.second = self.second + (rows ** 2).sum(0)

    @property
    def mean_square(self) -> FloatArray:
        """E x^2 by feature."""
        found: FloatArray = (self.second / self.count).cpu().numpy()
        return found

    @property
    def variance(self) -> FloatArray:
        """Var x by feature."""
        mean = self.first / self.count
        found: FloatArray = (self.second / self.count - mean ** 2).clamp(min=0).cpu().numpy()
        return found


# stack -> unit -> block -> one Moments a batch
FeatureMoments = dict[str, dict[str, list[list[Moments]]]]


def feature_moments(subject: Subject) -> FeatureMoments:
    """Return the moments of what channels and heads carry; done once a subject."""
    if subject.features is None:
        subject.features = _measure(subject)
    found: FeatureMoments = subject.features
    return found


def _measure(subject: Subject) -> FeatureMoments:
    found: FeatureMoments = {
        name: {unit: [[] for _ in range(len(stack))] for unit in WIDTH_UNITS}
        for name, stack in subject.stacks.items()}
    for batch in subject.each():
        masks, handles = subject.family.masks(batch.inputs), []
        for name, stack in subject.stacks.items():
            for index in range(len(stack)):
                for unit, path, count in (
                        ('channel', stack.site.contract, stack.channels(index)),
                        ('head', stack.site.output, stack.heads(index))):
                    if count:
                        moments = Moments()
                        found[name][unit][index].append(moments)
                        handles.append(stack.module(index, path).register_forward_pre_hook(
                            _listener(moments, masks.get(name))))
        try:
            with torch.no_grad():
                subject.family.loss(subject.model, batch)
        finally:
            for handle in handles:
                handle.remove()
    return found


def _listener(moments: Moments, mask: torch.Tensor | None) -> Any:
    def listen(_module: Any, arguments: tuple[Any, ...]) -> None:
        moments.add(arguments[0], mask)

    return listen
