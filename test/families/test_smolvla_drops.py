# SPDX-License-Identifier: Apache-2.0
"""Dropping from SmolVLA is exact, though lerobot takes the blocks apart: sampling and training."""

from collections.abc import Callable, Iterable
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.family import Batch, stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family, family_of
from vla_drop_ros.pruning.constraints import check_plan
from vla_drop_ros.pruning.dead import prove_dead, without_gradient
from vla_drop_ros.pruning.drop import apply_plan, drop_checkpoint, dropped, skipped
from vla_drop_ros.pruning.plan import Plan

pytestmark = pytest.mark.usefixtures('one_thread')
Maker = Callable[..., Any]
DEPTH = 6
TEXT = 'model.vlm_with_expert.vlm.model.text_model'
PUBLISHED = (1, 2, 5, 6, 14, 15)  # what a study dropped of 16 blocks, together with the expert's


def actions(model: Any, seed: int = 3) -> torch.Tensor:
    """Return the chunk for a fixed random input."""
    found = family_of(model)
    return found.act(model, *found.fixed_inputs(model, 2, seed))


def batch_of(model: Any, samples: int = 3, draws: int = 2) -> Batch:
    """Return random samples, the second with padded words."""
    found = family_of(model)
    rows = [found.fixed_inputs(model, 2, seed)[0] for seed in range(samples)]
    inputs = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    for name, begin, end in (('attention_mask', 3, 6), ('prefix_mask', 11, 14)):
        inputs[name][1, begin:end] = 0
    shape = found.noise_shape(model)
    torch.manual_seed(11)
    weights = torch.ones(samples, *shape)
    weights[..., 4:] = 0
    weights[0, 2:] = 0
    times = found.flow_times(model, np.linspace(0.05, 0.95, samples * draws))
    return Batch(inputs, torch.randn(samples, *shape), weights,
                 torch.randn(samples, draws, *shape),
                 torch.from_numpy(times).float().reshape(samples, draws))


def losses(model: Any) -> torch.Tensor:
    """Return the action loss of random samples."""
    with torch.no_grad():
        return family_of(model).loss(model, batch_of(model))


def silence(model: Any, stack: str, parts: Iterable[tuple[int, str]]) -> None:
    """Make parts of blocks add nothing, by hooks that know nothing of this package's drops."""
    def nothing(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (torch.zeros_like(output[0]), *output[1:])
        return torch.zeros_like(output)

    for index, part in parts:
        stacks(family_of(model), model)[stack].module(index, part).register_forward_hook(nothing)


OUT, MLP, TOWER = 'self_attn.o_proj', 'mlp', 'self_attn'
BOTH = (OUT, MLP)
# Plan -> parts that must add nothing in the parent for the same actions and losses.
EQUAL: dict[str, tuple[Plan, dict[str, list[tuple[int, str]]]]] = {
    'vision whole': (Plan({'vision': {'whole': (1,)}}), {'vision': [(1, TOWER), (1, MLP)]}),
    'vision mha': (Plan({'vision': {'mha': (0, 2)}}), {'vision': [(0, TOWER), (2, TOWER)]}),
    'vision mlp': (Plan({'vision': {'mlp': (1,)}}), {'vision': [(1, MLP)]}),
    'tied': (Plan({'language': {'tied': (1, 2)}}), {
        stack: [(i, p) for i in (1, 2) for p in BOTH] for stack in ('language', 'action')}),
    'keep-kv': (Plan({'language': {'keep-kv': (0, 3)}}), {
        'language': [(i, p) for i in (0, 3) for p in BOTH]}),
    'language mha': (Plan({'language': {'mha': (1, 4)}}), {'language': [(1, OUT), (4, OUT)]}),
    'language mlp': (Plan({'language': {'mlp': (2, 5)}}), {'language': [(2, MLP), (5, MLP)]}),
    'action mha': (Plan({'action': {'mha': (0, 3)}}), {'action': [(0, OUT), (3, OUT)]}),
    'action mlp': (Plan({'action': {'mlp': (1, 2)}}), {'action': [(1, MLP), (2, MLP)]}),
    'mixed': (Plan({'vision': {'whole': (0,), 'mlp': (2,)},
                    'language': {'tied': (1, 2), 'keep-kv': (3,), 'mha': (4,)},
                    'action': {'mlp': (0,), 'mha': (5,)}}),
              {'vision': [(0, TOWER), (0, MLP), (2, MLP)],
               'language': [*((i, p) for i in (1, 2, 3) for p in BOTH), (4, OUT)],
               'action': [*((i, p) for i in (1, 2) for p in BOTH), (0, MLP), (5, OUT)]}),
}
STOCK = ('vision whole', 'tied')  # what configurations can say


@pytest.mark.parametrize('name', EQUAL)
def test_answers_equal_the_parent_with_those_parts_silenced(
        tiny_smolvla: Maker, name: str) -> None:
    """Every mode removes exactly what it says, in sampling and in training, to the bit."""
    plan, parts = EQUAL[name]
    parent, smaller = tiny_smolvla(), tiny_smolvla()
    kept, whole = set(parent.state_dict()), actions(parent)
    apply_plan(family_of(smaller), smaller, plan, Journal())
    for stack, silent in parts.items():
        silence(parent, stack, silent)
    assert torch.equal(actions(smaller), actions(parent))
    assert torch.equal(losses(smaller), losses(parent))
    assert set(smaller.state_dict()) < kept and not torch.equal(actions(smaller), whole)


@pytest.mark.parametrize('name', EQUAL)
def test_saved_drop_answers_like_the_model_in_memory(
        saved_smolvla: Path, tmp_path: Path, tiny_smolvla: Maker, name: str) -> None:
    """Loaders give the dropped policy to the bit, lerobot's where its configuration can say it."""
    plan, _ = EQUAL[name]
    model = tiny_smolvla()
    apply_plan(family_of(model), model, plan, Journal())
    manifest = drop_checkpoint(saved_smolvla, tmp_path / 'smaller', plan)
    reloaded, _ = load_checkpoint(tmp_path / 'smaller')
    assert torch.equal(actions(model), actions(reloaded))
    assert torch.equal(losses(model), losses(reloaded))
    assert manifest.stock is not None and manifest.stock['opens'] == (name in STOCK)
    assert (manifest.structure is None) == (name in STOCK)


def test_a_drop_is_taken_back(tiny_smolvla: Maker) -> None:
    """What a trial removed is there again, in the model and in every configuration."""
    model = tiny_smolvla()
    found, joint = family_of(model), model.model.vlm_with_expert

    def state() -> list[Any]:
        return [repr(model.config), joint.config.to_dict(), joint.lm_expert.config.to_dict(),
                joint.num_vlm_layers, joint.num_expert_layers, joint.num_attention_heads,
                joint.num_key_value_heads, sorted(model.state_dict())]

    before, known = actions(model), state()
    heads = {index: (1,) for index in range(DEPTH)}
    for plan in (*(plan for plan, _ in EQUAL.values()),
                 Plan(heads={'language': heads, 'action': heads}), Plan(dead=True)):
        with dropped(found, model, plan):
            assert state() != known
        assert torch.equal(actions(model), before) and state() == known


def test_skipping_in_place_equals_dropping(tiny_smolvla: Maker) -> None:
    """Blocks that do nothing in their places leave to the others what dropped ones leave."""
    model = tiny_smolvla()
    found = family_of(model)
    with dropped(found, model, Plan({'language': {'tied': (3, 4)}})):
        expected = actions(model)
    with skipped(found, model, {'language': (3, 4), 'action': (3, 4)}):
        assert torch.equal(actions(model), expected)


@pytest.mark.parametrize(('blocks', 'message'), [
    ({'language': {'tied': (1,)}}, 'role constraint.*self/cross'),
    ({'language': {'tied': (1, 3)}}, 'role constraint'),
    ({'language': {'whole': (1, 2)}}, 'runs the language block and the expert block'),
    ({'action': {'whole': (1, 2)}}, 'runs the language block and the expert block'),
    ({'connector': {'whole': (0,)}}, 'protected'),
])
def test_illegal_plans_are_refused(tiny_smolvla: Maker, blocks: Any, message: str) -> None:
    """What would change a block's role, or part a pair, is named."""
    model = tiny_smolvla()
    with pytest.raises(PlanError, match=message):
        check_plan(family_of(model), model, Plan(blocks))


def test_the_published_drop_opens_with_lerobot(
        tiny_smolvla: Maker, write_smolvla: Maker, tmp_path: Path) -> None:
    """Six of sixteen pairs go and leave the order of roles; lerobot reads it as ten blocks."""
    parent = tiny_smolvla(num_vlm_layers=16)
    write_smolvla(tmp_path / 'parent', parent)
    manifest = drop_checkpoint(tmp_path / 'parent', tmp_path / 'ten', Plan(
        {'language': {'tied': PUBLISHED}}), stock=True)
    config = json.loads((tmp_path / 'ten' / 'config.json').read_text())
    assert config['num_vlm_layers'] == 10 and manifest.structure is None
    for stack in ('language', 'action'):
        silence(parent, stack, [(index, part) for index in PUBLISHED for part in BOTH])
    stock = family('smolvla').open_stock(tmp_path / 'ten')
    assert torch.equal(actions(stock), actions(parent))


def test_dead_compute_is_found_and_proven(tiny_smolvla: Maker) -> None:
    """The last language block's queries, output and MLP, its norm and the words are read by none.

    The gradient of the loss says the same.
    """
    model = tiny_smolvla()
    idle, before = without_gradient(family_of(model), model, batch_of(model)), actions(model)
    names = {name for name, _ in model.named_parameters()}
    removed = prove_dead(family_of(model), model, 2, Journal())
    assert [one['what'] for one in removed] == [
        'model.vlm_with_expert.vlm.lm_head', f'{TEXT}.norm',
        'language block 5: queries, output and MLP']
    gone = names - {name for name, _ in model.named_parameters()}
    assert f'{TEXT}.layers.5.self_attn.q_proj.weight' in gone and gone <= set(idle)
    assert {name for name in idle if 'text_model.layers' in name} <= gone
    assert torch.equal(actions(model), before)


def test_what_an_attention_had_read_is_dead_with_it(
        saved_smolvla: Path, tmp_path: Path, tiny_smolvla: Maker) -> None:
    """Blocks behind the last that is read are emptied in their places, since roles hang on them.

    A dropped policy of which only dead parts are taken answers as before.
    """
    plan = Plan({'action': {'mha': (4, 5)}}, dead=True)
    manifest = drop_checkpoint(saved_smolvla, tmp_path / 'live', plan)
    reloaded, _ = load_checkpoint(tmp_path / 'live')
    parent = tiny_smolvla()
    silence(parent, 'action', [(4, OUT), (5, OUT)])
    assert torch.equal(actions(reloaded), actions(parent))
    assert torch.equal(losses(reloaded), losses(parent))
    live = stacks(family_of(reloaded), reloaded)['language']
    assert [sorted(live.left(index)) for index in (3, 4, 5)] == [['keys_values'], [], []]
    assert manifest.blocks == {'vision': 3, 'language': DEPTH, 'action': DEPTH}


def zero(model: Any, stack: str, index: int, path: str, columns: Iterable[int]) -> None:
    """Make a layer of a block ignore some of its inputs."""
    linear = stacks(family_of(model), model)[stack].module(index, path)
    with torch.no_grad():
        linear.weight[:, list(columns)] = 0.0


def zero_groups(model: Any, taken: dict[int, int], share: int) -> None:
    """Make both streams ignore groups of heads; a cross block also ignores the keys it is given.

    Args:
        model: whole.
        taken: block -> the group that it loses.
        share: query heads in a group.

    """
    for index, group in taken.items():
        for stack in ('language', 'action'):
            zero(model, stack, index, OUT, range(8 * share * group, 8 * share * (group + 1)))
        if index % 2:
            for path in ('self_attn.k_proj', 'self_attn.v_proj'):
                zero(model, 'action', index, path, range(8 * group, 8 * (group + 1)))


def both(taken: dict[int, int], **more: Any) -> Plan:
    """Return the plan that takes these groups from both streams."""
    heads = {index: (group,) for index, group in taken.items()}
    return Plan(heads={'language': heads, 'action': heads}, **more)


def test_even_heads_equal_zeroed_ones_and_open_with_lerobot(
        saved_smolvla: Path, tmp_path: Path, tiny_smolvla: Maker) -> None:
    """A group of every block of both streams goes, another one from each, and lerobot follows."""
    taken, parent = {index: index % 2 for index in range(DEPTH)}, tiny_smolvla()
    manifest = drop_checkpoint(saved_smolvla, tmp_path / 'even', both(taken), stock=True)
    zero_groups(parent, taken, 2)
    stock = family('smolvla').open_stock(tmp_path / 'even')
    assert torch.allclose(actions(stock), actions(parent), atol=1e-5)
    assert torch.allclose(losses(stock), losses(parent), atol=1e-4)
    assert stock.model.vlm_with_expert.num_attention_heads == 2 and manifest.structure is None


def test_heads_go_before_or_after_dead_parts(saved_smolvla: Path, tmp_path: Path) -> None:
    """A block that has keys and values only loses those of the group, like the others."""
    plan = both(dict.fromkeys(range(DEPTH), 1))
    for name, steps in {'first': (plan, Plan(dead=True)), 'last': (Plan(dead=True), plan)}.items():
        source = saved_smolvla
        for number, step in enumerate(steps):
            drop_checkpoint(source, tmp_path / f'{name}{number}', step)
            source = tmp_path / f'{name}{number}'
    one, other = (load_checkpoint(tmp_path / name)[0] for name in ('first1', 'last1'))
    assert torch.equal(actions(one), actions(other))
    assert {name: tuple(tensor.shape) for name, tensor in one.state_dict().items()} == {
        name: tuple(tensor.shape) for name, tensor in other.state_dict().items()}


@pytest.mark.parametrize(('text', 'taken', 'share', 'blocks'), [
    # No configuration of transformers may say 4 heads of 30 numbers, or 3 of 32.
    ({'hidden_size': 30, 'num_attention_heads': 6, 'num_key_value_heads': 3},
     dict.fromkeys(range(DEPTH), 1), 2, {'language': {'keep-kv': (3,)}, 'action': {'mlp': (2,)}}),
    ({'num_key_value_heads': 1}, dict.fromkeys(range(DEPTH), 2), 1, {}),
])
def test_heads_that_a_configuration_cannot_say(
        tiny_smolvla: Maker, write_smolvla: Maker, tmp_path: Path, text: dict[str, int],
        taken: dict[int, int], share: int, blocks: Any) -> None:
    """They are in the structure, with those of blocks of which only keys and values are left."""
    parent = tiny_smolvla(text)
    write_smolvla(tmp_path / 'parent', parent)
    manifest = drop_checkpoint(tmp_path / 'parent', tmp_path / 'odd', both(taken, blocks=blocks))
    reloaded, _ = load_checkpoint(tmp_path / 'odd')
    if text['num_key_value_heads'] > 1:
        zero_groups(parent, taken, share)
        silence(parent, 'language', [(3, OUT), (3, MLP)])
        silence(parent, 'action', [(2, MLP)])
    else:  # query heads go alone, all share the one head of keys
        for index, head in taken.items():
            for stack in ('language', 'action'):
                zero(parent, stack, index, OUT, range(8 * head, 8 * (head + 1)))
    assert torch.allclose(actions(reloaded), actions(parent), atol=1e-5)
    assert torch.allclose(losses(reloaded), losses(parent), atol=1e-4)
    assert manifest.structure is not None


@pytest.mark.parametrize('heads', [
    {'language': {1: (0,)}, 'action': {1: (0,)}},
    {'language': dict.fromkeys(range(DEPTH), (0,)), 'action': dict.fromkeys(range(DEPTH), (1,))},
])
def test_uneven_heads_are_refused(tiny_smolvla: Maker, heads: Any) -> None:
    """All blocks of both streams have one number of heads, and pairs the same ones."""
    model = tiny_smolvla()
    with pytest.raises(PlanError, match='joint attention'):
        check_plan(family_of(model), model, Plan(heads=heads))


def test_channels_equal_zeroed_ones(
        saved_smolvla: Path, tmp_path: Path, tiny_smolvla: Maker) -> None:
    """Channels go from any block; as many from each of a tower or of the VLM, lerobot can say."""
    taken: dict[str, dict[int, tuple[int, ...]]] = {
        'language': {1: (0, 5)}, 'vision': {0: (3,)}, 'action': {2: (1,), 5: (7, 8)}}
    parent = tiny_smolvla()
    for stack, blocks in taken.items():
        for index, columns in blocks.items():
            zero(parent, stack, index, 'mlp.fc2' if stack == 'vision' else 'mlp.down_proj',
                 columns)
    drop_checkpoint(saved_smolvla, tmp_path / 'narrow', Plan(channels=taken))
    reloaded, _ = load_checkpoint(tmp_path / 'narrow')
    assert torch.allclose(actions(reloaded), actions(parent), atol=1e-5)
    even: dict[str, dict[int, tuple[int, ...]]] = {
        'language': {index: (index,) for index in range(DEPTH)},
        'vision': {index: (1, 2) for index in range(3)}}
    manifest = drop_checkpoint(saved_smolvla, tmp_path / 'even', Plan(channels=even), stock=True)
    assert manifest.structure is None
