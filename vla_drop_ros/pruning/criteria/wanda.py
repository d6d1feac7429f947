# SPDX-License-Identifier: Apache-2.0
"""Wanda, for whole channels and heads: weights times the size of what flows through them.

    I_c = sum_i |W_ic| sqrt(E x_c^2)

with W the layer that leads out of the block and x its input (A Simple and Effective Pruning
Approach, arXiv 2306.11695, which scores single weights |W_ij| ||x_j||; here a unit is the sum over
its weights). A head is the sum over its features. Higher means keep.
"""

import numpy as np
import torch

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.features import Moments, unit_scores
from vla_drop_ros.types import FloatArray


def measure(subject: Subject) -> list[Scores]:
    """Score channels and heads."""
    return unit_scores(subject, by_feature)


def by_feature(weight: torch.Tensor, moments: Moments) -> FloatArray:
    """Return the scores of the columns of a weight (O, F), shape (F,)."""
    found: FloatArray = weight.abs().sum(0).cpu().numpy() * np.sqrt(moments.mean_square)
    return found


CRITERION = Criterion('wanda', 'keep', 'arXiv 2306.11695', measure, needs=('data',))
