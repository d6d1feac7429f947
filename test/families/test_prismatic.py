# SPDX-License-Identifier: Apache-2.0
"""The prismatic family: two towers tapped before their ends, all tokens seeing all others."""

from collections.abc import Callable, Iterable, Mapping
import json
from pathlib import Path
import shutil
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, PlanError
from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.prismatic import PRISMATIC
from vla_drop_ros.families.prismatic_model import PrismaticConfig, PrismaticForActions
from vla_drop_ros.manifest import file_sha256, load_manifest
from vla_drop_ros.pruning.dead import remove_dead, without_gradient
from vla_drop_ros.pruning.drop import apply_plan, drop_checkpoint, dropped, skipped
from vla_drop_ros.pruning.plan import Plan

Maker = Callable[..., Any]
DINO, SIGLIP, LANGUAGE = STACKS = ('vision_dino', 'vision_siglip', 'language')
# What a tower computes behind its tap, and the one parameter that only pretraining reads.
DEAD = ('dino.encoder.layer.2.', 'dino.layernorm.', 'siglip.encoder.layers.3.',
        'siglip.post_layernorm.')
MASK_TOKEN = 'dino.embeddings.mask_token'


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory, write_prismatic: Maker) -> Path:
    """Return one checkpoint folder for the whole file."""
    folder = tmp_path_factory.mktemp('prismatic') / 'tiny'
    write_prismatic(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, written: Path) -> Path:
    """Return a copy of the checkpoint that the test may damage."""
    return Path(shutil.copytree(written, tmp_path / 'tiny'))


def actions(model: Any, seed: int = 3) -> torch.Tensor:
    """Return the chunk for a fixed random input."""
    return PRISMATIC.act(model, *PRISMATIC.fixed_inputs(model, 2, seed))


def rewrite(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change the configuration or the weights, and the hash that guards them."""
    path = folder / name
    if path.suffix == '.json':
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    else:
        content = load_file(path)
        change(content)
        save_file(content, path, metadata={'format': 'pt'})
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['files'][name] = file_sha256(path)
    (folder / 'manifest.json').write_text(json.dumps(manifest))


@pytest.mark.parametrize('shard_bytes', [10**9, 30_000])
def test_saved_model_comes_back_exactly(
        tmp_path: Path, tiny_prismatic: Maker, write_prismatic: Maker, shard_bytes: int) -> None:
    """Save and load change no bit, in one file or in shards; from_pretrained opens it too."""
    manifest = write_prismatic(tmp_path / 'out', shard_bytes=shard_bytes)
    files = list((tmp_path / 'out').glob('*.safetensors'))
    assert (len(files) > 1) == (shard_bytes < 10**9)
    model, original = load_checkpoint(tmp_path / 'out')[0], tiny_prismatic()
    stock = PrismaticForActions.from_pretrained(tmp_path / 'out').eval()
    for found in (model, stock):
        assert all(torch.equal(value, original.state_dict()[key])
                   for key, value in found.state_dict().items())
    assert torch.equal(actions(model), actions(original))
    assert torch.allclose(actions(stock), actions(original), atol=1e-5)
    assert manifest.stock['opens'] and manifest.structure is None
    assert manifest.blocks == {DINO: 3, SIGLIP: 4, LANGUAGE: 4}
    assert sum(manifest.parameters.values()) == sum(p.numel() for p in original.parameters())
    assert PRISMATIC.read_config(tmp_path / 'out')['siglip_tap'] == 3


def test_other_weights_are_refused(folder: Path) -> None:
    """The fingerprint notices one changed layer even if the hash agrees."""
    rewrite(folder, 'model.safetensors', lambda tensors: tensors['projector.0.weight'].neg_())
    with pytest.raises(CheckpointError, match='answers a fixed input differently'):
        load_checkpoint(folder)


@pytest.mark.parametrize('tap', ['dino_tap', 'siglip_tap'])
def test_a_wrong_tap_is_refused(folder: Path, tap: str) -> None:
    """Features from another block are noticed by the hash, and without it by the fingerprint."""
    original = (folder / 'config.json').read_text()
    config = json.loads(original)
    (folder / 'config.json').write_text(original.replace(
        f'"{tap}": {config[tap]}', f'"{tap}": {config[tap] - 1}'))
    with pytest.raises(CheckpointError, match=r'config\.json'):
        load_checkpoint(folder)
    (folder / 'config.json').write_text(original)
    rewrite(folder, 'config.json', lambda found: found.update({tap: found[tap] - 1}))
    with pytest.raises(CheckpointError, match='answers a fixed input differently'):
        load_checkpoint(folder)


@pytest.mark.parametrize(('fields', 'message'), [
    ({'dino_tap': 4}, 'dino_tap 4: the tower has 3 blocks'),
    ({'siglip_config': {'image_size': 30, 'patch_size': 10}}, '2 and 3 patches a side'),
    ({'text_config': {'eos_token_id': [1, 2]}}, 'must be one number each')])
def test_parts_that_do_not_fit_are_refused(
        tiny_prismatic: Maker, fields: dict[str, Any], message: str) -> None:
    """A configuration that cannot work says so before a model is built."""
    with pytest.raises(ValueError, match=message):
        tiny_prismatic(**fields)
    assert PrismaticConfig(dino_config={'num_hidden_layers': 5, 'image_size': 224,
                                        'patch_size': 16}).dino_tap == 4


ATTENTION = {DINO: 'attention', SIGLIP: 'self_attn', LANGUAGE: 'self_attn'}
WHOLE = ('attention', 'mlp')
# Plan -> parts that must add nothing in the parent for the same actions.
EQUAL: dict[str, tuple[dict[str, Any], list[tuple[str, int, tuple[str, ...]]]]] = {
    **{f'{stack} {mode}': ({stack: {mode: blocks}}, [(stack, i, parts) for i in blocks])
       for stack in STACKS
       for mode, blocks, parts in (
           ('whole', (0,) if stack == DINO else (0, 2), WHOLE),
           ('mha', (0, 1), ('attention',)), ('mlp', (1,), ('mlp',)))},
    'last of each': ({DINO: {'whole': (1,)}, SIGLIP: {'whole': (2,)}, LANGUAGE: {'whole': (3,)}},
                     [(DINO, 1, WHOLE), (SIGLIP, 2, WHOLE), (LANGUAGE, 3, WHOLE)]),
    'mixed': ({DINO: {'whole': (0,), 'mha': (1,)}, SIGLIP: {'mlp': (0,), 'whole': (1,)},
               LANGUAGE: {'whole': (1,), 'mha': (2,), 'mlp': (3,)}},
              [(DINO, 0, WHOLE), (DINO, 1, ('attention',)), (SIGLIP, 0, ('mlp',)),
               (SIGLIP, 1, WHOLE), (LANGUAGE, 1, WHOLE), (LANGUAGE, 2, ('attention',)),
               (LANGUAGE, 3, ('mlp',))])}


def silence(model: Any, parts: Iterable[tuple[str, int, tuple[str, ...]]]) -> None:
    """Make parts of blocks add nothing, by hooks that know nothing of this package's drops."""
    def nothing(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (torch.zeros_like(output[0]), *output[1:])
        return torch.zeros_like(output)

    lists = {DINO: model.dino.encoder.layer, SIGLIP: model.siglip.encoder.layers,
             LANGUAGE: model.language_model.layers}
    for stack, index, names in parts:
        for name in names:
            path = ATTENTION[stack] if name == 'attention' else name
            getattr(lists[stack][index], path).register_forward_hook(nothing)


@pytest.mark.parametrize('name', EQUAL)
def test_drops_equal_the_parent_with_those_parts_silenced(
        folder: Path, tmp_path: Path, tiny_prismatic: Maker, name: str) -> None:
    """Not one bit differs from skipping, in memory and after the strict loader."""
    blocks, parts = EQUAL[name]
    parent, smaller = tiny_prismatic(), tiny_prismatic()
    apply_plan(PRISMATIC, smaller, Plan(blocks), Journal())
    silence(parent, parts)
    assert torch.equal(actions(smaller), actions(parent))
    assert sum(p.numel() for p in smaller.parameters()) < sum(
        p.numel() for p in parent.parameters())
    manifest = drop_checkpoint(folder, tmp_path / 'smaller', Plan(blocks))
    assert torch.equal(actions(load_checkpoint(tmp_path / 'smaller')[0]), actions(smaller))
    assert manifest.stock is not None
    assert manifest.stock['opens'] == all(
        mode == 'whole' for modes in blocks.values() for mode in modes)


def test_the_tap_follows_the_blocks_before_it(tiny_prismatic: Maker) -> None:
    """It falls with what is dropped before it, and stays where what is behind it goes."""
    model = tiny_prismatic()
    before, config = actions(model), model.config.to_dict()
    with dropped(PRISMATIC, model, Plan({DINO: {'whole': (2,)}, SIGLIP: {'whole': (3,)}})):
        assert (model.config.dino_tap, model.config.siglip_tap) == (2, 3)
        assert torch.equal(actions(model), before)
    with dropped(PRISMATIC, model, Plan({DINO: {'whole': (0,)}, SIGLIP: {'whole': (0, 1)}})):
        assert (model.config.dino_tap, model.config.siglip_tap) == (1, 1)
        expected = actions(model)
    with skipped(PRISMATIC, model, {DINO: (0,), SIGLIP: (0, 1)}):
        assert (model.config.dino_tap, model.config.siglip_tap) == (2, 3)
        assert torch.equal(actions(model), expected)
    assert torch.equal(actions(model), before) and model.config.to_dict() == config


def test_every_record_of_the_depth_agrees(folder: Path, tmp_path: Path) -> None:
    """Names of stages, cache places and depths are those of a model that was built so deep."""
    drop_checkpoint(folder, tmp_path / 'out', Plan(
        {DINO: {'whole': (1,)}, LANGUAGE: {'whole': (0, 2)}}), stock=True)
    model, _ = load_checkpoint(tmp_path / 'out')
    config = model.config
    assert config.dino_config.stage_names == ['stem', 'stage1', 'stage2']
    assert config.dino_config.out_features == ['stage2'] and config.dino_tap == 1
    assert [block.self_attn.layer_idx for block in model.language_model.layers] == [0, 1]
    assert config.text_config.num_hidden_layers == len(model.language_model.layers) == 2


def test_drops_of_drops_compose_and_nothing_is_the_identity(
        folder: Path, tmp_path: Path, tiny_prismatic: Maker) -> None:
    """Parts that went one after the other are gone as if at once; an empty plan changes none."""
    source = folder
    for number, step in enumerate((
            {}, {DINO: {'whole': (1,)}}, {SIGLIP: {'whole': (0,)}}, {SIGLIP: {'whole': (1,)}},
            {LANGUAGE: {'mlp': (0,)}, DINO: {'mha': (0,)}})):
        drop_checkpoint(source, tmp_path / str(number), Plan(step))
        source = tmp_path / str(number)
    model = tiny_prismatic()
    apply_plan(PRISMATIC, model, Plan({
        DINO: {'whole': (1,), 'mha': (0,)}, SIGLIP: {'whole': (0, 2)}, LANGUAGE: {'mlp': (0,)}}),
        Journal())
    assert torch.equal(actions(load_checkpoint(source)[0]), actions(model))
    root, copy = load_manifest(folder), load_manifest(tmp_path / '0')
    assert copy.files['model.safetensors'] == root.files['model.safetensors']
    assert copy.fingerprint == root.fingerprint and copy.structure is None


@pytest.mark.parametrize(('blocks', 'message'), [
    ({'vision': {'whole': (1,)}}, "unknown stack 'vision'"),
    ({'projector': {'whole': (0,)}}, 'protected: .*joins vision and language'),
    ({DINO: {'whole': (0, 1, 2)}}, 'drops all 2 vision_dino blocks that are read')])
def test_illegal_plans_are_refused(
        tiny_prismatic: Maker, blocks: dict[str, Any], message: str) -> None:
    """Two towers have two names, and what joins them stays."""
    with pytest.raises(PlanError, match=message):
        apply_plan(PRISMATIC, tiny_prismatic(), Plan(blocks), Journal())


def language_states(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return what Llama's final norm puts out, shape (B, T, D)."""
    found: list[torch.Tensor] = []
    handle = model.language_model.norm.register_forward_hook(
        lambda _module, _inputs, output: found.append(output))
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    return found[0]


def test_every_token_sees_every_other(tiny_prismatic: Maker) -> None:
    """The last word reaches the first empty token; the stop behind them reaches even BOS."""
    model = tiny_prismatic()
    inputs, _ = PRISMATIC.fixed_inputs(model, 2, 0)
    before = language_states(model, inputs)
    ids = inputs['input_ids'].clone()
    ids[0, -1] = (ids[0, -1] + 1) % 14
    first = -4 * 4 - 1
    assert before.shape[1] == 1 + 2 * 4 + 1 + 6 + 4 * 4 + 1 == inputs['attention_mask'].shape[1]
    assert (language_states(model, {**inputs, 'input_ids': ids}) - before)[0, first].norm() > 1e-3
    model.config.text_config.eos_token_id = 5
    change = (language_states(model, inputs) - before)[0]
    assert (change.norm(dim=-1) > 1e-4).all()


def test_padding_is_seen_by_none(tiny_prismatic: Maker) -> None:
    """The same observation padded longer gives the same actions; what fills it does not matter."""
    model = tiny_prismatic()
    inputs, noise = PRISMATIC.fixed_inputs(model, 2, 0)
    expected = PRISMATIC.act(model, inputs, noise)
    for filling in (0, 9):
        ids = nn.functional.pad(inputs['input_ids'], (0, 5), value=filling)
        words = torch.ones_like(ids)
        words[:, -5:] = 0
        padded = {**inputs, 'input_ids': ids, 'attention_mask': model.sequence_mask(words, 2)}
        assert torch.allclose(PRISMATIC.act(model, padded, noise + 1), expected, atol=1e-5)
        assert PRISMATIC.masks(padded)['language'].shape == (
            language_states(model, padded).shape[:2])


def test_what_stands_behind_a_tap_is_dead(
        folder: Path, tmp_path: Path, tiny_prismatic: Maker, prismatic_batch: Maker) -> None:
    """Last blocks and final norms get no gradient, cost compute, and go without any trace."""
    model = tiny_prismatic()
    before, names = actions(model), {name for name, _ in model.named_parameters()}
    found = without_gradient(PRISMATIC, model, prismatic_batch(model))
    assert set(found) == {name for name in names if name.startswith(DEAD)} | {MASK_TOKEN}
    assert set(found.values()) == {'unreached'}
    with FlopCounterMode(display=False) as whole:
        actions(model)
    removed = remove_dead(PRISMATIC, model, Journal())
    with FlopCounterMode(display=False) as less:
        assert torch.equal(actions(model), before)
    assert less.get_total_flops() < whole.get_total_flops()
    assert set(without_gradient(PRISMATIC, model, prismatic_batch(model))) == {MASK_TOKEN}
    assert {entry['what'] for entry in removed} == {
        'dino.layernorm', 'siglip.post_layernorm', f'{DINO} blocks [2]', f'{SIGLIP} blocks [3]'}
    manifest = drop_checkpoint(folder, tmp_path / 'out', Plan(dead=True))
    assert torch.equal(actions(load_checkpoint(tmp_path / 'out')[0]), before)
    assert manifest.structure == {
        'blocks': {}, 'absent': ['dino.layernorm', 'siglip.post_layernorm']}


def test_a_pooling_head_is_dead_too(
        tmp_path: Path, tiny_prismatic: Maker, write_prismatic: Maker) -> None:
    """SigLIP's own head reads what nobody else does, and goes with the rest."""
    siglip = tiny_prismatic().config.siglip_config.to_dict()
    model = tiny_prismatic(siglip_config={**siglip, 'vision_use_head': True})
    write_prismatic(tmp_path / 'in', model)
    manifest = drop_checkpoint(tmp_path / 'in', tmp_path / 'out', Plan(dead=True))
    assert manifest.structure is not None and 'siglip.head' in manifest.structure['absent']
    assert torch.equal(actions(load_checkpoint(tmp_path / 'out')[0]), actions(model))


def test_removed_channels_and_heads_equal_zeroed_ones(
        folder: Path, tmp_path: Path, tiny_prismatic: Maker) -> None:
    """Uneven widths go physically, and the manifest says which blocks are unlike the others."""
    parent = tiny_prismatic()
    with torch.no_grad():
        for stack, index, path, columns in (
                (DINO, 0, 'mlp.fc2', [3]), (DINO, 1, 'attention.o_proj', range(8)),
                (SIGLIP, 1, 'mlp.fc2', [0, 7]), (SIGLIP, 0, 'self_attn.out_proj', range(6)),
                (LANGUAGE, 1, 'mlp.down_proj', [5]),
                (LANGUAGE, 2, 'self_attn.o_proj', range(12, 24))):
            stacks(PRISMATIC, parent)[stack].module(index, path).weight[:, list(columns)] = 0.0
    manifest = drop_checkpoint(folder, tmp_path / 'out', Plan(
        channels={DINO: {0: (3,)}, SIGLIP: {1: (0, 7)}, LANGUAGE: {1: (5,)}},
        heads={DINO: {1: (0,)}, SIGLIP: {0: (0,)}, LANGUAGE: {2: (1,)}}))
    reloaded, _ = load_checkpoint(tmp_path / 'out')
    assert torch.allclose(actions(reloaded), actions(parent), atol=1e-5)
    live = stacks(PRISMATIC, reloaded)
    assert [live[LANGUAGE].heads(2), live[LANGUAGE].key_value_heads(2)] == [2, 1]
    assert [live[DINO].heads(1), live[SIGLIP].heads(0), live[DINO].channels(0)] == [1, 1, 31]
    assert manifest.structure is not None
    assert {name: sorted(found) for name, found in manifest.structure['blocks'].items()} == {
        DINO: ['0', '1'], SIGLIP: ['0', '1'], LANGUAGE: ['1', '2']}


EVEN = {
    'dino': Plan(channels={DINO: {i: tuple(range(i, 16 + i)) for i in range(3)}},
                 heads={DINO: {i: (i % 2,) for i in range(3)}}),
    'siglip': Plan(channels={SIGLIP: {i: (i, 20) for i in range(4)}}),
    'language': Plan(channels={LANGUAGE: {i: (i,) for i in range(4)}},
                     heads={LANGUAGE: {i: (i % 2,) for i in range(4)}})}


@pytest.mark.parametrize('name', EVEN)
def test_even_widths_open_with_the_stock_loader(folder: Path, tmp_path: Path, name: str) -> None:
    """What the configuration can say is written there, so that from_pretrained opens it."""
    manifest = drop_checkpoint(folder, tmp_path / 'even', EVEN[name], stock=True)
    stock = PrismaticForActions.from_pretrained(tmp_path / 'even').eval()
    reloaded, _ = load_checkpoint(tmp_path / 'even')
    assert manifest.structure is None
    assert torch.allclose(actions(stock), actions(reloaded), atol=1e-5)


@pytest.mark.parametrize('plan', [
    Plan(channels={DINO: {i: (0,) for i in range(3)}}),  # 31 of 32: no ratio says that
    Plan(heads={SIGLIP: {i: (0,) for i in range(4)}})])  # SigLIP's heads fill its width
def test_even_widths_that_the_configuration_cannot_say_go_into_the_structure(
        folder: Path, tmp_path: Path, tiny_prismatic: Maker, plan: Plan) -> None:
    """They load strictly all the same."""
    model = tiny_prismatic()
    apply_plan(PRISMATIC, model, plan, Journal())
    manifest = drop_checkpoint(folder, tmp_path / 'out', plan)
    assert manifest.structure is not None
    assert torch.equal(actions(load_checkpoint(tmp_path / 'out')[0]), actions(model))
