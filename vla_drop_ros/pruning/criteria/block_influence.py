# SPDX-License-Identifier: Apache-2.0
"""Block influence: how far a block turns the hidden states.

    BI_i = 1 - E_t cos(h_{i-1,t}, h_{i,t})

(ShortGPT, arXiv 2403.03853; for attention and MLP the same across the half block, as in What
Matters in Transformers?, arXiv 2406.15786.) Means over the valid tokens of a sample, then over
samples. Ties: the sum of both blocks'. Higher means keep.
"""

import numpy as np
import torch
from torch.nn import functional

from vla_drop_ros.pruning.activations import Recorder, rows_mask
from vla_drop_ros.pruning.criterion import block_scores, Criterion, Scores, Subject
from vla_drop_ros.pruning.plan import Unit
from vla_drop_ros.types import FloatArray


def turned(before: torch.Tensor, behind: torch.Tensor, mask: torch.Tensor | None, samples: int,
           ) -> torch.Tensor:
    """Return 1 - cos by sample, mean over valid tokens; states (R, T, D), result (samples,)."""
    valid = rows_mask(mask, before)
    angle = 1.0 - functional.cosine_similarity(before.float(), behind.float(), dim=-1)
    return ((angle * valid).reshape(samples, -1).sum(1)
            / valid.reshape(samples, -1).sum(1).clamp(min=1))


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, attentions, MLPs and ties."""
    rows: dict[Unit, dict[str, list[FloatArray]]] = {'block': {}, 'attention': {}, 'mlp': {}}
    for batch in subject.each():
        masks = subject.family.masks(batch.inputs)
        with torch.no_grad(), Recorder(subject.family, subject.model) as recorder:
            subject.family.loss(subject.model, batch)
        for name, inputs in recorder.inputs.items():
            middles, depth = recorder.middles[name], len(inputs) - 1
            states: dict[Unit, tuple[list[list[torch.Tensor]], list[list[torch.Tensor]]]] = {
                'block': (inputs[:-1], inputs[1:]), 'attention': (inputs[:-1], middles),
                'mlp': (middles, inputs[1:])}
            for unit, (before, behind) in states.items():
                columns = [torch.stack([
                    turned(one, other, masks.get(name), len(batch))
                    for one, other in zip(before[i], behind[i], strict=True)]).mean(0)
                    for i in range(depth)]
                rows[unit].setdefault(name, []).append(
                    torch.stack(columns, 1).double().cpu().numpy())
    return block_scores(subject, {
        unit: {name: np.concatenate(parts) for name, parts in stacks.items()}
        for unit, stacks in rows.items()})


CRITERION = Criterion('block-influence', 'keep', 'ShortGPT, arXiv 2403.03853', measure,
                      needs=('data',))
