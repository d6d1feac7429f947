# SPDX-License-Identifier: Apache-2.0
"""What the criteria say about SmolVLA: derivatives that are true, and all of them run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.families.family import Batch, stacks
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.policies.calibration import calibrate
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.criteria.gateprobe import gate_derivatives
from vla_drop_ros.pruning.criterion import CRITERIA, criterion, Subject
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.weights import Weights

pytestmark = pytest.mark.usefixtures('one_thread')
Maker = Callable[..., Any]
Gates = dict[str, dict[str, torch.Tensor]]
STACKS, UNITS = ('vision', 'language', 'action'), ('block', 'attention', 'mlp')
DEPTH = 4


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_smolvla: Maker, write_smolvla: Maker,
           ) -> Path:
    """Return a checkpoint of few blocks: some criteria run the model for every pair of them."""
    path = tmp_path_factory.mktemp('scores') / 'tiny'
    write_smolvla(path, tiny_smolvla(num_vlm_layers=DEPTH))
    return path


@pytest.fixture(scope='module')
def policy(folder: Path) -> ModelPolicy:
    """Return the adapter of that checkpoint."""
    model, manifest = load_checkpoint(folder)
    found: ModelPolicy = assemble_policy(model, manifest, folder)
    return found


@pytest.fixture(scope='module')
def batches(policy: ModelPolicy, tiny_dataset: Path) -> tuple[Batch, ...]:
    """Return random demonstrations as the adapter shows them to the model."""
    return calibrate(policy, Dataset(tiny_dataset), 4, batch_size=2).batches


def gated_losses(model: Any, data: Batch, gates: Gates) -> torch.Tensor:
    """Return the losses with a gate of each unit, (B, L) by stack, that is really there."""
    handles, added = [], {}
    for name, stack in stacks(family_of(model), model).items():
        for index in range(len(stack)):
            def factor(unit: str, rows: int, name: str = name, index: int = index) -> torch.Tensor:
                gate = gates[unit][name][:, index]
                return gate.repeat_interleave(rows // len(data))[:, None, None]

            def attend(_module: nn.Module, _inputs: Any, output: Any, key: Any = (name, index),
                       factor: Any = factor) -> Any:
                first = output[0] if isinstance(output, tuple) else output
                # A tensor of its own: lerobot adds to what the layer returns, in place.
                added[key] = first * factor('attention', len(first))
                result = added[key].clone()
                return (result, *output[1:]) if isinstance(output, tuple) else result

            def finish(_module: nn.Module, _inputs: Any, output: torch.Tensor,
                       key: Any = (name, index), factor: Any = factor) -> torch.Tensor:
                mine = output * factor('mlp', len(output))
                return mine + (factor('block', len(output)) - 1) * (added[key] + mine)

            path = 'self_attn' if name == 'vision' else 'self_attn.o_proj'
            handles += [stack.module(index, path).register_forward_hook(attend),
                        stack.module(index, 'mlp').register_forward_hook(finish)]
    losses = family_of(model).loss(model, data)
    for handle in handles:
        handle.remove()
    return losses


def test_gateprobe_equals_explicit_gates_and_finite_differences(
        policy: ModelPolicy, batches: tuple[Batch, ...]) -> None:
    """Derivatives from captured states are those of gates that are really there."""
    model, data = policy.model, batches[0]
    found: Any = gate_derivatives(policy.family, model, data)
    gates = {unit: {name: torch.ones(len(data), len(stack), requires_grad=True)
                    for name, stack in stacks(policy.family, model).items()} for unit in UNITS}
    gated_losses(model, data, gates).sum().backward()
    for unit in UNITS:
        for name in STACKS:
            gate = gates[unit][name]
            exact = torch.zeros_like(gate) if gate.grad is None else gate.grad
            size = float(exact.abs().max())
            assert np.allclose(found[unit][name], exact.numpy(), rtol=1e-3, atol=1e-5 * size)
            ends = []
            for sign in (1, -1):
                moved = {u: {n: torch.ones_like(g) for n, g in by.items()}
                         for u, by in gates.items()}
                moved[unit][name][:, 1] += sign * 1e-2
                with torch.no_grad():
                    ends.append(gated_losses(model, data, moved))
            slope = ((ends[0] - ends[1]) / 2e-2).numpy()
            assert np.allclose(found[unit][name][:, 1], slope, rtol=5e-2, atol=2e-2 * size)
    assert found['attention']['language'][:, :-1].all()
    assert not found['block']['language'][:, -1].any()  # only its keys and values are read


def test_all_criteria_rank_this_family(
        policy: ModelPolicy, batches: tuple[Batch, ...], folder: Path) -> None:
    """Every criterion that needs no base scores every unit; the dead block is worth nothing."""
    names = [name for name in CRITERIA if 'base' not in criterion(name).needs]
    assert len(names) >= 15
    subject = Subject(policy.family, policy.model, batches, Weights(
        folder, policy.family.module_name))
    found = rank(subject, names)
    for name in ('leave-one-out', 'gateprobe', 'taylor', 'fisher'):
        units = found[name].units
        assert units['block']['language'].values[-1] == 0.0
        assert np.isfinite(units['tied']['language'].values).all()
        assert (np.abs(units['mlp']['action'].values) > 0).all()
    for name in ('wanda', 'flap', 'magnitude'):
        for unit, stack, size in (('head', 'language', 2), ('channel', 'action', 256)):
            assert list(map(len, found[name].units[unit][stack].values)) == [size] * DEPTH
    assert all(np.isfinite(np.asarray(one.values, dtype=float)).any()
               for ranking in found.values() for unit, by_stack in ranking.units.items()
               if unit not in ('channel', 'head') for one in by_stack.values())
