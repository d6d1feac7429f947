# SPDX-License-Identifier: Apache-2.0
"""What channels and heads carry: moments of the inputs of the layers that lead out of a block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vla_drop_ros.pruning.activations import rows_mask
from vla_drop_ros.pruning.constraints import head_units
from vla_drop_ros.pruning.criterion import Scores, Subject
from vla_drop_ros.pruning.gradients import width_scores
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


def unit_scores(subject: Subject, by_feature: Callable[[torch.Tensor, Moments], FloatArray],
                finish: Callable[[FloatArray], FloatArray] = lambda values: values,
                ) -> list[Scores]:
    """Return scores of channels and heads from the layers that lead out of a block.

    Args:
        subject: what is ranked.
        by_feature: scores of the columns of a weight (O, F), float64, from what flows through
            them in one batch, shape (F,); a head is the sum over its features.
        finish: applied to the scores of a block's units, shape (batches, units).

    """
    moments, scores = feature_moments(subject), []
    for name, stack in subject.stacks.items():
        for unit in WIDTH_UNITS:
            samples = []
            for index, batches in enumerate(moments[name][unit]):
                if not batches:
                    samples.append(np.zeros((len(subject.batches), 0)))
                    continue
                path = stack.site.contract if unit == 'channel' else stack.site.output
                weight = stack.module(index, path).weight.detach().double()
                flow = np.stack([by_feature(weight, one) for one in batches])
                if unit == 'head':
                    flow = flow.reshape(len(flow), head_units(stack, index), -1).sum(2)
                samples.append(finish(flow))
            scores.append(width_scores(name, unit, samples))
    return scores


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
