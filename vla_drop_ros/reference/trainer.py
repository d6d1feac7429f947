# SPDX-License-Identifier: Apache-2.0
"""The loop of both stages: optimiser, schedule, weight average, progress, resume."""

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
import json
import logging
import os
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from vla_drop_ros.reference.losses import Parts

_LOG = logging.getLogger(__name__)
WARM_UP, DECAY, AVERAGE = 200, 0.25, 0.99


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate: linear warm-up, constant, linear decay to 2 % over the last quarter."""
    rise = min(1.0, (step + 1) / WARM_UP)
    fall = min(1.0, max(0.02, (steps - step) / (DECAY * steps)))
    return peak * rise * fall


def join_processes() -> int:
    """Join the processes that torchrun started, if it did; return this one's rank."""
    if 'WORLD_SIZE' in os.environ and not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=timedelta(hours=2))
    return distributed.get_rank() if distributed.is_initialized() else 0


def wait_for_all() -> None:
    """Wait until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def average_gradients(modules: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in modules.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]),
                              strict=True):
        gradient.copy_(part.view_as(gradient))


class Trainer:
    """Train modules on a stream of losses; stop and resume at any step.

    Started by torchrun, every process draws batches of its own and gradients are averaged.
    """

    def __init__(self, modules: dict[str, nn.Module], folder: Path, steps: int, peak: float,
                 seed: int) -> None:
        """Resume from ``folder`` if it holds a state."""
        self.modules = nn.ModuleDict(modules)
        self.average = deepcopy(self.modules).requires_grad_(False)
        self.folder, self.steps, self.peak, self.seed = folder, steps, peak, seed
        decayed = [p for p in self.modules.parameters() if p.dim() >= 2]
        rest = [p for p in self.modules.parameters() if p.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [{'params': decayed, 'weight_decay': 0.02}, {'params': rest, 'weight_decay': 0.0}],
            lr=peak, betas=(0.9, 0.97), foreach=True)
        self.step, self.seconds = 0, 0.0
        self.rank = join_processes()
        folder.mkdir(parents=True, exist_ok=True)
        self._state, self._curve = folder / 'state.pt', folder / 'curve.jsonl'
        if self._state.exists():
            self._restore()

    def run(self, losses: Callable[[np.random.Generator, int], Parts], weights: dict[str, float],
            every: int, report: Callable[[nn.ModuleDict], dict[str, float]],
            until: int | None = None) -> None:
        """Train up to step ``until`` (the end); every ``every`` steps save, measure and log."""
        until = self.steps if until is None else min(until, self.steps)
        sums: dict[str, float] = {}
        began, counted = time.monotonic(), self.step
        while self.step < until:
            start = time.monotonic()
            torch.manual_seed((self.seed + 7919 * self.rank) * 1_000_003 + self.step)
            rng = np.random.default_rng([self.seed, self.step, self.rank])
            for group in self.optimizer.param_groups:
                group['lr'] = learning_rate(self.step, self.steps, self.peak)
            parts = losses(rng, self.step)
            total = sum(weights[name] * part for name, part in parts.items())
            assert isinstance(total, torch.Tensor)  # noqa: S101 - at least one part
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            average_gradients(self.modules)
            nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
            self.optimizer.step()
            self._follow()
            for name, part in parts.items():
                sums[name] = 0.97 * sums.get(name, part.item()) + 0.03 * part.item()
            self.step += 1
            self.seconds += time.monotonic() - start
            if self.step % every == 0 or self.step == until:
                rate = (self.step - counted) / (time.monotonic() - began)
                if self.rank == 0:
                    self._save({**sums, **report(self.average), 'steps_per_second': rate})
                wait_for_all()

    def _follow(self) -> None:
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()),
                                 list(self.modules.parameters()), 1 - decay)

    def _save(self, measured: dict[str, float]) -> None:
        record = {'step': self.step, 'seconds': round(self.seconds, 1),
                  **{name: round(value, 5) for name, value in measured.items()}}
        with self._curve.open('a') as file:
            file.write(json.dumps(record) + '\n')
        _LOG.info('%s', ' '.join(f'{name}={value:.4g}' for name, value in record.items()))
        state: dict[str, Any] = {
            'modules': self.modules.state_dict(), 'average': self.average.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'step': self.step, 'seconds': self.seconds}
        torch.save(state, self._state.with_suffix('.new'))
        self._state.with_suffix('.new').rename(self._state)

    def _restore(self) -> None:
        state = torch.load(self._state, weights_only=True)
        self.modules.load_state_dict(state['modules'])
        self.average.load_state_dict(state['average'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.seconds = state['step'], state['seconds']
        _LOG.info('resumed at step %d of %d', self.step, self.steps)
