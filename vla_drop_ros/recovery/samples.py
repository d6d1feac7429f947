# SPDX-License-Identifier: Apache-2.0
"""Which frames a recovery sees at which step: decided by the seed alone, however it is run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import DatasetError, RecoveryError
from vla_drop_ros.families.family import Batch
from vla_drop_ros.policies.calibration import check_fit, flow_draws, understood
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.types import FloatArray, Observation

HELD_OUT = 0.05  # of the episodes, at least one, are kept for validation


@dataclass(frozen=True, slots=True)
class Frames:
    """N frames with the actions behind them: (N, T, A), and (N, T) which of them are real."""

    observations: tuple[Observation, ...]
    actions: FloatArray
    valid: FloatArray


class Samples(torch.utils.data.Dataset[Frames]):
    """Item ``i`` is what one process sees in part ``i`` of its work.

    A step has ``batch_size`` frames: of every process ``accumulate`` parts. Order, noise and
    times of a step are drawn for all processes at once, so that two of them together do what one
    alone would.

    Attributes:
        training, held_out: frames by index of the dataset; whole episodes are on one side.

    """

    def __init__(self, dataset: Dataset, policy: ModelPolicy, recipe: Recipe, rank: int = 0,
                 processes: int = 1) -> None:
        """Split the episodes.

        Raises:
            DatasetError: the data do not fit the checkpoint, or are too few.
            RecoveryError: the batch cannot be shared out evenly.

        """
        check_fit(policy, dataset)
        self.parts = processes * recipe.accumulate
        if recipe.batch_size % self.parts:
            raise RecoveryError(
                f'batch_size {recipe.batch_size} cannot be shared out evenly over {processes} '
                f'processes with accumulate {recipe.accumulate}: take a multiple of {self.parts}')
        self._dataset, self._recipe, self._rank = dataset, recipe, rank
        self._length = policy.spec.chunk_length
        known = understood(policy, dataset)
        frames = np.array([index for index in range(len(dataset)) if known(index)], dtype=int)
        # Not by the recipe's seed: what is held out from one seed is held out from all.
        order = np.random.default_rng(2).permutation(
            np.unique(dataset.episode[frames]))
        if len(order) < 2:
            raise DatasetError(
                f'{str(dataset.folder)!r} has {len(order)} usable episodes; at least 2 are '
                'needed, of which one is held out. Record more')
        apart = max(1, round(HELD_OUT * len(order)))
        used = max(1, round(recipe.share * (len(order) - apart)))
        episode = dataset.episode[frames]
        self.held_out = frames[np.isin(episode, order[:apart])]
        self.training = frames[np.isin(episode, order[apart:apart + used])]
        self.episodes = used

    def __len__(self) -> int:
        """Return the parts of all steps that this process works on."""
        return self._recipe.steps * self._recipe.accumulate

    def __getitem__(self, part: int) -> Frames:
        """Return the frames of a part."""
        step, number = divmod(part, self._recipe.accumulate)
        return self.frames(self._step(step)[self._rows(number)])

    def frames(self, indices: Sequence[int] | np.ndarray) -> Frames:
        """Return frames of the dataset."""
        chunks = [self._dataset.actions(int(index), self._length) for index in indices]
        return Frames(tuple(self._dataset.observation(int(index)) for index in indices),
                      np.stack([actions for actions, _ in chunks]),
                      np.stack([valid for _, valid in chunks]))

    def batch(self, policy: ModelPolicy, part: int, frames: Frames) -> Batch:
        """Return what the loss of a part is computed on, noise and times included."""
        step, number = divmod(part, self._recipe.accumulate)
        noise, times = flow_draws(policy, self._recipe.batch_size, self._recipe.draws,
                                  (self._recipe.seed, 3, step))
        rows = self._rows(number)
        return policy.batch(frames.observations, frames.actions, frames.valid, noise[rows],
                            times[rows])

    def validation(self, policy: ModelPolicy, count: int) -> Iterator[tuple[Frames, Batch]]:
        """Yield the same held-out frames at every call, in batches, with fixed noise."""
        rng = np.random.default_rng(4)
        count = min(count, len(self.held_out))
        chosen = rng.permutation(self.held_out)[:count]
        noise, times = flow_draws(policy, count, 4, 5)
        for begin in range(0, count, 64):
            rows = slice(begin, begin + 64)
            frames = self.frames(chosen[rows])
            yield frames, policy.batch(frames.observations, frames.actions, frames.valid,
                                       noise[rows], times[rows])

    def _rows(self, number: int) -> slice:
        size = self._recipe.batch_size // self.parts
        begin = (self._rank * self._recipe.accumulate + number) * size
        return slice(begin, begin + size)

    def _step(self, step: int) -> np.ndarray:
        """Return the frames of a step, for all processes: one epoch behind the other."""
        size, total = self._recipe.batch_size, len(self.training)
        places = np.arange(step * size, (step + 1) * size)
        epochs = {int(epoch): np.random.default_rng([self._recipe.seed, 6, int(epoch)])
                  .permutation(self.training) for epoch in np.unique(places // total)}
        return np.array([epochs[int(place // total)][place % total] for place in places])
