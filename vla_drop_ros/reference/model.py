# SPDX-License-Identifier: Apache-2.0
"""The reference architecture: the PI0 classes of transformers at small size, and training heads.

The heads (pointing, offsets, a direct guess at the actions) shape the features during training
and are dropped before a checkpoint is written.
"""

from itertools import chain
from typing import Any

from tokenizers import Tokenizer
import torch
from torch import nn
from transformers import (
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PI0Config,
    PI0ForConditionalGeneration,
)

from vla_drop_ros.policies.prompt import build_tokenizer, IMAGE_ID, PAD_ID
from vla_drop_ros.reference.frames import IMAGE_SIZE
from vla_drop_ros.simulation.environment import POLICY_CAMERAS
from vla_drop_ros.simulation.tasks import COLOR_NAMES, KIND_NAMES, PHRASES

PATCH = 16
PATCHES = (IMAGE_SIZE // PATCH) ** 2
IMAGE_TOKENS = PATCHES * len(POLICY_CAMERAS)
WIDTH, EXPERT_WIDTH, HEADS, HEAD_DIM = 128, 96, 4, 32
VISION_BLOCKS, LANGUAGE_BLOCKS = 6, 8
CHUNK, EXECUTED, DENOISE_STEPS, ACTION_DIM, STATE_DIM = 8, 4, 4, 4, 4
LOCATION_BINS = 40
THINGS = len(COLOR_NAMES) + 1
# Dense heads read the output of this block: what it says, the later blocks' keys can carry.
DENSE_BLOCK = 5
QUESTION_WORDS = (
    'behind', 'bin', 'closest', 'describe', 'front', 'gripper', 'held', 'holding', 'in', 'is',
    'left', 'no', 'nothing', 'object', 'of', 'point', 'right', 'the', 'to', 'what', 'where', 'yes')


def location(value: float) -> str:
    """Return the word for a coordinate in [0, 1]."""
    return f'loc{min(max(int(value * LOCATION_BINS), 0), LOCATION_BINS - 1):02d}'


def vocabulary() -> Tokenizer:
    """Return the tokenizer of the reference models."""
    phrases = chain.from_iterable(PHRASES.values())
    words = {word for phrase in phrases for word in phrase.split() if '{' not in word}
    locations = [f'loc{index:02d}' for index in range(LOCATION_BINS)]
    return build_tokenizer(
        [*words, *QUESTION_WORDS, *COLOR_NAMES, *KIND_NAMES, 'object', *locations])


def vlm_config(vocabulary_size: int) -> PaliGemmaConfig:
    """Return the configuration of the vision-language model."""
    return PaliGemmaConfig(
        text_config={
            'model_type': 'gemma', 'hidden_size': WIDTH, 'num_hidden_layers': LANGUAGE_BLOCKS,
            'intermediate_size': 2 * WIDTH, 'num_attention_heads': HEADS,
            'num_key_value_heads': 1, 'head_dim': HEAD_DIM, 'vocab_size': vocabulary_size,
            'pad_token_id': PAD_ID, 'max_position_embeddings': 512,
            'use_bidirectional_attention': True},
        vision_config={
            'model_type': 'siglip_vision_model', 'hidden_size': WIDTH,
            'intermediate_size': 2 * WIDTH, 'num_hidden_layers': VISION_BLOCKS,
            'num_attention_heads': HEADS, 'image_size': IMAGE_SIZE, 'patch_size': PATCH,
            'vision_use_head': False, 'vocab_size': vocabulary_size},
        projection_dim=WIDTH, image_token_id=IMAGE_ID, pad_token_id=PAD_ID)


def build_vlm(tokenizer: Tokenizer) -> PaliGemmaForConditionalGeneration:
    """Return the vision-language model with random weights."""
    model = PaliGemmaForConditionalGeneration(vlm_config(tokenizer.get_vocab_size()))
    # SigLIP's own initialisation is for pretrained use; from nothing a plain small one trains.
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and 'norm' not in name:
            nn.init.normal_(parameter, std=0.04 if 'embed' in name else 0.06)
    return model


def build_vla(vlm: PaliGemmaForConditionalGeneration) -> PI0ForConditionalGeneration:
    """Return the VLA that continues from ``vlm``, its action expert with random weights."""
    config = PI0Config(
        vlm_config=vlm.config.to_dict(),
        dit_config={
            'model_type': 'gemma', 'hidden_size': EXPERT_WIDTH,
            'num_hidden_layers': LANGUAGE_BLOCKS, 'intermediate_size': 2 * EXPERT_WIDTH,
            'num_attention_heads': HEADS, 'num_key_value_heads': 1, 'head_dim': HEAD_DIM},
        chunk_size=CHUNK, max_state_dim=STATE_DIM, max_action_dim=ACTION_DIM,
        num_inference_steps=DENOISE_STEPS)
    model = PI0ForConditionalGeneration(config)
    for name, parameter in chain(model.model.dit.named_parameters(),
                                 model.embed_action_time.named_parameters()):
        if parameter.dim() >= 2 and 'norm' not in name:
            nn.init.normal_(parameter, std=0.06)
    model.model.vlm.load_state_dict(vlm.model.state_dict())
    return model


class Heads(nn.Module):
    """Training heads on vision, on language features and on the expert's state token."""

    def __init__(self) -> None:
        """Roles: the object to move and the place it goes to; things: colours, then the tool."""
        super().__init__()
        self.detect = nn.Linear(WIDTH, 3 * THINGS)
        self.locate = nn.Linear(WIDTH, 3 * THINGS)
        self.place = nn.Linear(WIDTH, 6)
        self.point = nn.Linear(WIDTH, 2)
        self.offset = nn.Linear(WIDTH, 4)
        self.vector = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 6))
        self.guess = nn.Linear(EXPERT_WIDTH, CHUNK * ACTION_DIM)


class Tap:
    """Keep the output of one language block of the last forward."""

    def __init__(self, language_model: Any) -> None:
        """Listen to block ``DENSE_BLOCK``."""
        self.features: torch.Tensor | None = None
        self._handle = language_model.layers[DENSE_BLOCK].register_forward_hook(self._keep)

    def close(self) -> None:
        """Stop listening."""
        self._handle.remove()

    def _keep(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self.features = output[0] if isinstance(output, tuple) else output


def image_features(paligemma: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Return what the language model is given of pictures (F, C, 3, H, W): (F, C * P, WIDTH)."""
    features = paligemma.get_image_features(pixels.flatten(0, 1)).pooler_output
    return features.reshape(len(pixels), IMAGE_TOKENS, -1)


def prompt_embeddings(paligemma: Any, features: torch.Tensor, ids: torch.Tensor, repeats: int,
                      ) -> torch.Tensor:
    """Return prompt embeddings; every picture serves ``repeats`` consecutive prompts.

    Args:
        paligemma: the PaliGemmaModel.
        features: of the pictures, shape (F, IMAGE_TOKENS, WIDTH).
        ids: shape (F * repeats, T), image tokens first.
        repeats: prompts a frame.

    """
    features = features.repeat_interleave(repeats, 0)
    words = paligemma.get_input_embeddings()(ids[:, IMAGE_TOKENS:])
    return torch.cat([features.to(words.dtype), words], 1)
