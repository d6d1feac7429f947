# SPDX-License-Identifier: Apache-2.0
"""Tiny random checkpoints for the tests that need one: real classes, a few thousand numbers."""

from collections.abc import Callable
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.types import ActionSpec, CameraSpec, Observation

# MuJoCo chooses how to render when it is imported, by whichever test comes first.
os.environ.setdefault('MUJOCO_GL', 'egl')

WORDS = ('put', 'the', 'red', 'blue', 'cube', 'in', 'left', 'right', 'bin')
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')
NORMALIZATION = {
    'state': {'mean': [0.4, 0.0, 0.2, 0.04], 'std': [0.1, 0.2, 0.1, 0.03]},
    'action': {'mean': [0.0, 0.0, 0.0, 0.04], 'std': [0.01, 0.01, 0.01, 0.03]},
}


def _configs(vocabulary: int, language: int, vision: int) -> tuple[dict[str, Any], dict[str, Any]]:
    gemma = {
        'model_type': 'gemma', 'num_hidden_layers': language, 'num_attention_heads': 2,
        'num_key_value_heads': 1, 'head_dim': 8, 'vocab_size': vocabulary, 'pad_token_id': 0}
    vlm = {
        'model_type': 'paligemma', 'image_token_id': 2, 'projection_dim': 16, 'hidden_size': 16,
        'text_config': {**gemma, 'hidden_size': 16, 'intermediate_size': 32},
        'vision_config': {
            'model_type': 'siglip_vision_model', 'hidden_size': 16, 'intermediate_size': 32,
            'num_hidden_layers': vision, 'num_attention_heads': 2, 'image_size': 20,
            'patch_size': 10, 'vision_use_head': False}}
    return vlm, {**gemma, 'hidden_size': 12, 'intermediate_size': 24}


@pytest.fixture(scope='session')
def tiny_model() -> Callable[..., Any]:
    """Return a maker of random models: (family, language blocks, vision blocks) -> model."""
    torch = pytest.importorskip('torch')
    transformers = pytest.importorskip('transformers')

    def make(family: str = 'pi0', language: int = 4, vision: int = 3) -> Any:
        torch.manual_seed(7)
        vlm, expert = _configs(len(WORDS) + 5, language, vision)
        if family == 'pi0':
            model = transformers.PI0ForConditionalGeneration(transformers.PI0Config(
                vlm_config=vlm, dit_config=expert, chunk_size=4, max_state_dim=4,
                max_action_dim=4, num_inference_steps=2))
        else:
            model = transformers.PaliGemmaForConditionalGeneration(
                transformers.PaliGemmaConfig(**vlm))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return model.eval()

    return make


@pytest.fixture(scope='session')
def write_tiny(tiny_model: Callable[..., Any]) -> Callable[..., Any]:
    """Return a maker of tiny checkpoint folders: (folder, family, …) -> manifest."""
    from vla_drop_ros.checkpoint import save_checkpoint
    from vla_drop_ros.policies.prompt import build_tokenizer

    def write(folder: Path, family: str = 'pi0', **fields: Any) -> Any:
        spec = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 2)
        return save_checkpoint(
            folder, tiny_model(family), build_tokenizer(WORDS), NORMALIZATION, **{
                'name': f'tiny-{family}', 'action_spec': spec if family == 'pi0' else None,
                'cameras': {'front': CameraSpec(20, 20), 'wrist': CameraSpec(20, 20)},
                'state_names': STATE_NAMES, **fields})

    return write


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, write_tiny: Callable[..., Any]) -> Path:
    """Return the folder of a fresh tiny pi0 checkpoint that the test may damage."""
    folder = tmp_path / 'tiny'
    write_tiny(folder)
    return folder


@pytest.fixture
def observe() -> Callable[..., Observation]:
    """Return a maker of observations for the tiny checkpoint: (seed, instruction) -> it."""
    def make(seed: int = 0, instruction: str = 'put the red cube in the left bin',
             size: int = 20) -> Observation:
        generator = np.random.default_rng(seed)
        images = {key: generator.integers(0, 256, (size, size, 3), np.uint8)
                  for key in ('front', 'wrist')}
        return Observation(1.5 + seed, images, generator.uniform(0.0, 0.4, 4), instruction)

    return make
