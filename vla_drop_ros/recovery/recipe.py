# SPDX-License-Identifier: Apache-2.0
"""How a recovery is done: every number that decides what comes out."""

from dataclasses import asdict, dataclass
import hashlib
import json
import math
from typing import Any

from vla_drop_ros.errors import RecoveryError, unknown

METHODS = ('full', 'lora')
SCHEDULES = ('cosine', 'constant')
PRECISIONS = ('fp32', 'bf16', 'fp16')


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recovery, but for the data and the checkpoint.

    Attributes:
        steps: optimiser steps.
        batch_size: frames a step, over all processes and accumulated parts.
        accumulate: parts that a step's frames go through the model in, one after the other.
        draws: flow times and noises a frame.
        learning_rate: AdamW's, at its highest.
        schedule: ``cosine`` falls to 2 % at the end, ``constant`` stays.
        warm_up: steps that the rate rises from nothing.
        weight_decay: on matrices, not on norms and biases.
        clip: largest norm of a step's gradient.
        average: decay of the weight average (EMA) that is saved; 0 saves the last weights. It
            starts lower, as n / (n + 10) after n steps.
        precision: of the forward pass; weights and optimiser stay float32.
        method: ``full``, or ``lora`` (arXiv 2106.09685), merged into the weights at the end.
        rank: of LoRA's matrices; their scale is 2.
        freeze: stacks whose weights stay as they are.
        distill_actions: weight of the distance between the head's output and the parent's, under
            the same noise and time.
        distill_hidden: weight of the distance between the hidden states behind the blocks that
            were kept and the parent's there, relative to the parent's.
        share: of the training episodes that are used.
        seed: of order, flow times, noise and LoRA's first values.

    """

    steps: int = 300
    batch_size: int = 32
    accumulate: int = 1
    draws: int = 2
    learning_rate: float = 5e-4
    schedule: str = 'cosine'
    warm_up: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.98
    precision: str = 'fp32'
    method: str = 'full'
    rank: int = 16
    freeze: tuple[str, ...] = ()
    distill_actions: float = 0.0
    distill_hidden: float = 0.0
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense, naming them."""
        for name in ('steps', 'batch_size', 'accumulate', 'draws', 'rank'):
            self._need(name, getattr(self, name) >= 1, 'at least 1')
        for name in ('learning_rate', 'clip'):
            self._need(name, 0 < getattr(self, name) < math.inf, 'greater than 0')
        for name in ('warm_up', 'weight_decay', 'distill_actions', 'distill_hidden', 'seed'):
            self._need(name, 0 <= getattr(self, name) < math.inf, 'at least 0')
        self._need('average', 0 <= self.average < 1, 'in [0, 1)')
        self._need('share', 0 < self.share <= 1, 'in (0, 1]')
        self._need('batch_size', self.batch_size % self.accumulate == 0,
                   f'a multiple of accumulate {self.accumulate}')
        for name, known in (('method', METHODS), ('schedule', SCHEDULES),
                            ('precision', PRECISIONS)):
            if getattr(self, name) not in known:
                raise RecoveryError(unknown(name, getattr(self, name), known))

    def _need(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise RecoveryError(f'{name} is {getattr(self, name)!r}, it must be {wanted}')

    @property
    def distills(self) -> bool:
        """Whether the parent's answers are needed."""
        return self.distill_actions > 0 or self.distill_hidden > 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        if self.schedule == 'constant':
            return self.learning_rate * rise
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * rise * fall

    def decay(self, step: int) -> float:
        """Return how much of the weight average stays after step number ``step`` (from 1)."""
        return min(self.average, step / (step + 10)) if self.average else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), 'freeze': list(self.freeze)}

    def digest(self) -> str:
        """Return a hash, 12 hex digits."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
