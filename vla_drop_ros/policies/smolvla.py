# SPDX-License-Identifier: Apache-2.0
"""The SmolVLA family of lerobot behind the ``Policy`` protocol.

No modelling code lives here: lerobot's ``SmolVLAPolicy`` is used as it is, with lerobot's own way
to fit images. Statistics, words and cameras are the checkpoint's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
import torch

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.family import Inputs
from vla_drop_ros.families.smolvla import pixels, prefix_mask
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.model_policy import fit, load_warm, ModelPolicy, Prompts, widen
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.policies.prompt import pad_right
from vla_drop_ros.types import Observation

# Prompts are padded to a multiple of this, so that usual instructions share one traced graph.
_PROMPT_STEP = 16
_PAD_ID = 0  # any word: padding is masked


def load(folder: Path, device: str = 'auto', threads: int | None = None) -> ModelPolicy:
    """Return a verified, warmed-up policy; see ``load_warm``."""
    return load_warm(assemble, folder, device, threads)


def assemble(model: Any, manifest: Manifest, folder: Path) -> 'SmolVLAPolicy':
    """Return the policy of a model with what else its folder holds."""
    return SmolVLAPolicy(model, manifest, Tokenizer.from_file(str(folder / TOKENIZER_FILE)),
                         Normalization.load(folder / NORMALIZATION_FILE))


class SmolVLAPolicy(ModelPolicy):
    """A SmolVLA checkpoint that turns observations into action chunks; see ``Policy``."""

    def __init__(
        self, model: Any, manifest: Manifest, tokenizer: Tokenizer,
        normalization: Normalization, seed: int = 0,
    ) -> None:
        """Hold the parts; they must belong together, which ``load`` makes sure of."""
        super().__init__(model, manifest, normalization, seed)
        if model.config.adapt_to_pi_aloha:
            raise CheckpointError(
                f'checkpoint {manifest.name!r} has adapt_to_pi_aloha: joints that lerobot turns '
                'and bends before the model sees them, which is not supported')
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        unknown = getattr(tokenizer.model, 'unk_token', None)
        self._unknown = None if unknown is None else tokenizer.token_to_id(unknown)

    def examples(self) -> list[Observation]:
        """Return a short and a longer instruction about random pictures."""
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        return self.random_observations(max(vocabulary, key=lambda name: vocabulary[name]))

    def encode(self, observations: Sequence[Observation]) -> tuple[Inputs, list[int]]:
        """Return the model's inputs and the count of unknown words by observation.

        Returns:
            images (B, C, 3, H, W) in [-1, 1], input_ids and attention_mask (B, T), state
            (B, max_state_dim), prefix_mask (B, P) over all tokens of the language stack, and B
            counts.

        """
        (input_ids, attention_mask), counts = self.read(observations)
        images = torch.stack([pixels(self.model, np.stack([
            fit(one.images[key], size) for one in observations]))
            for key, size in self.cameras.items()], 1)
        states = self.normalization.state.normalize(
            np.stack([observation.state for observation in observations]))
        inputs = {'images': images, 'input_ids': input_ids, 'attention_mask': attention_mask,
                  'state': widen(states, self.model.config.max_state_dim),
                  'prefix_mask': prefix_mask(self.model, images, attention_mask)}
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}, counts

    def _prompts(self, texts: Sequence[str]) -> Prompts:
        """Return words, padded on the right, and 1 for what is no padding, shape (B, T).

        A line ends each, and what is longer than lerobot's limit is cut off, as lerobot does.
        """
        limit = self.model.config.tokenizer_max_length
        rows = [self._ids(text if text.endswith('\n') else f'{text}\n')[:limit] for text in texts]
        length = min(limit, -(-max(map(len, rows)) // _PROMPT_STEP) * _PROMPT_STEP)
        return pad_right(rows, length, _PAD_ID)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def _check_words(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""
        return self.count_unknown(observation, self._ids(observation.instruction), self._unknown,
                                  self.tokenizer.get_vocab())
