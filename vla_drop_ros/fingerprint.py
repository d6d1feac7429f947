# SPDX-License-Identifier: Apache-2.0
"""What a model answers to one fixed input: the last proof that the right weights were loaded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vla_drop_ros.errors import CheckpointError

SEED = 20260627
WORDS = 6           # instruction tokens of the fixed prompt
VALUES = 32         # numbers kept
TOLERANCE = 1e-3    # relative to the largest value; another CPU or torch rounds differently


def _prompt(vlm: Any, cameras: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input_ids (1, T) and pixel_values (1, cameras, 3, H, W), pseudo-random but fixed."""
    generator = np.random.default_rng(SEED)
    vision = vlm.vision_config
    images = cameras * (vision.image_size // vision.patch_size) ** 2
    words = [int(word) for word in generator.integers(0, vlm.text_config.vocab_size, WORDS)]
    words = [(word + 1) % vlm.text_config.vocab_size if word == vlm.image_token_id else word
             for word in words]
    shape = (1, cameras, 3, vision.image_size, vision.image_size)
    values = torch.from_numpy(generator.uniform(-1, 1, shape)).float()
    return torch.tensor([[vlm.image_token_id] * images + words]), values


@torch.no_grad()
def measure(model: Any, cameras: int) -> dict[str, Any]:
    """Return the fingerprint of a model on the CPU in float32.

    Args:
        model: ``PI0ForConditionalGeneration`` (the chunk is measured) or
            ``PaliGemmaForConditionalGeneration`` (the logits of the last word).
        cameras: images in its prompt.

    """
    config = model.config
    vlm = getattr(config, 'vlm_config', config)
    input_ids, pixel_values = _prompt(vlm, cameras)
    mask = torch.ones_like(input_ids)
    if hasattr(config, 'vlm_config'):
        generator = np.random.default_rng(SEED + 1)
        state = torch.from_numpy(generator.standard_normal((1, config.max_state_dim))).float()
        noise = torch.from_numpy(generator.standard_normal(
            (1, config.chunk_size, config.max_action_dim))).float()
        output = model.sample_actions(
            state=state, input_ids=input_ids, pixel_values=pixel_values, noise=noise,
            attention_mask=mask, pixel_attention_mask=torch.ones((1, cameras), dtype=torch.bool))
    else:
        output = model(
            input_ids=input_ids, pixel_values=pixel_values.flatten(0, 1), attention_mask=mask,
            position_ids=mask.cumsum(-1) - 1, token_type_ids=torch.zeros_like(mask)).logits[:, -1]
    flat = output.flatten()
    picked = np.random.default_rng(SEED + 2).permutation(flat.numel())[:VALUES]
    return {'seed': SEED, 'tolerance': TOLERANCE,
            'values': [float(flat[int(index)]) for index in picked]}


def check(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise CheckpointError if two fingerprints differ by more than the expected's tolerance."""
    if expected.get('seed') != found['seed'] or not expected.get('values'):
        raise CheckpointError(
            f'the fingerprint in the manifest (seed {expected.get("seed")}) is not one that this '
            f'version computes (seed {found["seed"]}); write the folder again')
    want, got = np.asarray(expected['values']), np.asarray(found['values'])
    limit = expected.get('tolerance', TOLERANCE) * max(1.0, float(np.abs(want).max()))
    if want.shape != got.shape or not np.abs(want - got).max() <= limit:
        worst = float(np.abs(want - got).max()) if want.shape == got.shape else float('nan')
        raise CheckpointError(
            f'the model answers a fixed input differently than when it was saved (by {worst:.3g}, '
            f'allowed {limit:.3g}): weights or library do not match the manifest')
