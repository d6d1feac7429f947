# SPDX-License-Identifier: Apache-2.0
"""Stand-ins hold no parameters and add nothing; keys and values are those of the attention."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.pi0 import PI0
from vla_drop_ros.families.reduced import KeysValues, NoAttention, NoMlp, StandIns, Zeros


def test_nothing_is_added_whatever_the_shape() -> None:
    """A zero of no dimension has the dtype of the stream."""
    hidden = torch.randn(2, 3, 4, dtype=torch.bfloat16)
    attended, weights = NoAttention()(hidden, attention_mask=None)
    assert weights is None
    for added in (attended, NoMlp()(hidden)):
        assert added.dtype == hidden.dtype and torch.equal(hidden + added, hidden)
    assert not [*NoAttention().parameters(), *NoMlp().parameters()]


def test_zeros_keep_the_width() -> None:
    """Where a shape still matters it is there, without weights to save."""
    zeros = Zeros(5, torch.bfloat16)
    found = zeros(torch.randn(2, 3, 4))
    assert found.shape == (2, 3, 5) and not found.any()
    assert zeros.weight.dtype == torch.bfloat16 and not zeros.state_dict()


def test_keys_and_values_are_those_of_the_whole_attention(
        tiny_model: Callable[..., Any]) -> None:
    """The cache holds the same bits; the module shares the weights and adds nothing."""
    model = tiny_model()
    attention = stacks(PI0, model)['language'].module(1, 'self_attn')
    reduced = KeysValues(attention)
    hidden = torch.randn(2, 5, 16)
    places = model.model.vlm.language_model.rotary_emb(hidden, torch.arange(5)[None])
    caches = []
    for module in (attention, reduced):
        cache = DynamicCache()
        with torch.no_grad():
            added, _ = module(hidden, position_embeddings=places, attention_mask=None,
                              past_key_values=cache)
        caches.append(cache.layers[1])
    assert torch.equal(caches[0].keys, caches[1].keys)
    assert torch.equal(caches[0].values, caches[1].values)
    assert added.shape == () and reduced.k_proj is attention.k_proj


def test_the_right_stand_in_is_chosen(tiny_model: Callable[..., Any]) -> None:
    """Keys and values stay only on request."""
    attention = stacks(PI0, tiny_model())['language'].module(0, 'self_attn')
    assert isinstance(StandIns().attention(attention, keep_keys_values=True), KeysValues)
    assert isinstance(StandIns().attention(attention, keep_keys_values=False), NoAttention)
    assert isinstance(StandIns().mlp(attention), NoMlp)
