# SPDX-License-Identifier: Apache-2.0
"""The pi0 family of transformers behind the ``Policy`` protocol.

No modelling code lives here: ``PI0ForConditionalGeneration`` is used as it is, for inference as
one traced graph.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from vla_drop_ros.families.family import Inputs
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.model_policy import fit, load_warm, ModelPolicy, Prompts, widen
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.policies.prompt import encode_instructions, pixels, UNKNOWN_ID, word_ids
from vla_drop_ros.types import Observation

# Prompts are padded to a multiple of this, so that usual instructions share one traced graph; a
# longer one runs untraced, since tracing takes seconds that a moving robot does not have.
_PROMPT_STEP = 16


def load(folder: Path, device: str = 'auto', threads: int | None = None) -> ModelPolicy:
    """Return a verified, warmed-up policy; see ``load_warm``."""
    return load_warm(assemble, folder, device, threads)


def assemble(model: Any, manifest: Manifest, folder: Path) -> 'Pi0Policy':
    """Return the policy of a model with what else its folder holds."""
    return Pi0Policy(model, manifest, Tokenizer.from_file(str(folder / TOKENIZER_FILE)),
                     Normalization.load(folder / NORMALIZATION_FILE))


class Pi0Policy(ModelPolicy):
    """A pi0 checkpoint that turns observations into action chunks; see ``Policy``."""

    def __init__(
        self, model: Any, manifest: Manifest, tokenizer: Tokenizer,
        normalization: Normalization, seed: int = 0,
    ) -> None:
        """Hold the parts; they must belong together, which ``load`` makes sure of."""
        super().__init__(model, manifest, normalization, seed)
        self.tokenizer = tokenizer
        vision = model.config.vlm_config.vision_config
        self._image_tokens = len(self.cameras) * (vision.image_size // vision.patch_size) ** 2

    def examples(self) -> list[Observation]:
        """Return a short and a longer instruction about random pictures."""
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        return self.random_observations(max(vocabulary, key=lambda name: vocabulary[name]))

    def encode(self, observations: Sequence[Observation]) -> tuple[Inputs, list[int]]:
        """Return the model's inputs and the count of unknown words by observation.

        Returns:
            input_ids and attention_mask (B, T), pixel_values (B, C, 3, H, W), state
            (B, max_state_dim), and B counts.

        """
        (input_ids, attention_mask), counts = self.read(observations)
        images = np.stack([
            [fit(observation.images[key], size) for key, size in self.cameras.items()]
            for observation in observations])
        states = self.normalization.state.normalize(
            np.stack([observation.state for observation in observations]))
        inputs = {'input_ids': input_ids, 'attention_mask': attention_mask,
                  'pixel_values': pixels(images),
                  'state': widen(states, self.model.config.max_state_dim)}
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}, counts

    def _prompts(self, texts: Sequence[str]) -> Prompts:
        """Return image tokens, words and separator, padded, and 1 for a token, (B, T)."""
        longest = max(len(word_ids(self.tokenizer, text)) for text in texts) + 1
        padded = self._image_tokens + -(-longest // _PROMPT_STEP) * _PROMPT_STEP
        return encode_instructions(self.tokenizer, texts, self._image_tokens, padded)

    def _check_words(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""
        return self.count_unknown(observation, word_ids(self.tokenizer, observation.instruction),
                                  UNKNOWN_ID, self.tokenizer.get_vocab())
