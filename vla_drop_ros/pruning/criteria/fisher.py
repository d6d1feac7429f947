# SPDX-License-Identifier: Apache-2.0
"""Fisher: the second-order cost of setting weights to zero, the Hessian taken as diagonal Fisher.

    I = E sum_w (w dL/dw)^2

(Theis et al., arXiv 1801.05787, without the factor 1/2.) The mean runs over groups of samples.
Higher means keep.
"""

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.gradients import unit_scores


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs, ties, channels and heads."""
    return unit_scores(subject, 'second')


CRITERION = Criterion('fisher', 'keep', 'arXiv 1801.05787', measure, needs=('data', 'gradient'))
