# SPDX-License-Identifier: Apache-2.0
"""What all policies share: units of training batches, noise, examples, and an end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.policies.model_policy import torch_device, widen
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.types import Observation

Observe = Callable[..., Observation]


def test_a_batch_is_in_the_model_s_units(tiny_policy: Any, observe: Observe) -> None:
    """Actions are normalised by the checkpoint's statistics, weights cover every dimension."""
    actions = np.zeros((2, 4, 4))
    batch = tiny_policy.batch([observe(0), observe(1)], actions, np.array([[1, 1, 1, 0.0]] * 2),
                              np.ones((2, 3, 4, 4)), np.full((2, 3), 0.5))
    statistics = tiny_policy.normalization.action
    assert batch.actions[0, 0].numpy() == pytest.approx(
        -statistics.mean / statistics.std, abs=1e-5)
    assert batch.weights[:, 3].sum() == 0 and batch.weights[:, :3].all()
    assert batch.noise.shape == (2, 3, 4, 4) and batch.time.dtype == torch.float32
    assert tiny_policy.family.loss(tiny_policy.model, batch).shape == (2,)


def test_narrow_actions_are_filled_with_zeros() -> None:
    """The model may be wider than the robot."""
    wide = widen(np.ones((2, 3, 4)), 6)
    assert wide.shape == (2, 3, 6) and wide[..., :4].all() and not wide[..., 4:].any()


def test_examples_differ_and_fit(tiny_policy: Any) -> None:
    """A trace that only repeats its example would be caught."""
    (first, noise), (second, other) = tiny_policy.example_inputs()
    assert tiny_policy.shape_key(first) == tiny_policy.shape_key(second)
    assert not torch.equal(noise, other)
    assert not torch.equal(first['pixel_values'], second['pixel_values'])


def test_devices_are_named() -> None:
    """A GPU that is not there is an error with the way out, not a crash in torch."""
    assert torch_device('cpu').type == 'cpu'
    assert torch_device('auto').type in ('cpu', 'cuda')
    with pytest.raises(CheckpointError, match="unknown device 'gpu'; valid: auto, cpu, cuda"):
        torch_device('gpu')
    if not torch.cuda.is_available():
        with pytest.raises(CheckpointError, match='sees no GPU'):
            torch_device('cuda:0')


def test_closing_frees_the_model(tiny_checkpoint: Path) -> None:
    """Nothing holds the weights afterwards."""
    import gc
    import weakref
    policy: Any = load_policy(tiny_checkpoint, device='cpu')
    weight = weakref.ref(next(policy.model.parameters()))
    policy.close()
    gc.collect()
    assert weight() is None
