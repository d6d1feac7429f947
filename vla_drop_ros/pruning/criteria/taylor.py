# SPDX-License-Identifier: Apache-2.0
"""Taylor: how much the action loss would change, to first order, without the weights of a unit.

    I = E | sum_w w dL/dw |

over the weights w that a drop would remove (Molchanov et al., arXiv 1906.10771; LLM-Pruner, arXiv
2305.11627). The mean runs over groups of samples, the derivative is that of a group's mean loss.
Higher means keep.
"""

from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.gradients import unit_scores


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs, ties, channels and heads."""
    return unit_scores(subject, 'first')


CRITERION = Criterion('taylor', 'keep', 'arXiv 1906.10771', measure, needs=('data', 'gradient'))
