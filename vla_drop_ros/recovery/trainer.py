# SPDX-License-Identifier: Apache-2.0
"""The loop of a recovery: the same weights whether it ran through, was killed, or was shared out.

Processes, precision and sharding are accelerate's business; one process is the default.
"""

from collections.abc import Callable
import contextlib
import json
import math
import os
from pathlib import Path
import shutil
import time
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from safetensors.torch import load_file, save_file
import torch
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.nn.attention import sdpa_kernel, SDPBackend

from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.recovery.losses import RecoveryLoss
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.samples import Frames, Samples

CURVE_FILE, PROGRESS_FILE = 'curve.jsonl', 'progress.json'
Numbers = dict[str, float]
Report = Callable[[int], Numbers]


def accelerator(recipe: Recipe, device: str = 'auto') -> Accelerator:
    """Return what shares the work out over the processes that ``accelerate launch`` started.

    Raises:
        RecoveryError: FSDP is asked for in a version that cannot be trained with.

    """
    precision = {'fp32': 'no'}.get(recipe.precision, recipe.precision)
    # Blocks whose output nothing reads get no gradient, which DDP must be told.
    AcceleratorState._reset_state()  # else a process keeps the precision of its first recovery
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision=precision, cpu=device == 'cpu', kwargs_handlers=[unused],
                       fsdp_plugin=_sharding())


def _sharding() -> FullyShardedDataParallelPlugin | None:
    """Return how the weights are spread over the processes, None if they are not."""
    if os.environ.get('ACCELERATE_USE_FSDP', '').lower() != 'true':
        return None
    version, wrap = (os.environ.get(f'FSDP_{name}', default) for name, default in (
        ('VERSION', '1'), ('AUTO_WRAP_POLICY', 'NO_WRAP')))
    if version != '2':
        raise RecoveryError(f'FSDP version {version!r} flattens the weights, so that none could '
                            'be frozen; give accelerate launch --fsdp_version 2')
    if wrap.upper() != 'NO_WRAP':
        # Keys and values leave a block through the cache, which a block's hooks do not see.
        raise RecoveryError(f'FSDP cannot gather the blocks one by one ({wrap!r}); give '
                            'accelerate launch --fsdp_auto_wrap_policy NO_WRAP')
    # Weights are gathered as they are and autocast lowers them, as it does without FSDP; every
    # process has read them all, so that none waits for another's.
    return FullyShardedDataParallelPlugin(
        mixed_precision_policy=MixedPrecisionPolicy(), cpu_ram_efficient_loading=False)


class Trainer:
    """Trains a policy's model; stop it at any step and it goes on where it was saved.

    Attributes:
        step: optimiser steps done.
        seconds: time they took, without reports, [s].

    """

    def __init__(self, policy: ModelPolicy, loss: RecoveryLoss, samples: Samples, recipe: Recipe,
                 work: Path, meaning: str, using: Accelerator) -> None:
        """Resume from ``work`` if it holds a state of the same meaning.

        Args:
            policy: its model is trained in place.
            loss: of that model.
            samples: what is seen at which step.
            recipe: how.
            work: folder of state and curve.
            meaning: hash over all that decides the result; a state of another is refused.
            using: processes and precision.

        """
        self.policy, self.samples, self.recipe, self.work = policy, samples, recipe, work
        self._using, self._meaning = using, meaning
        learned = [p for p in loss.parameters() if p.requires_grad]
        if not learned:
            raise RecoveryError('every stack is frozen: nothing is left to train')
        optimizer = torch.optim.AdamW(
            [{'params': [p for p in learned if p.dim() >= 2],
              'weight_decay': recipe.weight_decay},
             {'params': [p for p in learned if p.dim() < 2], 'weight_decay': 0.0}],
            lr=recipe.learning_rate, betas=(0.9, 0.97))
        self.loss, self.optimizer = using.prepare(loss, optimizer)
        self._learned = [p for p in self.loss.parameters() if p.requires_grad]
        if isinstance(self.loss, FSDPModule):
            self._fill()
        self._average = [part.clone() for part in self._parts]
        self.step, self.seconds = 0, 0.0
        self._restore()

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return bool(self._using.is_main_process)

    @property
    def _parts(self) -> list[torch.Tensor]:
        """Return what this process holds of the weights that learn: with FSDP a part of each."""
        return [_local(parameter) for parameter in self._learned]

    def run(self, every: int, report: Report, tick: Callable[[int, float], None],
            loaders: int = 0) -> None:
        """Train to the end; every ``every`` steps measure the average, log and save.

        Args:
            every: steps.
            report: measures the policy, whose model holds the averaged weights meanwhile.
            tick: told steps done and the loss, smoothed, after each.
            loaders: processes that read and decode frames beside.

        """
        self.work.mkdir(parents=True, exist_ok=True)
        sums: Numbers = {}
        parts = iter(self._loader(loaders))
        while self.step < self.recipe.steps:
            began = time.monotonic()
            for name, value in self._advance(parts).items():
                sums[name] = 0.95 * sums.get(name, value) + 0.05 * value
            self.seconds += time.monotonic() - began
            tick(self.step, sums['loss'])
            if self.step % every == 0 or self.step == self.recipe.steps:
                self._note(sums, report)

    def _loader(self, loaders: int) -> Any:
        begin = self.step * self.recipe.accumulate
        return torch.utils.data.DataLoader(
            self.samples, batch_size=None, sampler=range(begin, len(self.samples)),
            num_workers=loaders)

    def _advance(self, parts: Any) -> Numbers:
        """Do one step; return its losses."""
        number = self.recipe.accumulate
        means: Numbers = {}
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group['lr'] = self.recipe.rate(self.step)
        self.optimizer.zero_grad()
        for index in range(number):
            frames: Frames = next(parts)
            batch = self.samples.batch(
                self.policy, self.step * number + index, frames)
            last = index == number - 1
            with contextlib.nullcontext() if last else self._using.no_sync(self.loss):
                with self._attention(), self._using.autocast():
                    found = self.loss(batch)
                self._using.backward(found['loss'] / number)
            for name, value in found.items():
                mean = self._using.reduce(value.detach(), 'mean')
                means[name] = means.get(name, 0.0) + float(mean) / number
        if not all(map(math.isfinite, means.values())):
            raise RecoveryError(
                f'the loss of step {self.step} is not finite ({means}); lower the learning rate '
                f'({self.recipe.learning_rate:g}) or use --precision fp32')
        self._using.clip_grad_norm_(self.loss.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.step += 1
        decay = self.recipe.decay(self.step)
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._parts, 1.0 - decay)
        return means

    def _attention(self) -> contextlib.AbstractContextManager[None]:
        """Return what decides how attention is computed."""
        if self._using.device.type == 'cpu' and self.recipe.precision != 'fp32':
            # torch's fused attention in bf16 on a CPU takes three fifths of a step backwards.
            return sdpa_kernel(SDPBackend.MATH)
        return contextlib.nullcontext()

    def _fill(self) -> None:
        """Give every weight AdamW's first state: FSDP's cannot be read back with gaps in it.

        A weight that nothing reads gets no gradient, and AdamW makes no state for it.
        """
        for parameter in self._learned:
            self.optimizer.state[parameter] = {
                'step': torch.tensor(0.0), 'exp_avg': torch.zeros_like(parameter),
                'exp_avg_sq': torch.zeros_like(parameter)}

    @contextlib.contextmanager
    def averaged(self) -> Any:
        """Let the model hold the averaged weights."""
        own = [part.clone() for part in self._parts]
        with torch.no_grad():
            torch._foreach_copy_(self._parts, self._average)
            try:
                yield
            finally:
                torch._foreach_copy_(self._parts, own)

    @contextlib.contextmanager
    def _whole(self) -> Any:
        """Let every process hold all weights (FSDP), so that one can use the model alone."""
        if not isinstance(self.loss, FSDPModule):
            yield
            return
        self.loss.unshard()
        try:
            yield
        finally:
            self.loss.reshard()  # else a step could compute with what was measured

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the averaged weights of the whole model, by name, on the CPU."""
        with self.averaged():
            found = self._using.get_state_dict(self.loss)
            return {name.removeprefix('model.'): tensor.detach().cpu().clone()
                    for name, tensor in found.items()}

    def _note(self, sums: Numbers, report: Report) -> None:
        with self.averaged(), self._whole():
            measured = report(self.step)
        if self.leads:
            record = {'step': self.step, 'seconds': round(self.seconds, 2), **{
                name: round(value, 6) for name, value in {**sums, **measured}.items()}}
            with (self.work / CURVE_FILE).open('a') as file:
                file.write(json.dumps(record) + '\n')
        self._save()

    def _save(self) -> None:
        """Write the state: the old one stays until the new one is whole."""
        new, state, old = (self.work / name for name in ('state.new', 'state', 'state.old'))
        if self.leads:
            shutil.rmtree(new, ignore_errors=True)
        self._using.wait_for_everyone()
        self._using.save_state(str(new))
        save_file({str(i): tensor for i, tensor in enumerate(self._average)},
                  new / f'average-{self._using.process_index}.safetensors')
        self._using.wait_for_everyone()
        if self.leads:
            (new / PROGRESS_FILE).write_text(json.dumps({
                'step': self.step, 'seconds': self.seconds, 'meaning': self._meaning}))
            if state.exists():
                state.rename(old)
            new.rename(state)
            shutil.rmtree(old, ignore_errors=True)
        self._using.wait_for_everyone()

    def _restore(self) -> None:
        found = [self.work / name for name in ('state', 'state.old')
                 if (self.work / name / PROGRESS_FILE).is_file()]
        if not found:
            return
        progress = json.loads((found[0] / PROGRESS_FILE).read_text())
        if progress['meaning'] != self._meaning:
            raise RecoveryError(
                f'{str(self.work)!r} holds the state of another recovery (other checkpoint, data, '
                'recipe or number of processes); give another --work, or remove it')
        self._using.load_state(str(found[0]))
        stored = load_file(found[0] / f'average-{self._using.process_index}.safetensors')
        with torch.no_grad():
            for index, tensor in enumerate(self._average):
                tensor.copy_(stored[str(index)])
        self.step, self.seconds = progress['step'], progress['seconds']


def _local(tensor: Any) -> torch.Tensor:
    """Return this process's part of a tensor that is spread over several, or the tensor."""
    part: torch.Tensor = tensor.to_local() if hasattr(tensor, 'to_local') else tensor
    return part.detach()
