# SPDX-License-Identifier: Apache-2.0
"""Dropping is exact: the parent with those parts skipped, or a refusal that leaves nothing."""

from collections.abc import Callable, Iterable
from pathlib import Path
import random
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PI0ForConditionalGeneration

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, PlanError
from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.manifest import file_sha256, load_manifest
from vla_drop_ros.pruning.drop import apply_plan, drop_checkpoint, dropped, skipped
from vla_drop_ros.pruning.plan import Plan

Maker = Callable[..., Any]


def actions(model: Any, seed: int = 3) -> torch.Tensor:
    """Return the chunk for a fixed random input."""
    family = family_of(model)
    return family.act(model, *family.fixed_inputs(model, 2, seed))


def silence(model: Any, stack: str, parts: Iterable[tuple[int, str]]) -> list[Any]:
    """Make parts of blocks add nothing, by hooks that know nothing of this package's drops."""
    def nothing(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (torch.zeros_like(output[0]), *output[1:])
        return torch.zeros_like(output)

    live = stacks(family_of(model), model)[stack]
    return [live.module(index, part).register_forward_hook(nothing) for index, part in parts]


ATTENTION, MLP = 'self_attn', 'mlp'
BOTH = (ATTENTION, MLP)
# Plan -> parts that must add nothing in the parent for the same actions.
EQUAL = {
    'vision whole': (Plan({'vision': {'whole': (1,)}}), {'vision': [(1, p) for p in BOTH]}),
    'vision mha': (Plan({'vision': {'mha': (0, 2)}}), {'vision': [(0, ATTENTION),
                                                                  (2, ATTENTION)]}),
    'vision mlp': (Plan({'vision': {'mlp': (1,)}}), {'vision': [(1, MLP)]}),
    'tied': (Plan({'language': {'tied': (0, 2)}}), {
        stack: [(i, p) for i in (0, 2) for p in BOTH] for stack in ('language', 'action')}),
    'keep-kv': (Plan({'language': {'keep-kv': (0, 2)}}), {
        'language': [(i, p) for i in (0, 2) for p in BOTH]}),
    'language mha': (Plan({'language': {'mha': (1,)}}), {'language': [(1, ATTENTION)]}),
    'language mlp': (Plan({'language': {'mlp': (1, 3)}}), {'language': [(1, MLP), (3, MLP)]}),
    'first action': (Plan({'action': {'whole': (0,)}}), {'action': [(0, p) for p in BOTH]}),
    'last action': (Plan({'action': {'whole': (3,)}}), {'action': [(3, p) for p in BOTH]}),
    'action mha': (Plan({'action': {'mha': (0, 2)}}), {'action': [(0, ATTENTION),
                                                                  (2, ATTENTION)]}),
    'action mlp': (Plan({'action': {'mlp': (1,)}}), {'action': [(1, MLP)]}),
    'mixed': (Plan({'vision': {'whole': (0,), 'mlp': (2,)},
                    'language': {'tied': (1,), 'keep-kv': (2,), 'mha': (3,)},
                    'action': {'whole': (3,), 'mlp': (0,)}}),
              {'vision': [(0, ATTENTION), (0, MLP), (2, MLP)],
               'language': [(1, ATTENTION), (1, MLP), (2, ATTENTION), (2, MLP), (3, ATTENTION)],
               'action': [(1, ATTENTION), (1, MLP), (3, ATTENTION), (3, MLP), (0, MLP)]}),
}


@pytest.mark.parametrize('name', EQUAL)
def test_actions_equal_the_parent_with_those_parts_silenced(
        tiny_model: Maker, name: str) -> None:
    """Every mode removes exactly what it says: not one bit differs from skipping it."""
    plan, parts = EQUAL[name]
    parent, smaller = tiny_model(), tiny_model()
    apply_plan(family_of(smaller), smaller, plan, Journal())
    for stack, silent in parts.items():
        silence(parent, stack, silent)
    assert torch.equal(actions(smaller), actions(parent))
    assert sum(p.numel() for p in smaller.parameters()) < sum(
        p.numel() for p in parent.parameters())


@pytest.mark.parametrize('name', EQUAL)
def test_saved_copy_answers_like_the_model_in_memory(
        tiny_checkpoint: Path, tmp_path: Path, tiny_model: Maker, name: str) -> None:
    """The strict loader gives the dropped model, bit for bit, whatever the mode."""
    plan, _ = EQUAL[name]
    model = tiny_model()
    apply_plan(family_of(model), model, plan, Journal())
    drop_checkpoint(tiny_checkpoint, tmp_path / 'smaller', plan)
    reloaded, _ = load_checkpoint(tmp_path / 'smaller')
    assert torch.equal(actions(model), actions(reloaded))


PARTS_OF = {'whole': BOTH, 'tied': BOTH, 'keep-kv': BOTH, 'mha': (ATTENTION,), 'mlp': (MLP,)}


@pytest.mark.parametrize('seed', range(40))
def test_any_legal_plan_equals_the_parent_with_its_parts_silenced(
        tiny_model: Maker, seed: int) -> None:
    """Plans drawn at random over all stacks and modes, in any order; refused ones are skipped."""
    rng = random.Random(seed)
    modes = {'vision': ('whole', 'mha', 'mlp'), 'language': ('tied', 'keep-kv', 'mha', 'mlp'),
             'action': ('whole', 'mha', 'mlp')}
    parent, smaller, done = tiny_model(), tiny_model(), 0
    while done < 2:
        drawn: dict[str, dict[str, tuple[int, ...]]] = {}
        for stack in rng.sample(list(modes), 3):
            for index in range(3 if stack == 'vision' else 4):
                if rng.random() < 0.4:
                    modes_of, mode = drawn.setdefault(stack, {}), rng.choice(modes[stack])
                    modes_of[mode] = (*modes_of.get(mode, ()), index)
        silent = {stack: [(index, part) for mode, indices in found.items() for index in indices
                          for part in PARTS_OF[mode]] for stack, found in drawn.items()}
        silent.setdefault('action', []).extend(
            (index, part) for index in drawn.get('language', {}).get('tied', ()) for part in BOTH)
        try:
            with dropped(family_of(smaller), smaller, Plan(drawn)):
                found = actions(smaller, seed)
        except PlanError:
            continue
        handles = [handle for stack, parts in silent.items()
                   for handle in silence(parent, stack, parts)]
        assert torch.equal(found, actions(parent, seed)), drawn
        for handle in handles:
            handle.remove()
        done += 1


def test_removed_channels_and_heads_equal_zeroed_ones(
        tiny_checkpoint: Path, tmp_path: Path, tiny_model: Maker) -> None:
    """Widths go physically, and the actions are those of the parent with zeros instead."""
    plan = Plan(channels={'language': {1: (0, 5)}, 'vision': {0: (3,)}, 'action': {2: (1,)}},
                heads={'vision': {1: (0,)}, 'language': {2: (1,)}, 'action': {0: (0,)}})
    parent = tiny_model()
    with torch.no_grad():
        for stack, index, path, columns in (
                ('language', 1, 'mlp.down_proj', [0, 5]), ('vision', 0, 'mlp.fc2', [3]),
                ('action', 2, 'mlp.down_proj', [1]),
                ('vision', 1, 'self_attn.out_proj', range(8)),
                ('language', 2, 'self_attn.o_proj', range(8, 16)),
                ('action', 0, 'self_attn.o_proj', range(8))):
            stacks(family_of(parent), parent)[stack].module(index, path).weight[
                :, list(columns)] = 0.0
    manifest = drop_checkpoint(tiny_checkpoint, tmp_path / 'narrow', plan)
    reloaded, _ = load_checkpoint(tmp_path / 'narrow')
    assert torch.allclose(actions(reloaded), actions(parent), atol=1e-5)
    live = stacks(family_of(reloaded), reloaded)
    assert live['language'].channels(1) == 30 and live['vision'].heads(1) == 1
    assert manifest.dropped is not None
    assert manifest.dropped['language']['channels'] == {'1': 2}


def test_even_widths_open_with_the_stock_loader(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The same number of channels and heads from every block is what a configuration can say."""
    plan = Plan(channels={'language': {i: (i, 20) for i in range(4)}},
                heads={'action': {i: (i % 2,) for i in range(4)}})
    manifest = drop_checkpoint(tiny_checkpoint, tmp_path / 'even', plan, stock=True)
    stock = PI0ForConditionalGeneration.from_pretrained(tmp_path / 'even').eval()
    reloaded, _ = load_checkpoint(tmp_path / 'even')
    assert manifest.structure is None
    assert torch.equal(actions(stock), actions(reloaded))


def test_a_drop_is_taken_back(tiny_model: Maker) -> None:
    """What a trial removed is there again afterwards, in the model and in its configuration."""
    model = tiny_model()
    family, before, config = family_of(model), actions(model), model.config.to_dict()
    for plan, _ in EQUAL.values():
        with dropped(family, model, plan):
            assert not torch.equal(actions(model), before)
        assert torch.equal(actions(model), before)
    assert model.config.to_dict() == config


def test_a_failed_trial_is_taken_back_too(tiny_model: Maker) -> None:
    """An error inside a trial restores the model before it goes on."""
    model = tiny_model()
    before = actions(model)
    with pytest.raises(KeyError), dropped(
            family_of(model), model, Plan({'language': {'tied': (1,)}})):
        raise KeyError
    assert torch.equal(actions(model), before)


@pytest.mark.parametrize(('blocks', 'plan'), [
    ({'language': (1,)}, Plan({'language': {'keep-kv': (1,)}})),
    ({'language': (1, 2), 'action': (1, 2)}, Plan({'language': {'tied': (1, 2)}})),
    ({'action': (0,)}, Plan({'action': {'whole': (0,)}})),
    ({'vision': (2,)}, Plan({'vision': {'whole': (2,)}})),
])
def test_skipping_in_place_equals_dropping(
        tiny_model: Maker, blocks: dict[str, tuple[int, ...]], plan: Plan) -> None:
    """What is left of a stack does not notice whether a block is skipped or gone."""
    model = tiny_model()
    before = actions(model)
    with dropped(family_of(model), model, plan):
        expected = actions(model)
    with skipped(family_of(model), model, blocks):
        assert torch.equal(actions(model), expected)
    assert torch.equal(actions(model), before)


def test_every_record_of_the_depth_agrees(tiny_model: Maker) -> None:
    """Cache places are contiguous; configuration, layer types, cache and model are as deep."""
    model = tiny_model()
    config = model.config
    config.dit_config.layer_types = ['a', 'b', 'c', 'd']
    apply_plan(family_of(model), model, Plan({'language': {'tied': (0, 2)}}), Journal())
    for stack, text in (('language', config.vlm_config.text_config),
                        ('action', config.dit_config)):
        live = stacks(family_of(model), model)[stack]
        assert [block.self_attn.layer_idx for block in live.blocks] == [0, 1]
        assert text.num_hidden_layers == 2
    assert len(config.dit_config.layer_types) == 2
    config.dit_config.layer_types = None
    cache = model.model.vlm.language_model(inputs_embeds=torch.zeros(1, 3, 16), use_cache=True)
    assert len(cache.past_key_values.layers) == 2
    assert all(layer.keys.shape[2] == 3 for layer in cache.past_key_values.layers)


def test_unread_blocks_leave_the_cache_to_the_others(tiny_model: Maker) -> None:
    """Without its reader a language block stays and works, but no longer fills the cache."""
    model = tiny_model()
    apply_plan(family_of(model), model, Plan({'action': {'whole': (0, 2)}}), Journal())
    cache = model.model.vlm.language_model(
        inputs_embeds=torch.zeros(1, 3, 16), use_cache=True).past_key_values
    assert [layer.is_initialized for layer in cache.layers] == [True, True, False, False]
    assert [block.self_attn.layer_idx for block in model.model.dit.layers] == [0, 1]


def test_manifest_tells_the_whole_lineage(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A drop of a drop names parent and grandparent by hash, and what each step removed."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    root = load_manifest(tiny_checkpoint)
    child = drop_checkpoint(tiny_checkpoint, first, Plan({'language': {'tied': (1,)}}))
    grandchild = drop_checkpoint(first, second, Plan({'language': {'keep-kv': (0,)}}),
                                 name='two blocks')
    assert grandchild.name == 'two blocks' and child.name == 'first'
    assert grandchild.parent is not None
    assert grandchild.parent['sha256'] == child.identity
    assert grandchild.parent['parent']['sha256'] == root.identity
    assert grandchild.parent['dropped']['language'] == {
        'kept': [0, 2, 3], 'removed': [1], 'modes': {'tied': [1]}}
    assert grandchild.dropped == {
        'language': {'kept': [0, 1, 2], 'removed': [], 'modes': {'keep-kv': [0]}}}
    assert grandchild.parameters['language'] < child.parameters['language']
    assert (grandchild.action_spec, grandchild.cameras) == (root.action_spec, root.cameras)
    assert file_sha256(second / 'plan.json') == grandchild.files['plan.json']


def test_drops_of_drops_compose(tiny_checkpoint: Path, tmp_path: Path, tiny_model: Maker) -> None:
    """Parts that went one after the other are gone as if they had gone at once."""
    steps = (Plan({'language': {'keep-kv': (1,)}}), Plan({'action': {'whole': (2,)}}),
             Plan({'language': {'tied': (0,)}}), Plan({'vision': {'mha': (1,)}}))
    source = tiny_checkpoint
    for number, plan in enumerate(steps):
        drop_checkpoint(source, tmp_path / str(number), plan)
        source = tmp_path / str(number)
    model, reloaded = tiny_model(), load_checkpoint(source)[0]
    apply_plan(family_of(model), model, Plan({
        'language': {'keep-kv': (1,), 'tied': (0,)}, 'action': {'whole': (2,)},
        'vision': {'mha': (1,)}}), Journal())
    assert torch.equal(actions(model), actions(reloaded))


def test_empty_plan_is_the_identity(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Dropping nothing writes the same weights and the same fingerprint."""
    root = load_manifest(tiny_checkpoint)
    copy = drop_checkpoint(tiny_checkpoint, tmp_path / 'copy', Plan())
    for name in set(root.files) - {'config.json'}:
        assert copy.files[name] == root.files[name]
    assert copy.fingerprint == root.fingerprint and copy.structure is None


def test_vlm_language_blocks_go_alone(write_tiny: Maker, tmp_path: Path) -> None:
    """Without an action expert language blocks go whole, and the cache counts what attends."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    manifest = drop_checkpoint(tmp_path / 'vlm', tmp_path / 'out',
                               Plan({'language': {'whole': (2,), 'mha': (0,)}}))
    assert manifest.role == 'vlm'
    assert manifest.dropped is not None
    assert manifest.dropped['language'] == {
        'kept': [0, 1, 3], 'removed': [2], 'modes': {'mha': [0], 'whole': [2]}}
    model, _ = load_checkpoint(tmp_path / 'out')
    output = model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=True)
    assert output.past_key_values.get_seq_length() == 3


def test_a_plan_for_another_checkpoint_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Indices mean something only for the checkpoint that they were chosen for."""
    with pytest.raises(PlanError, match='was made for checkpoint aaaaaaaaaaaa'):
        drop_checkpoint(tiny_checkpoint, tmp_path / 'out', Plan(
            {'language': {'tied': (1,)}}, checkpoint='a' * 64))
    assert [path.name for path in tmp_path.iterdir()] == ['tiny']


@pytest.mark.parametrize(('blocks', 'message'), [
    ({'language': {'tied': (4,)}}, r'language block \[4\] does not exist; valid: 0 to 3'),
    ({'vision': {'whole': (-1,)}}, r'vision block \[-1\] does not exist; valid: 0 to 2'),
    ({'vision': {'whole': (0, 1, 2)}}, 'drops all 3 vision blocks'),
    ({'language': {'whole': (1,)}}, 'the action block of the same index reads'),
    ({'langage': {'tied': (1,)}}, "Did you mean 'language'"),
])
def test_illegal_plans_are_refused_and_leave_nothing(
        tiny_checkpoint: Path, tmp_path: Path, blocks: dict[str, Any], message: str) -> None:
    """A bad plan names what is valid; no output appears."""
    with pytest.raises(PlanError, match=message):
        drop_checkpoint(tiny_checkpoint, tmp_path / 'out', Plan(blocks))
    assert [path.name for path in tmp_path.iterdir()] == ['tiny']


def test_existing_output_is_kept_unless_forced(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """An output that exists is replaced only by force, and only if it is a checkpoint."""
    output = tmp_path / 'out'
    drop_checkpoint(tiny_checkpoint, output, Plan({'language': {'tied': (1,)}}))
    other = Plan({'language': {'tied': (2,)}})
    with pytest.raises(CheckpointError, match='--force'):
        drop_checkpoint(tiny_checkpoint, output, other)
    assert drop_checkpoint(tiny_checkpoint, output, other, force=True) == load_manifest(output)
    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('years of work')
    with pytest.raises(CheckpointError, match='no checkpoint'):
        drop_checkpoint(tiny_checkpoint, foreign, Plan(), force=True)
    assert (foreign / 'thesis.txt').exists()
