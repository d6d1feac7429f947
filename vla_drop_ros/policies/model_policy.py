# SPDX-License-Identifier: Apache-2.0
"""What the policies of all families share: checks, noise, units, tracing; see ``Policy``."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
import time
from typing import Any
import warnings

import numpy as np
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, ObservationError, unknown
from vla_drop_ros.families.family import Batch, Inputs
from vla_drop_ros.families.guidance import Guide, soft_mask
from vla_drop_ros.families.registry import family
from vla_drop_ros.families.traced import (
    GuidedSampler,
    plain,
    plain_guided,
    Sampler,
    traced,
    traced_guided,
)
from vla_drop_ros.manifest import Manifest
from vla_drop_ros.policies.normalization import Normalization
from vla_drop_ros.types import ActionChunk, CameraSpec, FloatArray, ImageArray, Observation

Example = tuple[Inputs, torch.Tensor]
Prompts = tuple[torch.Tensor, torch.Tensor]
Assemble = Callable[[Any, Manifest, Path], 'ModelPolicy']

# Images of messages are views that nobody may write to, and nobody does.
warnings.filterwarnings('ignore', 'The given NumPy array is not writable', UserWarning)


def load_warm(assemble: Assemble, folder: Path, device: str, threads: int | None,
              ) -> 'ModelPolicy':
    """Return a verified, warmed-up policy.

    Args:
        assemble: makes the family's policy of model, manifest and folder.
        folder: checkpoint folder of that family.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``: the first GPU if there is one.
        threads: CPU threads of torch, for the whole process; None leaves them as they are.

    """
    if threads is not None:
        torch.set_num_threads(threads)
    target = torch_device(device)
    model, manifest = load_checkpoint(folder)
    policy = assemble(model.to(target), manifest, folder)
    policy.warm_up()
    return policy


def torch_device(name: str) -> torch.device:
    """Return a device by name; ``auto`` is the first GPU if there is one."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise CheckpointError(unknown('device', name, ['auto', 'cpu', 'cuda'])) from None
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise CheckpointError(f'device {name!r}: this torch sees no GPU; use auto or cpu')
    return device


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a GPU, [byte]; None for another device."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == 'cuda' else None


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
    crop = torch.from_numpy(image[top:top + rows, left:left + columns]).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(  # on bytes: a fifth of the time of floats
        crop, (size.height, size.width), mode='bilinear', antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


class ModelPolicy(ABC):
    """A checkpoint that turns observations into action chunks; see ``Policy``.

    A family adds ``encode``: observations to the inputs of its model.
    """

    def __init__(self, model: Any, manifest: Manifest, normalization: Normalization,
                 seed: int = 0) -> None:
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
        self.family = family(manifest.family)
        self.continues_chunks = self.family.flows
        self.model = model.eval().requires_grad_(False)
        self.normalization = normalization
        place = next(model.parameters()).device
        # Weights that are read layer by layer are nowhere in between, and compute on the CPU.
        self.device = torch.device('cpu') if place.type == 'meta' else place
        self._seed = seed
        self._traced: dict[object, Sampler] = {}
        self._continued: dict[object, GuidedSampler] = {}
        self._told: tuple[tuple[str, ...], Prompts, list[int]] | None = None
        self._check_sizes()
        self.reset()

    @abstractmethod
    def encode(self, observations: Sequence[Observation]) -> tuple[Inputs, list[int]]:
        """Return the model's inputs and the count of unknown words by observation."""

    @abstractmethod
    def examples(self) -> list[Observation]:
        """Return two observations of usual shape to trace with, different from each other."""

    @abstractmethod
    def _prompts(self, texts: Sequence[str]) -> Prompts:
        """Return token ids padded on the right, and 1 for what is no padding, int64, (B, T)."""

    @abstractmethod
    def _check_words(self, observation: Observation) -> int:
        """Return the count of unknown words; refuse what the model was never shown."""

    def read(self, observations: Sequence[Observation]) -> tuple[Prompts, list[int]]:
        """Return prompts and counts of unknown words of observations that fit the checkpoint.

        They are kept while the instructions stay the same: nobody may change the tensors.
        """
        for observation in observations:
            self.check(observation)
        texts, told = tuple(one.instruction for one in observations), self._told
        if told is None or told[0] != texts:
            counts = [self._check_words(one) for one in observations]
            with torch.inference_mode(False):  # who trains may get them later
                self._told = told = texts, self._prompts(texts), counts
        return told[1], list(told[2])

    def shape_key(self, inputs: Inputs) -> object:
        """Return what must be equal for a traced sampler to serve these inputs."""
        return tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())

    def _check_sizes(self) -> None:
        """Refuse statistics or a model that do not fit the action and state."""
        steps, width = self.family.noise_shape(self.model)
        found = {
            'state statistics': (self.normalization.state.mean.size, len(self.state_names)),
            'action statistics': (self.normalization.action.mean.size, len(self.spec.names)),
            'chunk_size': (steps, self.spec.chunk_length),
        }
        wrong = [f'{name} {got} (manifest: {want})'
                 for name, (got, want) in found.items() if got != want]
        if width < len(self.spec.names):
            wrong.append(f'max_action_dim {width} is less than the action')
        limit = getattr(self.model.config, 'max_state_dim', len(self.state_names))
        if limit < len(self.state_names):
            wrong.append(f'max_state_dim {limit} is less than the state')
        if wrong:
            raise CheckpointError(
                f'checkpoint {self.manifest.name!r} contradicts itself: {"; ".join(wrong)}')

    def reset(self) -> None:
        """Forget the past: the next noise is the first again."""
        self._noise = np.random.default_rng(self._seed)

    def close(self) -> None:
        """Free the memory; the policy cannot be used afterwards."""
        self._traced.clear()
        self._continued.clear()
        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def warm_up(self) -> None:
        """Trace the sampler for inputs of usual shape and run it until it is fast.

        The trace is compared with the plain sampler on inputs that it was not made from, and is
        trusted only if it agrees.
        """
        first, second = self.example_inputs()
        with torch.inference_mode():
            sampler = traced(self.family, self.model, first, second)
            for _ in range(2):
                sampler(*second)
        self._traced = {self.shape_key(first[0]): sampler}

    def prepare_continuing(self) -> None:
        """Trace the guided sampler, too; see ``Policy.prepare_continuing``."""
        self._check_continues()
        first, second = self.example_inputs()
        sampler = traced_guided(self.family, self.model, first, second)
        for _ in range(2):
            sampler(*second, Guide(second[1], torch.ones_like(second[1])))
        self._continued = {self.shape_key(first[0]): sampler}

    def _check_continues(self) -> None:
        if not self.continues_chunks:
            raise CheckpointError(
                f'checkpoint {self.manifest.name!r} of the family {self.manifest.family!r} has no '
                'flow that could continue a chunk; use another execution mode than real-time '
                'chunking')

    def example_inputs(self) -> tuple[Example, Example]:
        """Return inputs and noise of two different observations of usual shape."""
        rng = np.random.default_rng(self._seed)
        first, second = ((self.encode([observation])[0], self.widen(
            rng.standard_normal((1, self.spec.chunk_length, len(self.spec.names)))))
            for observation in self.examples())
        return first, second

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
        inputs, unknown_words = self.encode(observations)
        guide, key = self._guide(observations), self.shape_key(inputs)
        if guide is None:
            with torch.inference_mode():
                sampler = self._traced.get(key, plain(self.family, self.model))
                sampled = sampler(inputs, self.widen(noise))
        else:  # in no inference mode, where nothing can be differentiated
            continued = self._continued.get(key, plain_guided(self.family, self.model))
            sampled = continued(inputs, self.widen(noise), guide)
        actions = self.normalization.action.denormalize(
            sampled[..., :len(self.spec.names)].double().cpu().numpy())
        latency = time.perf_counter() - start
        return [
            ActionChunk(observation.stamp, row, self.spec, latency, self.checkpoint,
                        {'unknown_words': float(count)})
            for observation, row, count in zip(observations, actions, unknown_words, strict=True)]

    def _guide(self, observations: Sequence[Observation]) -> Guide | None:
        """Return what the chunks are pulled to, in the model's units, or None without a prefix."""
        if not any(one.prefix is not None and len(one.prefix.actions) for one in observations):
            return None
        self._check_continues()
        steps, width = self.spec.chunk_length, len(self.spec.names)
        actions, weights = (np.zeros((len(observations), steps, width)) for _ in range(2))
        for row, observation in enumerate(observations):
            if observation.prefix is None:
                continue
            given = observation.prefix.actions
            if given.shape[1] != width or len(given) > steps:
                raise ObservationError(
                    f'the prefix has shape {given.shape}; checkpoint {self.checkpoint} takes at '
                    f'most {steps} steps of {list(self.spec.names)}')
            actions[row, :len(given)] = self.normalization.action.normalize(given)
            weights[row] = soft_mask(observation.prefix.frozen, len(given), steps)[:, None]
        return Guide(self.widen(actions), self.widen(weights))

    def batch(self, observations: Sequence[Observation], actions: FloatArray,
              valid: FloatArray, noise: FloatArray, times: FloatArray) -> Batch:
        """Return what the family's loss is computed on.

        Args:
            observations: B of them.
            actions: what was right, in the units of ``spec``, shape (B, T, len(spec.names)).
            valid: 1 for a step inside the episode, 0 behind its end, shape (B, T).
            noise: shape (B, D, T, len(spec.names)).
            times: flow times, shape (B, D).

        """
        inputs, _ = self.encode(observations)
        weights = np.broadcast_to(valid[..., None], actions.shape)
        normalized = self.normalization.action.normalize(actions)
        return Batch(inputs, self.widen(normalized), self.widen(weights), self.widen(noise),
                     torch.from_numpy(times).float().to(self.device))

    def widen(self, actions: FloatArray) -> torch.Tensor:
        """Return float32 with zeros appended to the last axis up to the model's width."""
        return widen(actions, self.family.noise_shape(self.model)[1]).to(self.device)

    def count_unknown(self, observation: Observation, ids: Sequence[int], unknown_id: int | None,
                      vocabulary: Mapping[str, int]) -> int:
        """Return how many words of an instruction the model was never shown.

        Raises:
            ObservationError: no word is known.

        """
        count = 0 if unknown_id is None else list(ids).count(unknown_id)
        if count == len(ids):
            raise ObservationError(
                f'no word of the instruction {observation.instruction!r} is known to checkpoint '
                f'{self.checkpoint}; try words such as {", ".join(sorted(vocabulary)[-5:])}')
        return count

    def random_observations(self, word: str) -> list[Observation]:
        """Return two observations of random pictures, told a word 3 and 9 times."""
        rng = np.random.default_rng(self._seed)
        return [Observation(
            stamp=0.0,
            images={key: rng.integers(0, 256, (size.height, size.width, 3), np.uint8)
                    for key, size in self.cameras.items()},
            state=self.normalization.state.denormalize(
                rng.standard_normal(len(self.state_names))),
            instruction=' '.join([word] * words)) for words in (3, 9)]

    def check(self, observation: Observation) -> None:
        """Refuse an observation without a camera that the model needs, or of another state."""
        absent = [key for key in self.cameras if key not in observation.images]
        if absent:
            raise ObservationError(
                f'camera {absent} is absent; checkpoint {self.checkpoint} needs '
                f'{list(self.cameras)}, the observation has {list(observation.images)}')
        if observation.state.shape != (len(self.state_names),):
            raise ObservationError(
                f'state has shape {observation.state.shape}; checkpoint {self.checkpoint} needs '
                f'{list(self.state_names)}')


def widen(values: FloatArray, width: int) -> torch.Tensor:
    """Return float32 with zeros appended to the last axis up to ``width``."""
    wide = np.zeros((*values.shape[:-1], width), np.float32)
    wide[..., :values.shape[-1]] = values
    return torch.from_numpy(wide)
