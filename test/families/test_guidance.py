# SPDX-License-Identifier: Apache-2.0
"""Guidance follows the paper's equation, and leaves model and memory as they were."""

from collections.abc import Callable
from copy import deepcopy
import gc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.families.guidance import Denoiser, Guide, guided, soft_mask, strength
from vla_drop_ros.families.pi0 import PALIGEMMA, PI0
from vla_drop_ros.families.prismatic import PRISMATIC

pytestmark = pytest.mark.usefixtures('one_thread')
MEAN, SPREAD = 0.7, 0.5


@pytest.fixture(params=['pi0', 'smolvla'])
def subject(request: pytest.FixtureRequest, tiny_model: Callable[..., Any],
            tiny_smolvla: Callable[..., Any]) -> tuple[Any, Any, Any, torch.Tensor]:
    """Return a family, a tiny model of it without gradients, inputs and noise."""
    if request.param == 'pi0':
        family: Any = PI0
        model = tiny_model()
    else:
        from vla_drop_ros.families.smolvla import SMOLVLA
        family, model = SMOLVLA, tiny_smolvla()
    model = deepcopy(model).requires_grad_(False)
    return family, model, *family.fixed_inputs(model, 2, 1)


def gaussian(steps: int) -> Denoiser:
    """Return the exact flow of independent normal actions of this mean and spread."""
    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = 1.0 - time
        gain = share * SPREAD ** 2 / (share ** 2 * SPREAD ** 2 + time ** 2)
        return (x - MEAN - gain * (x - share * MEAN)) / time
    return Denoiser(velocity, steps)


def half(noise: torch.Tensor, actions: float = -0.4) -> Guide:
    """Return a guide for the first half of the steps."""
    weights = torch.zeros_like(noise)
    weights[:, :noise.shape[1] // 2] = 1.0
    return Guide(torch.full_like(noise, actions), weights)


@pytest.mark.parametrize(('frozen', 'overlap'), [(0, 0), (0, 8), (1, 5), (3, 8), (8, 8), (5, 5)])
def test_weights_fade_from_the_frozen_to_the_end_of_the_overlap(frozen: int, overlap: int) -> None:
    """One, then strictly less and less but more than nothing, then zero: the paper's schedule."""
    found = soft_mask(frozen, overlap, 8)
    assert (found[:frozen] == 1.0).all() and (found[overlap:] == 0.0).all()
    fading = [1.0, *found[frozen:overlap].tolist(), 0.0]
    assert all(a > b for a, b in pairwise(fading))
    for index in range(frozen, overlap):
        share = (overlap - index) / (overlap - frozen + 1)
        assert found[index] == pytest.approx(share * (np.exp(share) - 1) / (np.e - 1))


def test_strength_is_clipped_where_there_is_only_noise() -> None:
    """At t = 1 the formula has no bound; in the middle it is 2; towards the end it grows again."""
    assert strength(1.0, 5.0) == 5.0 and strength(0.5, 5.0) == pytest.approx(2.0)
    assert strength(0.2, 50.0) == pytest.approx((0.04 + 0.64) / 0.16)
    assert strength(0.01, 5.0) == 5.0


def test_one_step_is_the_equation() -> None:
    """With the derivative of the Gaussian flow in closed form the numbers agree."""
    noise = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.rand(1, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    goal = torch.full_like(noise, -0.4)
    x = noise
    for time in (1.0, 0.5):
        gain = (1 - time) * SPREAD ** 2 / ((1 - time) ** 2 * SPREAD ** 2 + time ** 2)
        expected = MEAN + gain * (x - (1 - time) * MEAN)
        push = gain * weights * (goal - expected)
        x = x + 0.5 * (-(x - expected) / time + 2.0 * push)
    assert torch.allclose(guided(gaussian(2), noise, Guide(goal, weights)), x, atol=1e-6)


def test_actions_come_to_the_guide_and_the_others_stay_of_the_policy() -> None:
    """Guided rows arrive; those without weight are exactly what they are without guidance."""
    noise = torch.randn(64, 8, 3, generator=torch.Generator().manual_seed(0))
    free = guided(gaussian(20), noise, Guide(noise, torch.zeros_like(noise)))
    found = guided(gaussian(20), noise, half(noise))
    assert (found[:, :4] + 0.4).abs().mean() < 0.1 * (free[:, :4] + 0.4).abs().mean()
    assert torch.equal(found[:, 4:], free[:, 4:])
    assert float(free.mean()) == pytest.approx(MEAN, abs=0.05)
    assert float(free.std()) == pytest.approx(SPREAD, rel=0.15)


def test_without_weight_it_is_the_family_s_own_sampler(
        subject: tuple[Any, Any, Any, torch.Tensor]) -> None:
    """The opened loop takes the same steps as the stock one."""
    family, model, inputs, noise = subject
    found = guided(family.denoiser(model, inputs), noise, Guide(noise, torch.zeros_like(noise)))
    assert torch.allclose(found, family.act(model, inputs, noise), atol=1e-5)


def test_the_pull_is_the_derivative_of_the_model(
        subject: tuple[Any, Any, Any, torch.Tensor]) -> None:
    """It agrees with finite differences through the whole denoiser, not with the identity."""
    family, model, inputs, noise = subject
    denoiser, time = family.denoiser(model, inputs), 0.5
    generator = torch.Generator().manual_seed(3)
    along, weights = (torch.randn(noise.shape, generator=generator) for _ in range(2))
    leaf = noise.clone().requires_grad_()

    def expected(x: torch.Tensor) -> torch.Tensor:
        return x - time * denoiser.velocity(x, torch.tensor(time))

    pull, = torch.autograd.grad(expected(leaf), leaf, weights)
    with torch.no_grad():
        slope = (expected(noise + 1e-2 * along) - expected(noise - 1e-2 * along)) / 2e-2
    assert float((pull * along).sum()) == pytest.approx(float((slope * weights).sum()), rel=0.02)
    assert not torch.allclose(pull, weights, rtol=0.1)


def test_weights_of_the_model_get_no_gradient(
        subject: tuple[Any, Any, Any, torch.Tensor]) -> None:
    """Not even those of a model that could be trained; and what comes out has no history."""
    family, model, inputs, noise = subject
    model.requires_grad_(True)
    found = guided(family.denoiser(model, inputs), noise, half(noise))
    assert not found.requires_grad and found.isfinite().all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_graph_outlives_a_step(subject: tuple[Any, Any, Any, torch.Tensor]) -> None:
    """After 200 samples there are as many tensors as after a few, as many with a history."""
    family, model, inputs, noise = subject
    denoiser = family.denoiser(model, inputs)

    def living() -> tuple[int, int]:
        gc.collect()
        tensors = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
        return len(tensors), sum(one.grad_fn is not None for one in tensors)

    histories = living()[1]
    for _ in range(3):
        guided(denoiser, noise, half(noise))
    before, resident = living(), _resident()
    assert before[1] == histories
    for _ in range(200):
        guided(denoiser, noise, half(noise))
    assert living() == before
    assert _resident() - resident < 16e6  # graphs live in C++, where gc does not see them


def _resident() -> float:
    """Return the memory of this process, bytes."""
    with open('/proc/self/statm') as file:
        return float(file.read().split()[1]) * 4096.0


@pytest.mark.parametrize('family', [PALIGEMMA, PRISMATIC])
def test_without_a_flow_there_is_none_to_guide(family: Any) -> None:
    """A family says beforehand whether it has a flow, and refuses to make one up."""
    assert not family.flows and PI0.flows
    with pytest.raises(ValueError, match='no flow'):
        family.denoiser(None, {})
