# SPDX-License-Identifier: Apache-2.0
"""Flow sampling that is pulled towards actions which are going to be executed anyway.

Real-time chunking (Black et al. 2025, arXiv 2506.07339) takes the new chunk for a picture of which
the beginning is given. The paper's flow runs from noise at 0 to actions at 1; here, as in pi0 and
SmolVLA, time t runs from 1, noise, to 0, actions, and the model's velocity is
u = noise - actions. From x at time t the model expects the actions

    y = x - t u(x, t)

and the step of length 1/n, in which the stock sampler goes by -u/n, goes by

    (-u + w (dy/dx)^T W (Y - y)) / n,    w = min(beta, (t^2 + (1 - t)^2) / (t (1 - t)))

with the given actions Y and a weight W for each of their steps i of d frozen and m in all:

    W = 1 for i < d,    c (e^c - 1) / (e - 1) for d <= i < m,    0 from m on,
    c = (m - i) / (m - d + 1).

(dy/dx)^T is taken by automatic differentiation through the model. beta, 5 in the paper, which
takes five steps, is the number of steps n: while dy/dx is near 1 a step then closes the whole gap
to Y, and never goes beyond it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from vla_drop_ros.types import FloatArray

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Denoiser(NamedTuple):
    """One prompt's flow.

    Attributes:
        velocity: u for actions x (B, T, A) at time t, a scalar; both tensors.
        steps: how many the family's own sampler takes from noise to actions.

    """

    velocity: Velocity
    steps: int


@dataclass(frozen=True, slots=True)
class Guide:
    """What the actions are pulled to.

    Attributes:
        actions: Y in the units of the model, shape (B, T, A); anything finite where weights are 0.
        weights: W, 0 to 1, of the same shape.

    """

    actions: torch.Tensor
    weights: torch.Tensor


def soft_mask(frozen: int, overlap: int, steps: int) -> FloatArray:
    """Return W of each step, shape (steps,).

    Args:
        frozen: d, first steps that will have been executed, 0 <= frozen <= overlap.
        overlap: m, first steps that are given, <= steps.
        steps: of the chunk.

    """
    index = np.arange(steps)
    share = (overlap - index) / (overlap - frozen + 1)
    fading: FloatArray = share * np.expm1(share) / np.expm1(1.0)
    return np.where(index < frozen, 1.0, np.where(index < overlap, fading, 0.0))


def strength(time: float, limit: float) -> float:
    """Return w at a time t > 0, at most ``limit``."""
    square = time ** 2 + (1.0 - time) ** 2
    return min(limit, square / (time * (1.0 - time))) if time < 1.0 else limit


def guided(denoiser: Denoiser, noise: torch.Tensor, guide: Guide) -> torch.Tensor:
    """Return actions (B, T, A) from noise of that shape, pulled to the guide.

    No gradient reaches the weights of the model, and no graph outlives a step. Must not be called
    in inference mode, where nothing can be differentiated.
    """
    actions, step = noise.detach(), -1.0 / denoiser.steps
    for index in range(denoiser.steps):
        time = 1.0 + index * step
        velocity, pull = _pulled(denoiser.velocity, actions, time, guide)
        actions = actions + step * (velocity - strength(time, denoiser.steps) * pull)
    return actions


def _pulled(velocity: Velocity, actions: torch.Tensor, time: float, guide: Guide,
            ) -> tuple[torch.Tensor, torch.Tensor]:
    """Return u and (dy/dx)^T W (Y - y)."""
    with torch.enable_grad():
        leaf = actions.detach().requires_grad_()
        predicted = velocity(leaf, torch.tensor(time, device=leaf.device))
        expected = leaf - time * predicted
        gap = guide.weights * (guide.actions - expected.detach())
        pull, = torch.autograd.grad(expected, leaf, gap)
    return predicted.detach(), pull
