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
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import ObservationError
from vla_drop_ros.families.family import Inputs
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.model_policy import fit, ModelPolicy, torch_device, widen
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.policies.prompt import encode_instructions, pixels, UNKNOWN_ID, word_ids
from vla_drop_ros.types import Observation

# Prompts are padded to a multiple of this, so that usual instructions share one traced graph; a
# longer one runs untraced, since tracing takes seconds that a moving robot does not have.
_PROMPT_STEP = 16


def load(folder: Path, device: str = 'auto', threads: int | None = None) -> 'Pi0Policy':
    """Return a verified, warmed-up policy.

    Args:
        folder: checkpoint folder of family pi0.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``: the first GPU if there is one.
        threads: CPU threads of torch, for the whole process; None leaves them as they are.

    """
    if threads is not None:
        torch.set_num_threads(threads)
    target = torch_device(device)
    model, manifest = load_checkpoint(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    normalization = Normalization.load(folder / NORMALIZATION_FILE)
    policy = Pi0Policy(model.to(target), manifest, tokenizer, normalization)
    policy.warm_up()
    return policy


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
        rng = np.random.default_rng(self._seed)
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        word = max(vocabulary, key=lambda name: vocabulary[name])
        return [Observation(
            stamp=0.0,
            images={key: rng.integers(0, 256, (size.height, size.width, 3), np.uint8)
                    for key, size in self.cameras.items()},
            state=self.normalization.state.denormalize(
                rng.standard_normal(len(self.state_names))),
            instruction=' '.join([word] * words)) for words in (3, 9)]

    def encode(self, observations: Sequence[Observation]) -> tuple[Inputs, list[int]]:
        """Return the model's inputs and the count of unknown words by observation.

        Returns:
            input_ids and attention_mask (B, T), pixel_values (B, C, 3, H, W), state
            (B, max_state_dim), and B counts.

        """
        counts = [self._check_words(observation) for observation in observations]
        texts = [observation.instruction for observation in observations]
        longest = max(len(word_ids(self.tokenizer, text)) for text in texts) + 1
        padded = self._image_tokens + -(-longest // _PROMPT_STEP) * _PROMPT_STEP
        input_ids, attention_mask = encode_instructions(
            self.tokenizer, texts, self._image_tokens, padded)
        images = np.stack([
            [fit(observation.images[key], size) for key, size in self.cameras.items()]
            for observation in observations])
        states = self.normalization.state.normalize(
            np.stack([observation.state for observation in observations]))
        inputs = {'input_ids': input_ids, 'attention_mask': attention_mask,
                  'pixel_values': pixels(images),
                  'state': widen(states, self.model.config.max_state_dim)}
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}, counts

    def _check_words(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""
        self.check(observation)
        ids = word_ids(self.tokenizer, observation.instruction)
        count = ids.count(UNKNOWN_ID)
        if count == len(ids):
            raise ObservationError(
                f'no word of the instruction {observation.instruction!r} is known to checkpoint '
                f'{self.checkpoint}; try words such as '
                f'{", ".join(sorted(self.tokenizer.get_vocab())[-5:])}')
        return count
