# SPDX-License-Identifier: Apache-2.0
"""The pi0 family of transformers behind the ``Policy`` protocol.

No modelling code lives here: ``PI0ForConditionalGeneration`` is used as it is, for inference as
one traced graph, which gives the same numbers without the interpreter's overhead.
"""

from collections.abc import Callable, Mapping, Sequence
import logging
from pathlib import Path
import time
from typing import Any
import warnings

import numpy as np
from tokenizers import Tokenizer
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, ObservationError, unknown
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.policies.prompt import (
    build_tokenizer,
    encode_instructions,
    pixels,
    UNKNOWN_ID,
    word_ids,
)
from vla_drop_ros.types import ActionChunk, CameraSpec, FloatArray, ImageArray, Observation

__all__ = ['Pi0Policy', 'build_tokenizer', 'encode_instructions', 'fit', 'load', 'pixels']

_LOG = logging.getLogger(__name__)
# Prompts are padded to a multiple of this, so that usual instructions share one traced graph; a
# longer one runs untraced, since tracing takes seconds that a moving robot does not have.
_PROMPT_STEP = 16
_TRACE_TOLERANCE = 1e-4
Sampler = Callable[..., torch.Tensor]


def load(folder: Path, device: str = 'auto', threads: int | None = None) -> 'Pi0Policy':
    """Return a verified, warmed-up policy.

    Args:
        folder: checkpoint folder of family pi0.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``: the first GPU if there is one.
        threads: CPU threads of torch, for the whole process; None leaves them as they are.

    """
    if threads is not None:
        torch.set_num_threads(threads)
    target = _device(device)
    model, manifest = load_checkpoint(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    normalization = Normalization.load(folder / NORMALIZATION_FILE)
    policy = Pi0Policy(model.to(target), manifest, tokenizer, normalization)
    policy.warm_up()
    return policy


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise CheckpointError(unknown('device', name, ['auto', 'cpu', 'cuda'])) from None
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise CheckpointError(f'device {name!r}: this torch sees no GPU; use auto or cpu')
    return device


def fit(image: ImageArray, size: CameraSpec) -> ImageArray:
    """Return the image at the size of the checkpoint's camera, shape (height, width, 3).

    The middle of the image with the right aspect ratio is kept and resampled with antialiasing:
    shapes are never stretched.
    """
    height, width = image.shape[:2]
    if (height, width) == (size.height, size.width):
        return image
    scale = min(height / size.height, width / size.width)
    rows, columns = round(size.height * scale), round(size.width * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    crop = torch.tensor(image[top:top + rows, left:left + columns]).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        crop.float(), (size.height, size.width), mode='bilinear', antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()


class Pi0Policy:
    """A pi0 checkpoint that turns observations into action chunks; see ``Policy``."""

    def __init__(
        self, model: Any, manifest: Manifest, tokenizer: Tokenizer,
        normalization: Normalization, seed: int = 0,
    ) -> None:
        """Hold the parts; they must belong together, which ``load`` makes sure of."""
        if manifest.action_spec is None:
            raise CheckpointError(
                f'checkpoint {manifest.name!r} has the role {manifest.role!r} and cannot act; '
                'give one with the role vla')
        self.spec = manifest.action_spec
        self.cameras: Mapping[str, CameraSpec] = manifest.cameras
        self.state_names = manifest.state_names
        self.checkpoint = manifest.short
        self.manifest = manifest
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.normalization = normalization
        self._seed = seed
        self._traced: dict[int, Sampler] = {}
        vision = model.config.vlm_config.vision_config
        self._image_tokens = len(self.cameras) * (vision.image_size // vision.patch_size) ** 2
        self._check_sizes()
        self.reset()

    def _check_sizes(self) -> None:
        """Refuse statistics or a configuration that do not fit the action and state."""
        config = self.model.config
        found = {
            'state statistics': (self.normalization.state.mean.size, len(self.state_names)),
            'action statistics': (self.normalization.action.mean.size, len(self.spec.names)),
            'chunk_size': (config.chunk_size, self.spec.chunk_length),
        }
        wrong = [f'{name} {got} (manifest: {want})'
                 for name, (got, want) in found.items() if got != want]
        if config.max_state_dim < len(self.state_names):
            wrong.append(f'max_state_dim {config.max_state_dim} is less than the state')
        if config.max_action_dim < len(self.spec.names):
            wrong.append(f'max_action_dim {config.max_action_dim} is less than the action')
        if wrong:
            raise CheckpointError(
                f'checkpoint {self.manifest.name!r} contradicts itself: {"; ".join(wrong)}')

    def reset(self) -> None:
        """Forget the past: the next noise is the first again."""
        self._noise = np.random.default_rng(self._seed)

    def close(self) -> None:
        """Free the memory; the policy cannot be used afterwards."""
        self._traced.clear()
        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def warm_up(self) -> None:
        """Trace the sampler for prompts of usual length and run it until it is fast.

        The trace is compared with the plain sampler on inputs that it was not made from, and is
        trusted only if it agrees.
        """
        generator = np.random.default_rng(self._seed)
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        word = max(vocabulary, key=lambda name: vocabulary[name])
        shape = (1, self.spec.chunk_length, len(self.spec.names))
        inputs, others = (
            self.prepare([Observation(
                stamp=0.0,
                images={key: generator.integers(0, 256, (size.height, size.width, 3), np.uint8)
                        for key, size in self.cameras.items()},
                state=self.normalization.state.denormalize(
                    generator.standard_normal(len(self.state_names))),
                instruction=' '.join([word] * words))], generator.standard_normal(shape))[0]
            for words in (3, 9))
        with torch.inference_mode():
            sampler = self._trace(inputs, others)
            for _ in range(2):
                sampler(*others)
        self._traced = {inputs[1].shape[1]: sampler}

    def _trace(self, inputs: tuple[torch.Tensor, ...],
               others: tuple[torch.Tensor, ...]) -> Sampler:
        """Return the sampler traced on ``inputs`` if it is right on ``others``, else as it is."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # about constants, which the comparison checks
                traced: Sampler = torch.jit.trace(self._sample, inputs, check_trace=False)
                difference = (traced(*others) - self._sample(*others)).abs().max().item()
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            _LOG.warning('inference runs untraced, about twice as slow: %s', error)
            return self._sample
        if not difference <= _TRACE_TOLERANCE:
            _LOG.warning('inference runs untraced, about twice as slow: the trace differs by %g',
                         difference)
            return self._sample
        return traced

    def infer(self, observation: Observation, noise: FloatArray | None = None) -> ActionChunk:
        """Return the chunk for one observation; see ``Policy.infer``."""
        if noise is None:
            noise = self._noise.standard_normal((self.spec.chunk_length, len(self.spec.names)))
        return self._infer([observation], np.asarray(noise)[None])[0]

    def infer_batch(self, observations: Sequence[Observation], seed: int) -> list[ActionChunk]:
        """Return one chunk an observation from one forward; see ``Policy.infer_batch``."""
        shape = (len(observations), self.spec.chunk_length, len(self.spec.names))
        return self._infer(observations, np.random.default_rng(seed).standard_normal(shape))

    def _infer(self, observations: Sequence[Observation], noise: FloatArray) -> list[ActionChunk]:
        start = time.perf_counter()
        inputs, unknown_words = self.prepare(observations, noise)
        with torch.inference_mode():
            length = inputs[1].shape[1] if len(observations) == 1 else 0
            sampler = self._traced.get(length, self._sample)
            sampled = sampler(*inputs)[..., :len(self.spec.names)]
        actions = self.normalization.action.denormalize(sampled.double().cpu().numpy())
        latency = time.perf_counter() - start
        return [
            ActionChunk(observation.stamp, row, self.spec, latency, self.checkpoint,
                        {'unknown_words': float(count)})
            for observation, row, count in zip(observations, actions, unknown_words, strict=True)]

    def prepare(
        self, observations: Sequence[Observation], noise: FloatArray,
    ) -> tuple[tuple[torch.Tensor, ...], list[int]]:
        """Return the model's inputs and the count of unknown words by observation.

        Args:
            observations: B observations.
            noise: shape (B, chunk_length, len(spec.names)).

        Returns:
            (state (B, max_state_dim), input_ids (B, T), attention_mask (B, T), pixel_values
            (B, C, 3, H, W), noise (B, chunk_length, max_action_dim)) and B counts.

        """
        counts = [self._check(observation) for observation in observations]
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
        config = self.model.config
        inputs = (
            _widen(states, config.max_state_dim), input_ids, attention_mask, pixels(images),
            _widen(noise, config.max_action_dim))
        return tuple(tensor.to(self.model.device) for tensor in inputs), counts

    def _check(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""
        absent = [key for key in self.cameras if key not in observation.images]
        if absent:
            raise ObservationError(
                f'camera {absent} is absent; checkpoint {self.checkpoint} needs '
                f'{list(self.cameras)}, the observation has {list(observation.images)}')
        if observation.state.shape != (len(self.state_names),):
            raise ObservationError(
                f'state has shape {observation.state.shape}; checkpoint {self.checkpoint} needs '
                f'{list(self.state_names)}')
        ids = word_ids(self.tokenizer, observation.instruction)
        count = ids.count(UNKNOWN_ID)
        if count == len(ids):
            raise ObservationError(
                f'no word of the instruction {observation.instruction!r} is known to checkpoint '
                f'{self.checkpoint}; try words such as '
                f'{", ".join(sorted(self.tokenizer.get_vocab())[-5:])}')
        return count

    def _sample(self, state: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor,
                pixel_values: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Run the family's own sampler, shapes as in ``prepare``."""
        present = torch.ones(pixel_values.shape[:2], dtype=torch.bool, device=state.device)
        return self.model.sample_actions(
            state=state, input_ids=input_ids, attention_mask=attention_mask,
            pixel_values=pixel_values, pixel_attention_mask=present, noise=noise)


def _widen(values: FloatArray, width: int) -> torch.Tensor:
    """Return float32 with zeros appended to the last axis up to ``width``."""
    padding = [(0, 0)] * (values.ndim - 1) + [(0, width - values.shape[-1])]
    return torch.from_numpy(np.pad(values, padding)).float()
