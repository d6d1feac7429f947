# SPDX-License-Identifier: Apache-2.0
"""Wanda, for whole channels and heads: weights times the size of what flows through them.

    I_c = sum_i |W_ic| sqrt(E x_c^2)

with W the layer that leads out of the block and x its input (A Simple and Effective Pruning
Approach, arXiv 2306.11695, which scores single weights |W_ij| ||x_j||; here a unit is the sum over
its weights). A head is the sum over its features. Higher means keep.
"""

import numpy as np

from vla_drop_ros.pruning.constraints import head_units
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.features import feature_moments
from vla_drop_ros.pruning.gradients import width_scores
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.types import FloatArray


def measure(subject: Subject) -> list[Scores]:
    """Score channels and heads."""
    moments, scores = feature_moments(subject), []
    for name, stack in subject.stacks.items():
        for unit in WIDTH_UNITS:
            samples = []
            for index, batches in enumerate(moments[name][unit]):
                if not batches:
                    samples.append(np.zeros((len(subject.batches), 0)))
                    continue
                path = stack.site.contract if unit == 'channel' else stack.site.output
                weight = stack.module(index, path).weight.detach().abs().sum(0).double()
                size = weight.cpu().numpy()
                flow = np.stack([size * np.sqrt(one.mean_square) for one in batches])
                samples.append(per_head(flow, subject, name, index, unit))
            scores.append(width_scores(name, unit, samples))
    return scores


def per_head(values: FloatArray, subject: Subject, stack: str, index: int, unit: str,
             ) -> FloatArray:
    """Return the sums over the features of each head, shape (S, heads); channels as they are."""
    if unit == 'channel':
        return values
    live = subject.stacks[stack]
    return values.reshape(len(values), head_units(live, index), -1).sum(2)


CRITERION = Criterion('wanda', 'keep', 'arXiv 2306.11695', measure, needs=('data',))
