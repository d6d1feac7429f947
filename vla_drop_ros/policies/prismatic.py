# SPDX-License-Identifier: Apache-2.0
"""The prismatic family behind the ``Policy`` protocol: no flow, so the noise changes nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
import torch

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.family import Inputs
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.model_policy import fit, load_warm, ModelPolicy, Prompts, widen
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.policies.prompt import pad_right, SPECIAL_TOKENS, UNKNOWN
from vla_drop_ros.types import CameraSpec, Observation

PROMPT = 'In: What action should the robot take to {}?\nOut:'
# Prompts are padded to a multiple of this, with room for as many tokens of an instruction, so that
# usual ones share one traced graph; a longer one runs untraced.
_PROMPT_STEP = 16
# Mean and deviation of what each tower was trained on: ImageNet, and [-1, 1].
_TOWERS = {
    'dino': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'siglip': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}


def load(folder: Path, device: str = 'auto', threads: int | None = None) -> ModelPolicy:
    """Return a verified, warmed-up policy; see ``load_warm``."""
    return load_warm(assemble, folder, device, threads)


def assemble(model: Any, manifest: Manifest, folder: Path) -> 'PrismaticPolicy':
    """Return the policy of a model with what else its folder holds."""
    return PrismaticPolicy(model, manifest, Tokenizer.from_file(str(folder / TOKENIZER_FILE)),
                           Normalization.load(folder / NORMALIZATION_FILE))


class PrismaticPolicy(ModelPolicy):
    """A prismatic checkpoint that turns observations into action chunks; see ``Policy``."""

    def __init__(
        self, model: Any, manifest: Manifest, tokenizer: Tokenizer,
        normalization: Normalization, seed: int = 0,
    ) -> None:
        """Hold the parts; they must belong together, which ``load`` makes sure of."""
        super().__init__(model, manifest, normalization, seed)
        self.tokenizer = tokenizer
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        added = tokenizer.get_added_tokens_decoder()
        self._special = {index for index, token in added.items() if token.special} | {
            vocabulary[word] for word in SPECIAL_TOKENS if word in vocabulary}
        self._unknown = vocabulary.get(UNKNOWN)
        self._usual = 1 + len(self._ids(PROMPT)) + _PROMPT_STEP

    def _check_sizes(self) -> None:
        """Refuse a model that is shown less of the state than there is."""
        super()._check_sizes()
        shown = self.model.config.state_dim
        if 0 < shown < len(self.state_names):
            raise CheckpointError(
                f'checkpoint {self.manifest.name!r} contradicts itself: state_dim {shown} is less '
                f'than the state {list(self.state_names)}')

    def examples(self) -> list[Observation]:
        """Return a short and a longer instruction about random pictures."""
        words = {index: word for word, index in self.tokenizer.get_vocab().items()
                 if index not in self._special}
        return self.random_observations(words[max(words)])

    def encode(self, observations: Sequence[Observation]) -> tuple[Inputs, list[int]]:
        """Return the model's inputs and the count of unknown words by observation.

        Returns:
            input_ids (B, P), attention_mask (B, T) of the whole sequence, dino_pixels and
            siglip_pixels (B, C, 3, H, W), state (B, state_dim) if the model has one, and B counts.

        """
        (input_ids, words), counts = self.read(observations)
        inputs = {'input_ids': input_ids,
                  'attention_mask': self.model.sequence_mask(words, len(self.cameras))}
        for name in _TOWERS:
            inputs[f'{name}_pixels'] = torch.stack([
                torch.stack([self._pixels(name, observation.images[key]) for key in self.cameras])
                for observation in observations])
        if self.model.config.state_dim:
            inputs['state'] = widen(self.normalization.state.normalize(
                np.stack([one.state for one in observations])), self.model.config.state_dim)
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}, counts

    def _prompts(self, texts: Sequence[str]) -> Prompts:
        """Return BOS and words padded on the right, and 1 for what is no padding, (B, P)."""
        config = self.model.config.text_config
        prompts = [[config.bos_token_id, *self._ids(PROMPT.format(text.lower()))]
                   for text in texts]
        longest = max(self._usual, *map(len, prompts))
        length = -(-longest // _PROMPT_STEP) * _PROMPT_STEP
        return pad_right(prompts, length, config.pad_token_id or 0)

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a text; what spells a special token is unknown, or left out."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        known = [self._unknown if index in self._special else index for index in ids]
        return [index for index in known if index is not None]

    def _pixels(self, tower: str, image: Any) -> torch.Tensor:
        """Return an image as a tower was trained on it, shape (3, H, W)."""
        side = getattr(self.model.config, f'{tower}_config').image_size
        mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in _TOWERS[tower])
        pixels = torch.as_tensor(fit(image, CameraSpec(side, side))).movedim(-1, 0) / 255.0
        return (pixels - mean) / deviation

    def _check_words(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""
        return self.count_unknown(observation, self._ids(observation.instruction.lower()),
                                  self._unknown, self.tokenizer.get_vocab())
