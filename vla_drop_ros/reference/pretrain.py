# SPDX-License-Identifier: Apache-2.0
"""Stage 1: the vision-language model learns to point, relate and describe on rendered scenes."""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
import torch
from torch import nn

from vla_drop_ros.reference import losses
from vla_drop_ros.reference.batches import Batch, make_batch, Source
from vla_drop_ros.reference.model import (
    build_vlm,
    Heads,
    image_features,
    IMAGE_TOKENS,
    PATCHES,
    prompt_embeddings,
    Tap,
)
from vla_drop_ros.reference.trainer import Trainer

WEIGHTS = {'words': 0.5, 'seen': 3.0, 'shift': 2.0, 'locate': 2.0, 'place': 1.0, 'patch': 0.5,
           'offset': 0.5, 'vector': 1.0}
FRAMES, REPEATS = 32, 2


def grounding(paligemma: Any, heads: Heads, batch: Batch, repeats: int) -> dict[str, float]:
    """Return held-out errors of instructions: target error [mm], wrong-patch rates.

    ``paligemma`` must be free of other taps' use; answers in the batch are not needed.
    """
    tap = Tap(paligemma.language_model)
    with torch.no_grad():
        shown = image_features(paligemma, batch.pixels)
        detected = losses.detection(heads, shown, batch)
        paligemma(inputs_embeds=prompt_embeddings(paligemma, shown, batch.ids, repeats),
                  attention_mask=batch.mask, token_type_ids=batch.types, use_cache=False)
        features = tap.features
        tap.close()
        assert features is not None  # noqa: S101 - the forward above fills it
        guess = heads.vector(features[torch.arange(len(features)), batch.last])
        error = 100 * (guess - batch.vector).unflatten(1, (2, 3)).norm(dim=-1)
        image = features[:, :IMAGE_TOKENS].unflatten(1, (-1, PATCHES))
        right = heads.point(image).argmax(2) == batch.patch
    known = batch.patch >= 0
    medians = error.median(0).values
    return {'target_mm': float(medians[0]), 'place_mm': float(medians[1]),
            'target_far': float((error[:, 0] > 40).float().mean()),
            'held_seen': float(detected['seen']), 'held_shift': float(detected['shift']),
            'patch_wrong': float(1 - right[:, 0, 0][known[:, 0, 0]].float().mean())}


def pretrain(folder: Path, frames: Path, tokenizer: Tokenizer, steps: int, vision_steps: int,
             peak: float, seed: int, every: int) -> tuple[Any, Heads]:
    """Train the vision-language model; return it and its heads, weights averaged.

    The first ``vision_steps`` train the vision tower alone to say what is in which patch: cheap,
    and nothing can be named that is not seen.
    """
    torch.manual_seed(seed)
    vlm, heads = build_vlm(tokenizer), Heads()
    tap = Tap(vlm.model.language_model)
    source, held = Source(frames, {'still': 1.0}), Source(frames, {'held': 1.0})
    check = make_batch(held, tokenizer, np.random.default_rng(0), 64, REPEATS, 1.0, answers=False)
    trainer = Trainer({'model': vlm, 'heads': heads}, folder, steps, peak, seed)

    def step(rng: np.random.Generator, index: int) -> losses.Parts:
        if index % 200 == 0:
            source.refresh()
        if index < vision_steps:
            batch = make_batch(source, tokenizer, rng, 2 * FRAMES, 1, 1.0, answers=False)
            return losses.detection(heads, image_features(vlm.model, batch.pixels), batch)
        batch = make_batch(source, tokenizer, rng, FRAMES, REPEATS, 0.6)
        return losses.language(vlm, heads, tap, batch, REPEATS)

    def report(average: nn.ModuleDict) -> dict[str, float]:
        model: Any = average['model']
        return grounding(model.model, average['heads'], check, REPEATS)

    trainer.run(step, WEIGHTS, every, report)
    return trainer.average['model'], trainer.average['heads']
