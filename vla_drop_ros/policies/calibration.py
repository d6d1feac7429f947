# SPDX-License-Identifier: Apache-2.0
"""The samples that every criterion sees: the same frames, flow times and noise for all."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
import hashlib
from typing import Any

import numpy as np

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import DatasetError, ObservationError
from vla_drop_ros.families.family import Batch
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.types import FloatArray

_PERIOD_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """Batches, and the record that says which they are.

    Attributes:
        batches: samples in batches of equal size but the last.
        record: dataset, its hash, frames, seed and a hash over all of that.

    """

    batches: tuple[Batch, ...]
    record: dict[str, Any]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(len(batch) for batch in self.batches)


def check_fit(policy: ModelPolicy, dataset: Dataset) -> None:
    """Raise DatasetError unless the dataset speaks the checkpoint's language, naming what differs.

    Names, period, frame and reference of the actions, the state's names and the cameras must be
    the checkpoint's. A dataset that does not state frame and reference is taken at its names.
    """
    spec, problems = policy.spec, []
    for what, found, wanted in (
            ('action names', dataset.action_names, spec.names),
            ('state names', dataset.state_names, policy.state_names)):
        if found != wanted:
            problems.append(f'{what} are {list(found)}, the checkpoint has {list(wanted)}')
    absent = sorted(set(policy.cameras) - set(dataset.cameras))
    if absent:
        problems.append(f'camera {absent} is absent; it has {sorted(dataset.cameras)}')
    if abs(1.0 / dataset.fps - spec.period) > _PERIOD_TOLERANCE * spec.period:
        problems.append(f'it has {dataset.fps:g} frames a second, the checkpoint acts every '
                        f'{spec.period:g} s')
    for what in ('frame', 'reference'):
        found_word = dataset.semantics.get(what)
        if found_word not in (None, getattr(spec, what)):
            problems.append(f'the actions have {what} {found_word!r}, the checkpoint '
                            f'{getattr(spec, what)!r}')
    if problems:
        raise DatasetError(f'dataset {str(dataset.folder)!r} does not fit checkpoint '
                           f'{policy.manifest.name!r}: {"; ".join(problems)}')


def calibrate(policy: ModelPolicy, dataset: Dataset, samples: int, seed: int = 0, *,
              draws: int = 2, batch_size: int = 32, without: Collection[int] = (),
              ) -> Calibration:
    """Draw calibration samples.

    Args:
        policy: encodes the frames; its family states the flow times.
        dataset: demonstrations.
        samples: how many frames, spread over the episodes.
        seed: of frames, flow times and noise.
        draws: flow times and noises a frame; the times are stratified over all of them.
        batch_size: samples that go through the model at once.
        without: frames that must not be drawn, since something else was chosen by them.

    Raises:
        DatasetError: too few demonstrations, or ones that do not fit the checkpoint.

    """
    if samples < 2:
        raise DatasetError(f'{samples} samples: at least 2 are needed')
    check_fit(policy, dataset)
    taken, known = set(without), understood(policy, dataset)
    indices = dataset.sample(samples, seed, usable=lambda index: (
        index not in taken and known(index)))
    noise, times = flow_draws(policy, samples, draws, seed)
    batches = []
    for begin in range(0, samples, batch_size):
        rows = slice(begin, begin + batch_size)
        batches.append(_batch(policy, dataset, indices[rows], noise[rows], times[rows]))
    record: dict[str, Any] = {
        'dataset': dataset.folder.name, 'dataset_sha256': dataset.sha256(), 'frames': indices,
        'episodes': sorted({int(dataset.episode[index]) for index in indices}), 'seed': seed,
        'draws': draws, 'samples': samples}
    record['sha256'] = hashlib.sha256(repr(sorted(record.items())).encode()).hexdigest()
    return Calibration(tuple(batches), record)


def understood(policy: ModelPolicy, dataset: Dataset) -> Callable[[int], bool]:
    """Return a test whether the policy knows at least a word of a frame's instruction."""
    known: dict[str, bool] = {}

    def usable(index: int) -> bool:
        text = dataset.instruction(index)
        if text not in known:
            try:
                policy.encode([dataset.observation(index)])
                known[text] = True
            except ObservationError:
                known[text] = False
        return known[text]

    return usable


def flow_draws(policy: ModelPolicy, samples: int, draws: int, seed: int | Sequence[int],
               ) -> tuple[FloatArray, FloatArray]:
    """Return noise (N, D, T, A) and stratified flow times (N, D); ``seed`` may have parts."""
    rng = np.random.default_rng([*np.atleast_1d(seed), 1])
    total = samples * draws
    shares = (rng.permutation(total) + rng.uniform(0, 1, total)) / total
    times = policy.family.flow_times(policy.model, shares).reshape(samples, draws)
    shape = (samples, draws, policy.spec.chunk_length, len(policy.spec.names))
    return rng.standard_normal(shape), times


def _batch(policy: ModelPolicy, dataset: Dataset, indices: list[int], noise: FloatArray,
           times: FloatArray) -> Batch:
    length = policy.spec.chunk_length
    chunks = [dataset.actions(index, length) for index in indices]
    return policy.batch(
        [dataset.observation(index) for index in indices],
        np.stack([actions for actions, _ in chunks]), np.stack([valid for _, valid in chunks]),
        noise, times)
