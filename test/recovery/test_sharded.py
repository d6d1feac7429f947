# SPDX-License-Identifier: Apache-2.0
"""With FSDP a recovery gives the result of one process, also after it was stopped."""

import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest
from safetensors.torch import load_file

from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.trainer import accelerator, CURVE_FILE

STARTER = Path(__file__).with_name('shard_on_cpus.py')
LINE = ('--steps', '12', '--batch-size', '8', '--every', '3', '--learning-rate', '3e-3',
        '--freeze', 'vision', '--device', 'cpu', '--threads', '1')
# What `accelerate launch --use_fsdp --fsdp_version 2` puts into the environment.
LAUNCH = {'ACCELERATE_USE_FSDP': 'true', 'FSDP_VERSION': '2', 'FSDP_OFFLOAD_PARAMS': 'false',
          'FSDP_RESHARD_AFTER_FORWARD': 'true', 'FSDP_USE_ORIG_PARAMS': 'true',
          'FSDP_CPU_RAM_EFFICIENT_LOADING': 'true', 'FSDP_SYNC_MODULE_STATES': 'true',
          'FSDP_FORWARD_PREFETCH': 'false', 'OMP_NUM_THREADS': '1'}
TWO = ('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', str(STARTER))


def command(pruned: Path, data: Path, output: Path, *launcher: str) -> list[str]:
    """Return the command line of a recovery."""
    return [sys.executable, *launcher, 'recover', str(pruned), '--data', str(data), '-o',
            str(output), *LINE]


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference between the weights of two folders."""
    first, second = (load_file(folder / 'model.safetensors') for folder in (one, other))
    assert set(first) == set(second)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def curve(output: Path) -> list[dict[str, Any]]:
    """Return what was logged while training."""
    text = (output.with_suffix('.work') / CURVE_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_sharded_weights_reach_what_one_process_does(
        tiny_pair: tuple[Path, Path], tiny_dataset: Path, tmp_path: Path) -> None:
    """FSDP2 over gloo, two processes: weights and validations agree but for the order of sums.

    Stopped in the middle it goes on, though its last block's output is read by nothing, so that
    some weights get no gradient; the result is the same bit for bit.
    """
    pruned, sharded = tmp_path / 'pruned', {**os.environ, **LAUNCH}
    drop_checkpoint(tiny_pair[0], pruned, Plan({'language': {'tied': (1,)}}))
    one, two, stopped = (tmp_path / name for name in ('one', 'two', 'stopped'))
    subprocess.run(command(pruned, tiny_dataset, one, '-m', 'vla_drop_ros'), check=True,
                   capture_output=True, timeout=120)
    subprocess.run(command(pruned, tiny_dataset, two, *TWO), check=True, capture_output=True,
                   timeout=180, env=sharded)
    assert furthest(pruned, one) > 1e-3
    assert furthest(one, two) < 1e-4
    assert len(curve(two)) == 4
    for ours, theirs in zip(curve(one), curve(two), strict=True):
        for name in ('loss', 'held_out_loss', 'action_error'):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3)

    line = command(pruned, tiny_dataset, stopped, *TWO)
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=sharded)
    progress = stopped.with_suffix('.work') / 'state' / 'progress.json'
    deadline = time.monotonic() + 120
    while not progress.exists():
        assert process.poll() is None and time.monotonic() < deadline
    process.terminate()
    process.wait(60)
    assert not stopped.exists()
    subprocess.run(line, check=True, capture_output=True, timeout=180, env=sharded)
    assert furthest(two, stopped) == 0.0


@pytest.mark.parametrize(('name', 'value', 'way_out'), [
    ('FSDP_VERSION', '1', '--fsdp_version 2'),
    ('FSDP_AUTO_WRAP_POLICY', 'TRANSFORMER_BASED_WRAP', '--fsdp_auto_wrap_policy NO_WRAP')])
def test_what_cannot_be_trained_is_refused(
        monkeypatch: pytest.MonkeyPatch, name: str, value: str, way_out: str) -> None:
    """The first FSDP, and blocks gathered one by one; the message says what to give instead."""
    for key, given in {**LAUNCH, name: value}.items():
        monkeypatch.setenv(key, given)
    with pytest.raises(RecoveryError, match=way_out):
        accelerator(Recipe(), 'cpu')
