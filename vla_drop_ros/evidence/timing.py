# SPDX-License-Identifier: Apache-2.0
"""How long a chunk and a training step take, against the baseline, in turns on one machine."""

from collections.abc import Callable
from pathlib import Path
import statistics
import time
from typing import Any

import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.policies.calibration import calibrate
from vla_drop_ros.policies.registry import assemble_policy

ROUNDS = 15
BATCH = 32


class Clock:
    """Times checkpoints against one that stays loaded; one thread, nothing else should run."""

    def __init__(self, baseline: Path, data: Path) -> None:
        """Load the baseline and the samples."""
        torch.set_num_threads(1)
        self._data = Dataset(data)
        self._baseline = self._steps(baseline)

    def _steps(self, folder: Path) -> dict[str, Callable[[], Any]]:
        model, manifest = load_checkpoint(folder)
        policy = assemble_policy(model, manifest, folder)
        policy.warm_up()
        seen = self._data.observation(self._data.sample(1, 0)[0])
        model, _ = load_checkpoint(folder)
        model.requires_grad_(True)
        batch = calibrate(policy, self._data, BATCH, batch_size=BATCH).batches[0]

        def train() -> None:
            policy.family.loss(model, batch).mean().backward()
            model.zero_grad()

        return {'chunk': lambda: policy.infer(seen), 'step': train}

    def measure(self, folder: Path) -> dict[str, float]:
        """Return ``chunk_ms`` and ``step_ms``, medians, and the speed-up over the baseline.

        The ratios are medians over rounds in which both ran, one directly after the other.
        """
        found, own = {}, self._steps(folder)
        for what, rounds in (('chunk', 4 * ROUNDS), ('step', ROUNDS)):
            self._baseline[what](), own[what]()
            pairs = [(_seconds(self._baseline[what]), _seconds(own[what]))
                     for _ in range(rounds)]
            found[f'{what}_ms'] = 1e3 * statistics.median(ours for _, ours in pairs)
            found[f'{what}_speedup'] = statistics.median(whole / ours for whole, ours in pairs)
        return {name: round(value, 3) for name, value in found.items()}


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
