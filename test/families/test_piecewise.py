# SPDX-License-Identifier: Apache-2.0
"""What stands for a removed part where lerobot calls the parts of the parts one by one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vla_drop_ros.families.piecewise import KeysValuesOnly, Nothing, PiecewiseStandIns
from vla_drop_ros.families.reduced import Zeros

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture
def attention(tiny_smolvla: Callable[..., Any]) -> Any:
    """Return an attention of a tiny SmolVLA's language stack."""
    joint = tiny_smolvla().model.vlm_with_expert
    return joint.get_vlm_model().text_model.layers[0].self_attn


@pytest.mark.parametrize('keep', [True, False])
def test_only_keys_and_values_may_stay(attention: Any, keep: bool) -> None:
    """Queries and output are zero of the right width; keys and values are the very layers."""
    found = PiecewiseStandIns().attention(attention, keep)
    assert isinstance(found, KeysValuesOnly)
    assert (found.head_dim, found.layer_idx) == (attention.head_dim, attention.layer_idx)
    hidden = torch.randn(1, 3, attention.q_proj.in_features)
    for name in ('q_proj', 'k_proj', 'v_proj', 'o_proj'):
        stands, was = getattr(found, name), getattr(attention, name)
        if keep and name in ('k_proj', 'v_proj'):
            assert stands is was
            continue
        assert isinstance(stands, Zeros)
        out = stands(hidden)
        assert out.shape == (1, 3, was.out_features) and not out.any()


def test_a_removed_mlp_adds_nothing_and_can_be_added_to() -> None:
    """A residual is added in place there, so the zeros are new ones each time."""
    nothing, hidden = Nothing(), torch.ones(1, 2, 4)
    first = nothing(hidden)
    first += 1.0
    assert not nothing(hidden).any() and hidden.eq(1.0).all()
    assert isinstance(PiecewiseStandIns().mlp(None), Nothing)


def test_the_tower_s_attention_is_called_whole() -> None:
    """It has an output layer of another name, and gets the usual stand-in."""
    tower = nn.Module()
    tower.out_proj = nn.Linear(4, 4)
    assert not isinstance(PiecewiseStandIns().attention(tower, False), KeysValuesOnly)
