# SPDX-License-Identifier: Apache-2.0
"""FLAP, for whole channels and heads: how much what flows through them fluctuates.

    I_c = Var(x_c) ||W_:c||_2^2,    then (I - mean) / std over the units of its block

with W the layer that leads out of the block and x its input (Fluctuation-based Adaptive Structured
Pruning, arXiv 2312.11983, equations 3 and 5). The bias that the paper adds for the mean of what is
removed is not: most of these layers have none, and a stock loader could not open one. A head is
the sum over its features. Higher means keep.
"""

import numpy as np
import torch

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.features import Moments, unit_scores
from vla_drop_ros.types import FloatArray


def measure(subject: Subject) -> list[Scores]:
    """Score channels and heads."""
    return unit_scores(subject, by_feature, standardised)


def by_feature(weight: torch.Tensor, moments: Moments) -> FloatArray:
    """Return the fluctuation of what flows through each column of a weight (O, F), shape (F,)."""
    found: FloatArray = (weight ** 2).sum(0).cpu().numpy() * moments.variance
    return found


def standardised(values: FloatArray) -> FloatArray:
    """Return (values - mean) / std over the units of a block, shape (S, units); 0 if all agree."""
    spread = values.std(1, keepdims=True)
    found: FloatArray = (values - values.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)
    return found


CRITERION = Criterion('flap', 'keep', 'arXiv 2312.11983', measure, needs=('data',))
