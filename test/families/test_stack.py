# SPDX-License-Identifier: Apache-2.0
"""A stack counts its parts rightly before and after each change, and every change is undone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.pi0 import PI0
from vla_drop_ros.families.stack import Stack


@pytest.fixture
def model(tiny_model: Callable[..., Any]) -> Any:
    """Return a tiny policy that the test may change."""
    return tiny_model()


@pytest.fixture
def language(model: Any) -> Stack:
    """Return its language stack."""
    return stacks(PI0, model)['language']


def numbers(stack: Stack, index: int) -> tuple[Any, ...]:
    """Return all that a stack says about a block."""
    return (stack.left(index), stack.is_read(index), stack.heads(index),
            stack.key_value_heads(index), stack.channels(index))


def state(model: Any) -> dict[str, torch.Tensor]:
    """Return all parameters by name."""
    return dict(model.named_parameters())


@pytest.mark.parametrize(('change', 'expected'), [
    (lambda s, j: s.remove_attention(1, j, keep_keys_values=True),
     ({'keys_values', 'mlp'}, True, 0, 1, 32)),
    (lambda s, j: s.remove_attention(1, j, keep_keys_values=False), ({'mlp'}, True, 0, 0, 32)),
    (lambda s, j: s.remove_mlp(1, j), ({'keys_values', 'attention'}, True, 2, 1, 0)),
    (lambda s, j: s.stop_reading(1, j),
     ({'keys_values', 'attention', 'mlp'}, False, 2, 1, 32)),
    (lambda s, j: s.keep_channels(1, [0, 5, 31], j),
     ({'keys_values', 'attention', 'mlp'}, True, 2, 1, 3)),
    (lambda s, j: s.keep_heads(1, [1], None, j),
     ({'keys_values', 'attention', 'mlp'}, True, 1, 1, 32)),
])
def test_each_change_is_counted_and_taken_back(
        model: Any, language: Stack, change: Callable[[Stack, Journal], None],
        expected: tuple[Any, ...]) -> None:
    """Only the block meant changes, and undoing brings the same parameters back."""
    before, whole, journal = state(model), numbers(language, 1), Journal()
    change(language, journal)
    assert numbers(language, 1) == expected and numbers(language, 0) == whole
    journal.undo()
    assert numbers(language, 1) == whole
    after = state(model)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def test_blocks_go_and_come_back(language: Stack) -> None:
    """What is left keeps its order."""
    blocks, journal = list(language.blocks), Journal()
    language.remove_blocks([0, 2], journal)
    assert list(language.blocks) == [blocks[1], blocks[3]]
    journal.undo()
    assert list(language.blocks) == blocks


def test_a_part_goes_once(language: Stack) -> None:
    """Removing what is gone already changes nothing."""
    journal = Journal()
    language.remove_mlp(2, journal)
    stand_in = language.module(2, 'mlp')
    language.remove_mlp(2, journal)
    assert language.module(2, 'mlp') is stand_in
    language.remove_attention(2, journal, keep_keys_values=True)
    language.remove_attention(2, journal, keep_keys_values=False)
    assert language.left(2) == frozenset()


def test_kept_channels_are_the_rows_asked_for(language: Stack) -> None:
    """Rows and columns are taken in the order given."""
    journal = Journal()
    up, down = (language.module(1, f'mlp.{name}').weight.detach().clone()
                for name in ('up_proj', 'down_proj'))
    language.keep_channels(1, [7, 2], journal)
    assert torch.equal(language.module(1, 'mlp.up_proj').weight, up[[7, 2]])
    assert torch.equal(language.module(1, 'mlp.down_proj').weight, down[:, [7, 2]])


def test_heads_take_their_rows_and_the_group_count(model: Any) -> None:
    """A head is head_dim rows; grouped attention is told how many share a key."""
    language, journal = stacks(PI0, model)['language'], Journal()
    query = language.module(0, 'self_attn.q_proj').weight.detach().clone()
    language.keep_heads(0, [1], None, journal)
    assert torch.equal(language.module(0, 'self_attn.q_proj').weight, query[8:])
    assert language.module(0, 'self_attn').num_key_value_groups == 1
    journal.undo()
    assert language.module(0, 'self_attn').num_key_value_groups == 2


def test_a_model_without_weights_changes_alike(
        model: Any, tiny_model: Callable[..., Any]) -> None:
    """On the meta device the same changes give the same shapes."""
    shapes = []
    for one in (model, tiny_model().to('meta')):
        stack, journal = stacks(PI0, one)['vision'], Journal()
        stack.keep_channels(0, [1, 2, 3], journal)
        stack.keep_heads(1, [0], [0], journal)
        shapes.append({name: tuple(value.shape) for name, value in one.named_parameters()})
    assert shapes[0] == shapes[1]
