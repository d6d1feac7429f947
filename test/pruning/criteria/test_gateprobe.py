# SPDX-License-Identifier: Apache-2.0
"""GateProbe is the derivative of a gate that was never built."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vla_drop_ros.errors import RankingError
from vla_drop_ros.families.family import Batch
from vla_drop_ros.policies.calibration import Calibration
from vla_drop_ros.pruning.criteria import gateprobe
from vla_drop_ros.pruning.criterion import Subject

Gates = dict[tuple[str, int, str], torch.Tensor]


class Gated:
    """Explicit gates on a live model: hooks that scale what a part adds, one gate a sample."""

    def __init__(self, subject: Subject, samples: int, unit: str) -> None:
        self.gates: Gates = {}
        self._handles: list[Any] = []
        for name, stack in subject.stacks.items():
            for index, block in enumerate(stack.blocks):
                gate = torch.ones(samples, requires_grad=True)
                self.gates[name, index, unit] = gate
                if unit == 'block':
                    self._handles.append(block.register_forward_hook(self._scale_block(gate)))
                else:
                    path = stack.site.attention if unit == 'attention' else stack.site.mlp
                    self._handles.append(stack.module(index, path).register_forward_hook(
                        self._scale_part(gate)))

    @staticmethod
    def _by_row(gate: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return gate.repeat_interleave(len(hidden) // len(gate))[:, None, None]

    def _scale_block(self, gate: torch.Tensor) -> Callable[..., Any]:
        def scale(_module: nn.Module, inputs: tuple[torch.Tensor, ...],
                  output: torch.Tensor) -> torch.Tensor:
            return inputs[0] + self._by_row(gate, output) * (output - inputs[0])
        return scale

    def _scale_part(self, gate: torch.Tensor) -> Callable[..., Any]:
        def scale(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (self._by_row(gate, output[0]) * output[0], *output[1:])
            return self._by_row(gate, output) * output
        return scale

    def __enter__(self) -> 'Gated':
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


@pytest.fixture
def batch(calibration: Calibration) -> Batch:
    """Return four samples."""
    return calibration.batches[0]


@pytest.mark.parametrize('unit', ['block', 'attention', 'mlp'])
def test_equals_autograd_through_explicit_gates(
        subject: Subject, batch: Batch, unit: Any) -> None:
    """Per block and per sample, in every stack: rtol 1e-4 in float32."""
    found = gateprobe.gate_derivatives(subject.family, subject.model, batch)[unit]
    with Gated(subject, len(batch), unit) as gated:
        subject.family.loss(subject.model, batch).sum().backward()
    for (name, index, _), gate in gated.gates.items():
        expected = torch.zeros(len(batch)) if gate.grad is None else gate.grad
        scale = float(np.abs(found[name]).max())
        assert np.allclose(found[name][:, index], expected.numpy(), rtol=1e-4,
                           atol=1e-5 * scale), (name, index)


def test_equals_finite_differences(subject: Subject, batch: Batch) -> None:
    """A gate moved by a little changes each sample's loss as the derivative says."""
    step = 2e-3
    found = gateprobe.gate_derivatives(subject.family, subject.model, batch)['block']
    with Gated(subject, len(batch), 'block') as gated, torch.no_grad():
        for key in (('vision', 0, 'block'), ('language', 2, 'block'), ('action', 3, 'block')):
            losses = []
            for offset in (step, -step):
                gated.gates[key].fill_(1.0 + offset)
                losses.append(subject.family.loss(subject.model, batch).double())
                gated.gates[key].fill_(1.0)
            slope = ((losses[0] - losses[1]) / (2 * step)).numpy()
            assert np.allclose(found[key[0]][:, key[1]], slope, rtol=1e-2, atol=2e-3), key


def test_samples_do_not_mix(subject: Subject, batch: Batch) -> None:
    """A sample's derivative does not depend on which others share its batch."""
    whole = gateprobe.gate_derivatives(subject.family, subject.model, batch)['block']
    alone = Batch({name: tensor[1:2] for name, tensor in batch.inputs.items()},
                  batch.actions[1:2], batch.weights[1:2], batch.noise[1:2], batch.time[1:2])
    single = gateprobe.gate_derivatives(subject.family, subject.model, alone)['block']
    for name, values in single.items():
        assert np.allclose(values[0], whole[name][1], rtol=1e-3, atol=1e-6)


def test_the_last_language_block_is_exactly_zero(subject: Subject) -> None:
    """Nothing reads what the language model puts out, so its last gate moves nothing."""
    scores = {(one.stack, one.unit): one.values for one in gateprobe.measure(subject)}
    assert scores['language', 'block'][-1] == 0.0
    assert (scores['language', 'block'][:-1] > 0).all()
    assert scores['language', 'tied'][-1] > 0


def test_ties_add_before_the_absolute_value(subject: Subject, batch: Batch) -> None:
    """A tie gates both blocks at once: their derivatives add, with their signs."""
    subject.batches = [batch]
    found = gateprobe.gate_derivatives(subject.family, subject.model, batch)['block']
    scores = {(one.stack, one.unit): one.values for one in gateprobe.measure(subject)}
    assert np.allclose(scores['language', 'tied'],
                       np.abs(found['language'] + found['action']).mean(0))


def test_weights_stay_frozen(subject: Subject, batch: Batch) -> None:
    """No weight gets a gradient, and none is left on the model."""
    gateprobe.gate_derivatives(subject.family, subject.model, batch)
    assert all(parameter.grad is None and not parameter.requires_grad
               for parameter in subject.model.parameters())


def test_a_loss_that_is_no_number_is_refused(subject: Subject, batch: Batch) -> None:
    """NaN in the demonstrations is named, not ranked."""
    bad = batch.actions.clone()
    bad[2] = float('nan')
    broken = Batch(batch.inputs, bad, batch.weights, batch.noise, batch.time)
    with pytest.raises(RankingError, match=r'1 of 4 calibration samples.*sample 2'):
        gateprobe.gate_derivatives(subject.family, subject.model, broken)
