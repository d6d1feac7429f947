# SPDX-License-Identifier: Apache-2.0
"""Stage 2: the vision-language model becomes a policy; the expert's actions by flow matching.

States come from still scenes, from demonstrations and from what the policy itself visited; the
label is always what the expert would do there (DAgger, arXiv 1011.0686). Grounding is rehearsed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
import torch
from torch import nn

from vla_drop_ros.reference import losses
from vla_drop_ros.reference.batches import Batch, make_batch, Source
from vla_drop_ros.reference.model import build_vla, Heads, Tap
from vla_drop_ros.reference.pretrain import grounding
from vla_drop_ros.reference.trainer import Trainer

WEIGHTS = {'flow': 1.0, 'guess': 1.0, 'words': 0.2, 'seen': 0.5, 'shift': 1.0, 'locate': 1.0,
           'place': 1.0, 'patch': 0.2, 'offset': 0.2, 'vector': 0.5}
FRAMES, REPEATS, DRAWS = 32, 2, 2
# One step in this many rehearses questions and answers.
REHEARSE = 10


def action_errors(vla: Any, batch: Batch) -> dict[str, float]:
    """Return the mean error of the first executed displacement [mm] and wrong gripper rate."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch.actions.shape, generator=generator)
    repeats = len(batch.ids) // len(batch.pixels)
    sampled = vla.sample_actions(
        state=batch.state, input_ids=batch.ids, attention_mask=batch.mask,
        pixel_values=batch.pixels.repeat_interleave(repeats, 0), noise=noise,
        pixel_attention_mask=torch.ones(len(batch.ids), batch.pixels.shape[1], dtype=torch.bool))
    scale = torch.tensor([18.0, 18.0, 24.0])
    error = ((sampled - batch.actions)[:, 0, :3] * scale).norm(dim=-1)
    grip = (sampled[:, :4, 3] > 0) != (batch.actions[:, :4, 3] > 0)
    return {'action_mm': float(error.mean()), 'gripper_wrong': float(grip.float().mean())}


def adapt(folder: Path, frames: Path, tokenizer: Tokenizer, vlm: Any, heads: Heads, steps: int,
          peak: float, seed: int, every: int, until: int | None = None) -> Any:
    """Train the policy up to step ``until`` (the end); return it, weights averaged."""
    torch.manual_seed(seed + 1)
    vla = build_vla(vlm)
    tap = Tap(vla.model.vlm.language_model)
    source = Source(frames, {'still': 0.5, 'demo': 0.2, 'visit': 0.3})
    check = make_batch(Source(frames, {'held': 1.0}), tokenizer, np.random.default_rng(0), 64,
                       REPEATS, 1.0, answers=False)
    trainer = Trainer({'model': vla, 'heads': heads}, folder, steps, peak, seed)

    def step(rng: np.random.Generator, index: int) -> losses.Parts:
        if index % 100 == 0:
            source.refresh()
        if index % REHEARSE == REHEARSE - 1:
            batch = make_batch(source, tokenizer, rng, FRAMES, REPEATS, 0.4)
            return losses.language(Rehearsal(vla), heads, tap, batch, REPEATS)
        batch = make_batch(source, tokenizer, rng, FRAMES, REPEATS, 1.0, answers=False)
        return losses.flow(vla, heads, tap, batch, REPEATS, DRAWS)

    def report(average: nn.ModuleDict) -> dict[str, float]:
        model: Any = average['model']
        return {**grounding(model.model.vlm, average['heads'], check, REPEATS),
                **action_errors(model, check)}

    trainer.run(step, WEIGHTS, every, report, until)
    return trainer.average['model']


class Rehearsal:
    """The language side of a VLA with the interface of the model it came from."""

    def __init__(self, vla: Any) -> None:
        """Tie the output words to the input words, as the vision-language model does."""
        self.model = vla.model.vlm
        self._words = vla.model.vlm.get_input_embeddings()

    def lm_head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits over the vocabulary, shape (..., V)."""
        return hidden @ self._words.weight.T
