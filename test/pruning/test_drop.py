# SPDX-License-Identifier: Apache-2.0
"""Dropping whole blocks: exactly the parent with those blocks skipped, or a refusal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PI0ForConditionalGeneration

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, PlanError
from vla_drop_ros.fingerprint import measure
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.pruning.block_sites import block_stacks
from vla_drop_ros.pruning.drop import drop_blocks, remove_blocks

Maker = Callable[..., Any]


def skip(model: Any, stack: str, indices: Sequence[int]) -> None:
    """Make blocks of a model return what they were given; they still fill the cache."""
    for index in indices:
        block_stacks(model)[stack].blocks[index].register_forward_hook(
            lambda _module, inputs, _output: inputs[0])


@pytest.mark.parametrize('blocks', [
    {'language': [1]}, {'language': [0, 2]}, {'language': [3]}, {'vision': [1]},
    {'language': [0, 1, 3], 'vision': [0, 2]}])
def test_actions_equal_the_parent_with_those_blocks_skipped(
        tiny_model: Maker, blocks: dict[str, list[int]]) -> None:
    """Removing blocks is exact: not one bit differs from skipping them in the parent."""
    parent, smaller = tiny_model(), tiny_model()
    remove_blocks(smaller, blocks)
    skip(parent, 'vision', blocks.get('vision', []))
    skip(parent, 'language', blocks.get('language', []))
    skip(parent, 'action', blocks.get('language', []))
    assert measure(smaller, 2) == measure(parent, 2)


def test_every_record_of_the_depth_agrees(tiny_model: Maker) -> None:
    """Cache places are contiguous; configuration, cache and model are equally deep."""
    model = tiny_model()
    config = model.config
    config.dit_config.layer_types = ['a', 'b', 'c', 'd']
    remove_blocks(model, {'language': [0, 2]})
    for stack, text in (('language', config.vlm_config.text_config),
                        ('action', config.dit_config)):
        places = [block.self_attn.layer_idx for block in block_stacks(model)[stack].blocks]
        assert places == [0, 1]
        assert text.num_hidden_layers == 2
    assert config.dit_config.layer_types == ['b', 'd']
    config.dit_config.layer_types = None
    embeddings = torch.zeros(1, 3, 16)
    cache = model.model.vlm.language_model(inputs_embeds=embeddings, use_cache=True)
    assert len(cache.past_key_values.layers) == 2


def test_saved_copy_answers_like_the_model_in_memory(
        tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Strict and stock loader give the dropped model, bit for bit."""
    output = tmp_path / 'smaller'
    drop_blocks(tiny_checkpoint, output, {'language': [1, 3], 'vision': [2]})
    model, _ = load_checkpoint(tiny_checkpoint)
    remove_blocks(model, {'language': [1, 3], 'vision': [2]})
    reloaded, manifest = load_checkpoint(output)
    stock = PI0ForConditionalGeneration.from_pretrained(output)
    assert measure(model, 2) == measure(reloaded, 2) == measure(stock.eval(), 2)
    assert manifest.dropped == {
        'vision': {'mode': 'whole', 'kept': [0, 1], 'removed': [2]},
        'language': {'mode': 'tied', 'kept': [0, 2], 'removed': [1, 3]},
        'action': {'mode': 'tied', 'kept': [0, 2], 'removed': [1, 3]}}


def test_manifest_tells_the_whole_lineage(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A drop of a drop names parent and grandparent by hash, and what each step removed."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    root = load_manifest(tiny_checkpoint)
    child = drop_blocks(tiny_checkpoint, first, {'language': [1]})
    grandchild = drop_blocks(first, second, {'language': [0]}, name='two blocks')
    assert grandchild.name == 'two blocks' and child.name == 'first'
    assert grandchild.parent is not None
    assert grandchild.parent['sha256'] == child.identity
    assert grandchild.parent['parent']['sha256'] == root.identity
    assert grandchild.parent['dropped']['language']['removed'] == [1]
    assert grandchild.parameters['language'] < child.parameters['language']
    assert (grandchild.action_spec, grandchild.cameras) == (root.action_spec, root.cameras)


def test_empty_plan_is_the_identity(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Dropping nothing writes the same weights and the same fingerprint."""
    root = load_manifest(tiny_checkpoint)
    copy = drop_blocks(tiny_checkpoint, tmp_path / 'copy', {})
    for name in set(root.files) - {'config.json'}:
        assert copy.files[name] == root.files[name]
    assert copy.fingerprint == root.fingerprint


def test_vlm_language_blocks_go_alone(write_tiny: Maker, tmp_path: Path) -> None:
    """A vision-language model has no action expert: its language stack is dropped whole."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    manifest = drop_blocks(tmp_path / 'vlm', tmp_path / 'out', {'language': [2]})
    assert manifest.role == 'vlm'
    assert manifest.dropped is not None
    assert manifest.dropped['language'] == {'mode': 'whole', 'kept': [0, 1, 3], 'removed': [2]}


@pytest.mark.parametrize(('blocks', 'message'), [
    ({'language': [4]}, r'language block \[4\] does not exist; valid: 0 to 3'),
    ({'vision': [-1]}, r'vision block \[-1\] does not exist; valid: 0 to 2'),
    ({'language': [1, 1]}, 'more than once'),
    ({'vision': [0, 1, 2]}, 'drops all 3 vision blocks'),
    ({'action': [1]}, 'tied to the language blocks'),
    ({'langage': [1]}, "Did you mean 'language'"),
])
def test_illegal_plans_are_refused_and_leave_nothing(
        tiny_checkpoint: Path, tmp_path: Path, blocks: dict[str, list[int]],
        message: str) -> None:
    """A bad plan names what is valid; no output appears."""
    with pytest.raises(PlanError, match=message):
        drop_blocks(tiny_checkpoint, tmp_path / 'out', blocks)
    assert [path.name for path in tmp_path.iterdir()] == ['tiny']


def test_existing_output_is_kept_unless_forced(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """An output that exists is replaced only by force, and only if it is a checkpoint."""
    output = tmp_path / 'out'
    drop_blocks(tiny_checkpoint, output, {'language': [1]})
    with pytest.raises(CheckpointError, match='--force'):
        drop_blocks(tiny_checkpoint, output, {'language': [2]})
    assert drop_blocks(
        tiny_checkpoint, output, {'language': [2]}, force=True) == load_manifest(output)
    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('years of work')
    with pytest.raises(CheckpointError, match='no checkpoint'):
        drop_blocks(tiny_checkpoint, foreign, {}, force=True)
    assert (foreign / 'thesis.txt').exists()
