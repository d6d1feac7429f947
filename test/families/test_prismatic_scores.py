# SPDX-License-Identifier: Apache-2.0
"""What the criteria say about the prismatic family: derivatives that are true, dead parts zero."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.families.family import Batch, stacks
from vla_drop_ros.families.prismatic import PRISMATIC
from vla_drop_ros.pruning.criteria.gateprobe import gate_derivatives
from vla_drop_ros.pruning.criterion import CRITERIA, criterion, Subject
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.weights import Weights

Maker = Callable[..., Any]
DINO, SIGLIP, LANGUAGE = STACKS = ('vision_dino', 'vision_siglip', 'language')
ATTENTION = {DINO: 'attention', SIGLIP: 'self_attn', LANGUAGE: 'self_attn'}


def gated_losses(model: Any, data: Batch, unit: str, gates: dict[str, Any]) -> torch.Tensor:
    """Return the losses with explicit gates, (B, L) by stack, on blocks or their parts."""
    handles = []
    for name, stack in stacks(PRISMATIC, model).items():
        for index, block in enumerate(stack.blocks):
            def gate(_module: nn.Module, inputs: Any, output: Any, name: str = name,
                     index: int = index) -> Any:
                first = output[0] if isinstance(output, tuple) else output
                factor = gates[name][:, index].repeat_interleave(len(first) // len(data))
                factor = factor[:, None, None]
                if unit == 'block':
                    return inputs[0] + factor * (first - inputs[0])
                return (first * factor, *output[1:]) if isinstance(output, tuple) else (
                    first * factor)

            path = {'block': '', 'attention': ATTENTION[name], 'mlp': 'mlp'}[unit]
            handles.append(block.get_submodule(path).register_forward_hook(gate))
    losses = PRISMATIC.loss(model, data)
    for handle in handles:
        handle.remove()
    return losses


@pytest.mark.parametrize('unit', ['block', 'attention', 'mlp'])
def test_gateprobe_equals_explicit_gates_and_finite_differences(
        tiny_prismatic: Maker, prismatic_batch: Maker, unit: str) -> None:
    """Derivatives from captured states are those of gates that are really there."""
    model = tiny_prismatic().requires_grad_(False)
    data = prismatic_batch(model)
    found: Any = gate_derivatives(PRISMATIC, model, data)
    ones = {name: torch.ones(len(data), len(stack)) for name, stack in stacks(
        PRISMATIC, model).items()}
    gates = {name: one.clone().requires_grad_() for name, one in ones.items()}
    gated_losses(model, data, unit, gates).sum().backward()
    precise, step = tiny_prismatic().double(), 1e-3
    doubled = replace(data, inputs={
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in data.inputs.items()})
    for name, gate in gates.items():
        exact = torch.zeros_like(gate) if gate.grad is None else gate.grad
        assert np.allclose(found[unit][name], exact.numpy(), rtol=1e-4, atol=1e-6)
        for index in range(gate.shape[1]):
            ends = []
            for sign in (1, -1):
                moved = {stack: one.double() for stack, one in ones.items()}
                moved[name][:, index] += sign * step
                with torch.no_grad():
                    ends.append(gated_losses(precise, doubled, unit, moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert np.allclose(found[unit][name][:, index], slope, rtol=1e-3, atol=1e-4)
    assert not found[unit][DINO][:, 2].any() and found[unit][DINO][:, :2].all()


def test_all_criteria_rank_this_family(
        tmp_path: Path, write_prismatic: Maker, prismatic_batch: Maker) -> None:
    """Every criterion without a base scores all stacks; dead blocks are worth nothing."""
    write_prismatic(tmp_path / 'tiny')
    model, _ = load_checkpoint(tmp_path / 'tiny')
    subject = Subject(
        PRISMATIC, model, [prismatic_batch(model, 4, seed) for seed in (0, 10)],
        Weights(tmp_path / 'tiny', PRISMATIC.module_name))
    names = [name for name in CRITERIA if 'base' not in criterion(name).needs]
    found = rank(subject, names)
    assert set(found) == set(names)
    for name in names:
        for units in found[name].units.values():
            assert set(units) == set(STACKS), name
    for name in ('leave-one-out', 'gateprobe', 'taylor'):
        scores = found[name].units['block']
        assert scores[DINO].values[2] == scores[SIGLIP].values[3] == 0.0
        assert np.isfinite(scores[LANGUAGE].values).all()
