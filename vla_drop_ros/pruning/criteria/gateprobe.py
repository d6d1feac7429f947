# SPDX-License-Identifier: Apache-2.0
"""GateProbe: how much the action loss feels a virtual gate on a block's update.

h~_i = h_{i-1} + a_i F_i(h_{i-1}) with the gate a_i = 1 for the model as it is and 0 for the block
dropped; the score is

    I(B_i) = E_x | dL(x) / da_i |    at a_i = 1,    dL/da_i = < dL/dh_i , h_i - h_{i-1} >

(Drop-Then-Recovery, arXiv 2606.27755, section 3.2). No gate is inserted: the states and their
gradients are captured at the norms, and the per-sample derivatives come from one backward of the
summed loss, since samples do not interact. The attention gate takes h_mid - h_{i-1}, the MLP gate
h_i - h_mid. Ties gate both blocks at once. Higher means keep.
"""

import numpy as np
import torch

from vla_drop_ros.families.family import Batch, Family
from vla_drop_ros.pruning.activations import by_sample, Recorder
from vla_drop_ros.pruning.criterion import block_scores, check_finite, Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import Unit
from vla_drop_ros.types import FloatArray

Derivatives = dict[Unit, dict[str, FloatArray]]


def gate_derivatives(family: Family, model: object, batch: Batch) -> Derivatives:
    """Return dL(x)/da for every gate and sample of a batch.

    Returns:
        ``block``, ``attention``, ``mlp`` -> stack -> shape (B, L), signed.

    """
    with Recorder(family, model, gradients=True) as recorder:
        losses = family.loss(model, batch)
        check_finite(losses.detach().double().cpu().numpy())
        losses.sum().backward()
    found: Derivatives = {'block': {}, 'attention': {}, 'mlp': {}}
    for name, inputs in recorder.inputs.items():
        middles, depth = recorder.middles[name], len(inputs) - 1
        gates: dict[Unit, list[torch.Tensor]] = {'block': [], 'attention': [], 'mlp': []}
        for index in range(depth):
            before, between, behind = inputs[index], middles[index], inputs[index + 1]
            gates['block'].append(_gate(before, behind, len(batch)))
            gates['attention'].append(_gate(before, between, len(batch)))
            gates['mlp'].append(_gate(between, behind, len(batch)))
        for unit, columns in gates.items():
            found[unit][name] = torch.stack(columns, 1).double().cpu().numpy()
    return found


def _gate(before: list[torch.Tensor], behind: list[torch.Tensor], samples: int) -> torch.Tensor:
    """Return the derivative of the gate between two captured states, summed over calls."""
    total = torch.zeros(samples, device=before[0].device)
    for earlier, later in zip(before, behind, strict=True):
        if later.grad is not None:
            update = later.detach().float() - earlier.detach().float()
            total += by_sample(later.grad.float() * update, samples)
    return total


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs and ties."""
    parts = [gate_derivatives(subject.family, subject.model, batch) for batch in subject.each()]
    joined: Derivatives = {
        unit: {name: np.concatenate([part[unit][name] for part in parts])
               for name in parts[0][unit]} for unit in parts[0]}
    return block_scores(subject, joined)


CRITERION = Criterion('gateprobe', 'keep', 'arXiv 2606.27755, section 3.2', measure,
                      needs=('data', 'gradient'))
