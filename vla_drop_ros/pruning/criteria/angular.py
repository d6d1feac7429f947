# SPDX-License-Identifier: Apache-2.0
"""Contiguous angular distance: the run of blocks that turns the hidden states least.

    d(l, n) = E_t arccos(cos(h_{l,t}, h_{l+n,t})) / pi,    drop blocks l .. l+n-1, l = argmin d

(The Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887.) The paper looks at the
last token, which in a causal model has read all others; the stacks here attend in both directions,
so every valid token counts. The scores by block are d(l, 1); the runs are in ``extra``, and a plan
by this criterion drops a run. Higher means keep.
"""

import numpy as np
import torch
from torch.nn import functional

from vla_drop_ros.pruning.activations import Recorder, rows_mask
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.types import FloatArray


def distances(states: list[torch.Tensor], mask: torch.Tensor | None, samples: int,
              ) -> torch.Tensor:
    """Return d between every two of L+1 states (R, T, D) by sample, shape (samples, L+1, L+1)."""
    valid = rows_mask(mask, states[0]).reshape(samples, -1)
    unit = torch.stack([functional.normalize(state.float(), dim=-1) for state in states])
    cosines = torch.einsum('irtd,jrtd->rtij', unit, unit).clamp(-1.0, 1.0)
    angles = (torch.arccos(cosines) / torch.pi).reshape(samples, -1, len(states), len(states))
    return ((angles * valid[..., None, None]).sum(1)
            / valid.sum(1).clamp(min=1)[:, None, None])


def measure(subject: Subject) -> list[Scores]:
    """Score blocks, runs and ties."""
    parts: dict[str, list[FloatArray]] = {}
    for batch in subject.each():
        masks = subject.family.masks(batch.inputs)
        with torch.no_grad(), Recorder(subject.family, subject.model) as recorder:
            subject.family.loss(subject.model, batch)
        for name, inputs in recorder.inputs.items():
            calls = [distances([states[call] for states in inputs], masks.get(name), len(batch))
                     for call in range(len(inputs[0]))]
            parts.setdefault(name, []).append(
                torch.stack(calls).mean(0).double().cpu().numpy())
    whole = {name: np.concatenate(found) for name, found in parts.items()}
    single = {name: np.diagonal(found, 1, 1, 2) for name, found in whole.items()}
    tied = subject.tie(single)
    means = {name: found.mean(0) for name, found in whole.items()}
    scores = []
    for name, unit in subject.block_units():
        if unit == 'block':
            scores.append(Scores(name, unit, single[name].mean(0), single[name], 'contiguous',
                                 {'runs': _runs(means[name])}))
        elif unit == 'tied':
            reader = subject.sites[name].read_by
            both = means[name] + means[reader] if means[name].shape == means[reader].shape else (
                means[name])
            scores.append(Scores(name, unit, tied[name].mean(0), tied[name], 'contiguous',
                                 {'runs': _runs(both)}))
    return scores


def _runs(means: FloatArray) -> list[list[float]]:
    """Return for each length n of 1..L the distances d(l, n) of all starts l."""
    depth = len(means) - 1
    return [[float(means[start, start + n]) for start in range(depth - n + 1)]
            for n in range(1, depth + 1)]


CRITERION = Criterion('angular', 'keep', 'arXiv 2403.17887', measure, needs=('data',))
