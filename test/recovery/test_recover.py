# SPDX-License-Identifier: Apache-2.0
"""A recovery gives one result: run through, killed and resumed, or shared out over processes."""

from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from safetensors.torch import load_file
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, RecoveryError
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.recover import flops, matched_steps, recover, Settings
from vla_drop_ros.recovery.trainer import CURVE_FILE

RECIPE = Recipe(steps=12, batch_size=8, learning_rate=3e-3)
LINE = ('--steps', '60', '--batch-size', '8', '--every', '5', '--device', 'cpu',
        '--threads', '1')


def settings(output: Path, every: int = 6, **more: Any) -> Settings:
    """Return where it goes."""
    return Settings(output, output.with_suffix('.work'), every, device='cpu', **more)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return what a checkpoint folder holds."""
    return load_file(folder / 'model.safetensors')


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference between the weights of two folders."""
    first, second = weights(one), weights(other)
    assert set(first) == set(second)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def command(pruned: Path, data: Path, output: Path, *launcher: str) -> list[str]:
    """Return the command line of a recovery."""
    return [sys.executable, *launcher, '-m', 'vla_drop_ros', 'recover', str(pruned), '--data',
            str(data), '-o', str(output), *LINE]


def test_a_recovered_checkpoint_describes_itself(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """It loads strictly; recipe, data, curve and lineage are in it; the loss went down."""
    seen: list[int] = []
    manifest = recover(pruned, tiny_dataset, RECIPE, settings(
        tmp_path / 'out', tick=lambda done, total, _: seen.append(done)))
    assert manifest is not None and seen == list(range(1, 13))
    model, again = load_checkpoint(tmp_path / 'out')
    assert again.identity == manifest.identity and model is not None
    found = dict(manifest.recovery or {})
    assert found['recipe'] == RECIPE.to_dict() and len(found['dataset_sha256']) == 64
    assert [line['step'] for line in found['curve']] == [6, 12]
    assert found['curve'][-1]['loss'] < found['curve'][0]['loss']
    parent = manifest.parent or {}
    assert parent['sha256'] == load_manifest(pruned).identity
    assert manifest.parameters == load_manifest(pruned).parameters
    assert not (tmp_path / 'out.work' / 'state').exists()


def test_lora_leaves_a_plain_checkpoint(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """Merged before saving: the same tensors as the pruned one, with other values."""
    pytest.importorskip('peft')
    recipe = Recipe(steps=6, batch_size=4, method='lora', rank=2, learning_rate=1e-2)
    recover(pruned, tiny_dataset, recipe, settings(tmp_path / 'out'))
    before, after = weights(pruned), weights(tmp_path / 'out')
    assert set(before) == set(after)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert any('layers' in name for name in changed)


def test_accumulating_changes_nothing(pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """The same step in two parts gives the same weights but for rounding."""
    for name, parts in (('whole', 1), ('parts', 2)):
        recover(pruned, tiny_dataset, Recipe(steps=4, batch_size=8, accumulate=parts, average=0.0),
                settings(tmp_path / name))
    assert furthest(pruned, tmp_path / 'whole') > 0
    assert furthest(tmp_path / 'whole', tmp_path / 'parts') < 1e-4


def test_a_killed_run_ends_as_if_it_had_not_been(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle, then the same command: the weights are equal bit for bit."""
    recovered = command(pruned, tiny_dataset, tmp_path / 'through')
    subprocess.run(recovered, check=True, capture_output=True, timeout=120)
    recovered = command(pruned, tiny_dataset, tmp_path / 'killed')
    curve = tmp_path / 'killed.work' / CURVE_FILE
    process = subprocess.Popen(recovered, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (curve.exists() and curve.read_text().count('\n') >= 3):
        assert process.poll() is None and time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (tmp_path / 'killed').exists()
    resumed = subprocess.run(recovered, check=True, capture_output=True, text=True, timeout=120)
    assert furthest(tmp_path / 'through', tmp_path / 'killed') == 0.0
    assert 'recovered pruned' in resumed.stdout


def test_two_processes_reach_what_one_does(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """DDP over gloo: the weights agree but for the order of sums; both are in the manifest."""
    subprocess.run(command(pruned, tiny_dataset, tmp_path / 'one'), check=True,
                   capture_output=True, timeout=120)
    launcher = ('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2')
    subprocess.run(command(pruned, tiny_dataset, tmp_path / 'two', *launcher), check=True,
                   capture_output=True, timeout=180)
    assert furthest(pruned, tmp_path / 'one') > 1e-3
    assert furthest(tmp_path / 'one', tmp_path / 'two') < 1e-4
    assert (load_manifest(tmp_path / 'two').recovery or {})['processes'] == 2


def test_another_recipe_does_not_go_on_with_the_state(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """State of another recipe is refused, not mixed in."""
    def stop(done: int, _total: int, _loss: float) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover(pruned, tiny_dataset, RECIPE, settings(tmp_path / 'out', tick=stop))
    with pytest.raises(RecoveryError, match='holds the state of another recovery'):
        recover(pruned, tiny_dataset, Recipe(steps=5, batch_size=8), settings(tmp_path / 'out'))
    assert recover(pruned, tiny_dataset, RECIPE, settings(tmp_path / 'out')) is not None


def test_refusals_come_before_the_work(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """An output that exists, and teaching without the parent."""
    with pytest.raises(CheckpointError, match='exists already'):
        recover(pruned, tiny_dataset, RECIPE, settings(pruned))
    with pytest.raises(RecoveryError, match='give --parent'):
        recover(pruned, tiny_dataset, Recipe(distill_actions=1.0), settings(tmp_path / 'out'))


def test_a_loss_that_explodes_is_named(
        pruned: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """A rate far too high ends with the step and a way out; nothing is written."""
    recipe = Recipe(steps=40, batch_size=4, learning_rate=1e30, clip=1e30, warm_up=0)
    with pytest.raises(RecoveryError, match='is not finite .* lower the learning rate'):
        recover(pruned, tiny_dataset, recipe, settings(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_matched_steps_cost_the_same(tiny_pair: tuple[Path, Path], pruned: Path) -> None:
    """A smaller model gets more steps for the same operations."""
    steps = matched_steps(pruned, tiny_pair[0], 1000)
    assert steps > 1000
    assert steps * flops(pruned) == pytest.approx(1000 * flops(tiny_pair[0]), rel=1e-2)
