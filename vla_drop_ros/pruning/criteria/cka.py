# SPDX-License-Identifier: Apache-2.0
"""CKA twin layers: a block whose output looks like its input is the twin of the one before.

    s_l = CKA(H_{l-1}, H_l),    centred, linear

(Finetuning VLAs Requires Fewer Layers, arXiv 2606.20246, Algorithm 1: blocks with s_l >= tau form
clusters, the first of each is kept, and of the pool of the others the top k go; tau is the largest
for which the pool holds k.) Rows are valid tokens pooled over all samples, at most ``TOKENS`` a
sample; the estimator is unbiased, see ``similarity.py``. ``extra`` has what the published code
would have found: biased, per sample over its tokens, padding included. Higher means drop.
"""

import numpy as np
import torch

from vla_drop_ros.pruning.activations import Recorder, rows_mask
from vla_drop_ros.pruning.criterion import Criterion, Scores, Subject
from vla_drop_ros.pruning.similarity import Alignment, published
from vla_drop_ros.types import FloatArray

TOKENS = 64  # rows that a sample gives


class _Twins:
    """What is summed up for the blocks of one stack."""

    def __init__(self, depth: int) -> None:
        self.alignments = [Alignment() for _ in range(depth)]
        self.published: list[list[float]] = [[] for _ in range(depth)]

    def add(self, states: list[torch.Tensor], mask: torch.Tensor | None, samples: int,
            rng: np.random.Generator) -> None:
        """Add a batch: states (R, T, D) before each block and behind the last."""
        valid = rows_mask(mask, states[0]).reshape(samples, -1).cpu().numpy()
        picked = []
        for sample, row in enumerate(valid):
            tokens = np.flatnonzero(row)
            chosen = np.sort(rng.permutation(tokens)[:TOKENS])
            picked.append(sample * valid.shape[1] + chosen)
        rows = torch.from_numpy(np.concatenate(picked)).to(states[0].device)
        flat = [state.reshape(-1, state.shape[-1]) for state in states]
        for index, alignment in enumerate(self.alignments):
            alignment.add(flat[index][rows], flat[index + 1][rows])
            self.published[index] += [
                published(one, other)
                for one, other in zip(states[index], states[index + 1], strict=True)]


def measure(subject: Subject) -> list[Scores]:
    """Score blocks and ties."""
    rng, twins = np.random.default_rng([subject.seed, 2]), {
        name: _Twins(len(stack)) for name, stack in subject.stacks.items()}
    for batch in subject.each():
        masks = subject.family.masks(batch.inputs)
        with torch.no_grad(), Recorder(subject.family, subject.model) as recorder:
            subject.family.loss(subject.model, batch)
        for name, inputs in recorder.inputs.items():
            for call in range(len(inputs[0])):
                twins[name].add([states[call] for states in inputs], masks.get(name),
                                len(batch), rng)
    values = {name: np.array([one.value() for one in found.alignments])
              for name, found in twins.items()}
    terms = {name: np.array([one.batches for one in found.alignments]).transpose(1, 0, 2)
             for name, found in twins.items()}
    tied = {name: both / 2 for name, both in subject.tie(values).items()}
    scores = []
    for name, unit in subject.block_units():
        if unit == 'block':
            biased = [one.value(biased=True) for one in twins[name].alignments]
            notebook = [float(np.nanmean(found)) for found in twins[name].published]
            scores.append(Scores(name, unit, values[name], _replicates(terms[name]), 'twins',
                                 {'biased': biased, 'published': notebook}))
        elif unit == 'tied':
            reader = subject.sites[name].read_by
            replicates = subject.tie({
                **{other: _replicates(terms[other]) for other in (name, reader)}})[name] / 2
            scores.append(Scores(name, unit, tied[name], replicates, 'twins'))
    return scores


def _replicates(terms: FloatArray) -> FloatArray:
    """Return CKA of each batch alone, shape (batches, L); what the intervals resample.

    Args:
        terms: unbiased HSIC of x with y, x with x, y with y, shape (batches, L, 3).

    """
    cross, first, second = np.moveaxis(terms, 2, 0)
    scale = np.sqrt(np.where((first > 0) & (second > 0), first * second, np.nan))
    found: FloatArray = cross / scale
    return found


CRITERION = Criterion('cka', 'drop', 'arXiv 2606.20246, Algorithm 1', measure, needs=('data',))
