# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders: whatever is wrong with one, the error says what and how to mend it."""

from collections.abc import Callable
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
import torch
from transformers import PI0ForConditionalGeneration, PreTrainedTokenizerFast

from vla_drop_ros import fingerprint
from vla_drop_ros.checkpoint import load_checkpoint, save_checkpoint
from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.registry import family
from vla_drop_ros.manifest import (
    block_counts,
    checkpoint_hash,
    file_sha256,
    load_manifest,
    Manifest,
    verify,
    write_manifest,
)

Maker = Callable[..., Any]


def edit(folder: Path, **fields: Any) -> None:
    """Overwrite fields of a manifest."""
    path = folder / 'manifest.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def accept(folder: Path, name: str) -> None:
    """Make the manifest agree with a file that was changed."""
    edit(folder, files={**load_manifest(folder).files, name: file_sha256(folder / name)})


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Rewrite the weights and the hash that guards them."""
    path = folder / 'model.safetensors'
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={'format': 'pt'})
    accept(folder, path.name)


def test_saved_model_comes_back_exactly(tiny_checkpoint: Path, tiny_model: Maker) -> None:
    """Save and load change no bit of any parameter."""
    model, manifest = load_checkpoint(tiny_checkpoint)
    original = tiny_model().state_dict()
    assert all(torch.equal(value, original[key]) for key, value in model.state_dict().items())
    assert manifest.family == 'pi0' and manifest.role == 'vla'
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_stock_transformers_opens_the_folder(tiny_checkpoint: Path) -> None:
    """Neither model nor tokenizer needs this package."""
    model = PI0ForConditionalGeneration.from_pretrained(tiny_checkpoint)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tiny_checkpoint / 'tokenizer.json'))
    assert fingerprint.measure(family('pi0'), model.eval(), 2) == load_manifest(
        tiny_checkpoint).fingerprint
    assert tokenizer.convert_ids_to_tokens(tokenizer('Put the Red cube.')['input_ids']) == [
        'put', 'the', 'red', 'cube']


def test_vision_language_model_has_its_own_role(write_tiny: Maker, tmp_path: Path) -> None:
    """A paligemma folder is a vlm without action language, and round-trips."""
    written = write_tiny(tmp_path / 'vlm', family='paligemma')
    _, manifest = load_checkpoint(tmp_path / 'vlm')
    assert manifest == written
    assert (manifest.role, manifest.action_spec) == ('vlm', None)
    assert 'action' not in manifest.parameters


def test_sizes_are_counted_by_stack(tiny_checkpoint: Path, tiny_model: Maker) -> None:
    """The stacks add up to the model, and bytes are four to a float32 parameter."""
    manifest = load_manifest(tiny_checkpoint)
    assert sum(manifest.parameters.values()) == sum(
        parameter.numel() for parameter in tiny_model().parameters())
    assert all(manifest.bytes[stack] == 4 * count for stack, count in manifest.parameters.items())
    assert all(manifest.parameters[stack] > 0 for stack in ('vision', 'language', 'action'))
    assert manifest.parameters['other'] == 16 * 16 + 16  # the projector
    assert manifest.blocks == {'vision': 3, 'language': 4, 'action': 4}


def test_identity_ignores_what_is_measured_later(tiny_checkpoint: Path) -> None:
    """Writing down a success rate keeps the hash; another name or file changes it."""
    before = checkpoint_hash(tiny_checkpoint)
    edit(tiny_checkpoint, quality={'success': 0.9}, latency={'cpu': 0.05})
    assert checkpoint_hash(tiny_checkpoint) == before and len(before) == 64
    edit(tiny_checkpoint, name='other')
    assert checkpoint_hash(tiny_checkpoint) != before


def test_missing_folder_and_missing_manifest_are_told_apart(tmp_path: Path) -> None:
    """A wrong path and a folder that is no checkpoint have different fixes."""
    with pytest.raises(CheckpointError, match='does not exist'):
        load_checkpoint(tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match='is no checkpoint'):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize('name', [
    'config.json', 'model.safetensors', 'tokenizer.json', 'normalization.json'])
def test_each_missing_file_is_named(tiny_checkpoint: Path, name: str) -> None:
    """An incomplete copy is refused before anything is built."""
    (tiny_checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=f'{name} is missing.*again'):
        verify(tiny_checkpoint)


def test_truncated_weights_are_refused(tiny_checkpoint: Path) -> None:
    """A copy that broke off names the file and its size."""
    os.truncate(tiny_checkpoint / 'model.safetensors', 1000)
    with pytest.raises(CheckpointError, match=r'model.safetensors differs \(1000 bytes'):
        load_checkpoint(tiny_checkpoint)


def test_truncated_weights_are_refused_even_with_a_matching_hash(tiny_checkpoint: Path) -> None:
    """What safetensors cannot read is a checkpoint error too."""
    os.truncate(tiny_checkpoint / 'model.safetensors', 1000)
    accept(tiny_checkpoint, 'model.safetensors')
    with pytest.raises(CheckpointError, match='model.safetensors|cannot be loaded'):
        load_checkpoint(tiny_checkpoint)


@pytest.mark.parametrize('name', ['model.safetensors', 'normalization.json', 'tokenizer.json'])
def test_one_flipped_bit_is_found(tiny_checkpoint: Path, name: str) -> None:
    """Every file is guarded by its hash."""
    path = tiny_checkpoint / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f'{name} differs'):
        load_checkpoint(tiny_checkpoint)


def test_missing_tensor_raises_where_transformers_warns(tiny_checkpoint: Path) -> None:
    """A block without weights would be random; it is named instead."""
    weights(tiny_checkpoint, lambda tensors: tensors.__delitem__('action_out_proj.bias'))
    with pytest.raises(CheckpointError, match='missing keys.*action_out_proj.bias'):
        load_checkpoint(tiny_checkpoint)


def test_unexpected_tensor_raises(tiny_checkpoint: Path) -> None:
    """Weights of a deeper model are not silently cut off."""
    weights(tiny_checkpoint, lambda tensors: tensors.update(
        {'model.dit.layers.4.mlp.up_proj.weight': torch.zeros(24, 12)}))
    with pytest.raises(CheckpointError, match='unexpected keys.*layers.4'):
        load_checkpoint(tiny_checkpoint)


def test_mismatched_shape_raises(tiny_checkpoint: Path) -> None:
    """A tensor of another size is an error that names it."""
    weights(tiny_checkpoint, lambda tensors: tensors.update(
        {'action_out_proj.bias': torch.zeros(5)}))
    with pytest.raises(CheckpointError, match='action_out_proj.bias|mismatch'):
        load_checkpoint(tiny_checkpoint)


def test_recorded_depth_must_match_the_weights(tiny_checkpoint: Path) -> None:
    """A configuration of another depth cannot be completed with random blocks."""
    path = tiny_checkpoint / 'config.json'
    config = json.loads(path.read_text())
    config['dit_config']['num_hidden_layers'] = 6
    path.write_text(json.dumps(config))
    accept(tiny_checkpoint, 'config.json')
    with pytest.raises(CheckpointError, match='missing keys'):
        load_checkpoint(tiny_checkpoint)


def test_other_weights_of_the_right_shape_fail_the_fingerprint(tiny_checkpoint: Path) -> None:
    """Weights that fit but are not the ones that were measured are refused."""
    weights(tiny_checkpoint, lambda tensors: tensors.update(
        {'action_out_proj.bias': tensors['action_out_proj.bias'] + 1}))
    with pytest.raises(CheckpointError, match='answers a fixed input differently'):
        load_checkpoint(tiny_checkpoint)


@pytest.mark.parametrize(('fields', 'message'), [
    ({'format_version': 3}, 'update vla_drop_ros'),
    ({'family': 'pi9'}, "unknown checkpoint family 'pi9'.*Did you mean 'pi0'"),
    ({'family': 'paligemma'}, "config.json says model_type 'pi0'"),
    ({'role': 'vlm'}, 'a vla needs an action_spec'),
    ({'surprise': 1}, r"unknown \['surprise'\]"),
    ({'cameras': {}}, 'names no camera'),
    ({'cameras': {'front': {'height': 20}}}, 'malformed'),
    ({'files': {'../escape.json': 'x'}}, 'only plain names'),
    ({'files': {'model.pkl': 'x'}}, 'only plain names'),
    ({'normalization_sha256': 'x'}, 'normalization_sha256'),
    ({'fingerprint': {}}, 'write the folder again'),
])
def test_contradictory_manifest_is_refused(
        tiny_checkpoint: Path, fields: dict[str, Any], message: str) -> None:
    """A manifest of another format, family or shape is an error that says which."""
    edit(tiny_checkpoint, **fields)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tiny_checkpoint)


@pytest.mark.parametrize('text', ['{"format_version": 1', '[]'])
def test_manifest_that_is_not_json_is_refused(tiny_checkpoint: Path, text: str) -> None:
    """Half a manifest is named as such."""
    (tiny_checkpoint / 'manifest.json').write_text(text)
    with pytest.raises(CheckpointError, match='copy the folder again'):
        load_manifest(tiny_checkpoint)


def test_shards_are_one_checkpoint(tiny_model: Maker, write_tiny: Maker, tmp_path: Path) -> None:
    """Weights in several files come back as from one, and the stock loader opens them too."""
    manifest = write_tiny(tmp_path / 'sharded', shard_bytes=10_000)
    shards = [name for name in manifest.files if name.startswith('model-')]
    assert len(shards) > 2 and 'model.safetensors' not in manifest.files
    assert manifest.stock['opens']
    model, _ = load_checkpoint(tmp_path / 'sharded')
    original = tiny_model().state_dict()
    assert all(torch.equal(value, original[key]) for key, value in model.state_dict().items())


def test_swapped_shards_are_refused(write_tiny: Maker, tmp_path: Path) -> None:
    """Two shards in each other's place are found by their hashes, and by name if those agree."""
    folder = tmp_path / 'sharded'
    manifest = write_tiny(folder, shard_bytes=10_000)
    first, second, *_ = sorted(name for name in manifest.files if name.startswith('model-'))
    (folder / first).rename(folder / 'spare')
    (folder / second).rename(folder / first)
    (folder / 'spare').rename(folder / second)
    with pytest.raises(CheckpointError, match=f'{first} differs.*{second} differs'):
        load_checkpoint(folder)
    (folder / second).write_bytes((folder / first).read_bytes())
    accept(folder, first)
    accept(folder, second)
    with pytest.raises(CheckpointError, match='are both'):
        load_checkpoint(folder)


def test_missing_shard_is_named(write_tiny: Maker, tmp_path: Path) -> None:
    """A folder that was copied in part says which part."""
    manifest = write_tiny(tmp_path / 'sharded', shard_bytes=10_000)
    last = max(name for name in manifest.files if name.startswith('model-'))
    (tmp_path / 'sharded' / last).unlink()
    with pytest.raises(CheckpointError, match=f'{last} is missing'):
        load_checkpoint(tmp_path / 'sharded')


def test_other_normalisation_is_refused(tiny_checkpoint: Path) -> None:
    """Statistics of another robot under the right name are found, even with a matching hash."""
    path = tiny_checkpoint / 'normalization.json'
    path.write_text(path.read_text().replace('0.01', '0.02'))
    with pytest.raises(CheckpointError, match='normalization.json differs'):
        load_checkpoint(tiny_checkpoint)
    accept(tiny_checkpoint, path.name)
    with pytest.raises(CheckpointError, match='normalization_sha256 is not the hash'):
        load_checkpoint(tiny_checkpoint)


def test_first_format_is_read_and_keeps_its_identity(tiny_checkpoint: Path) -> None:
    """A manifest written before structures were recorded loads, and hashes as it did."""
    path = tiny_checkpoint / 'manifest.json'
    old = json.loads(path.read_text())
    for name in ('blocks', 'stock'):
        del old[name]
    old['format_version'] = 1
    path.write_text(json.dumps(old))
    _, manifest = load_checkpoint(tiny_checkpoint)
    assert manifest.to_dict() == old
    assert block_counts(tiny_checkpoint) == {'vision': 3, 'language': 4, 'action': 4}


def test_shipped_checkpoints_keep_their_identity() -> None:
    """What earlier logs and lineages call the shipped models is still their name."""
    models = Path(__file__).resolve().parents[1] / 'models'
    assert load_manifest(models / 'reference').short == 'f8a940dc8b3e'
    assert load_manifest(models / 'reference-vlm').short == 'e1b2c108f02c'


@pytest.mark.slow
def test_a_killed_write_leaves_no_folder_that_loads(write_tiny: Maker, tmp_path: Path) -> None:
    """SIGKILL at any moment of a write: the name is absent, or it is whole; the source stays."""
    source, output = tmp_path / 'source', tmp_path / 'out' / 'copy'
    write_tiny(source)
    code = ('import sys, pathlib\n'
            'from vla_drop_ros.pruning.drop import drop_checkpoint\n'
            'from vla_drop_ros.pruning.plan import Plan\n'
            'for number in range(1000):\n'
            '    drop_checkpoint(sys.argv[1], f"{sys.argv[2]}{number}",'
            ' Plan({"language": {"keep-kv": (1,)}}))\n'
            '    print("one", flush=True)\n')
    whole = 0
    for delay in (0.13, 0.47, 1.1):
        process = subprocess.Popen([sys.executable, '-c', code, str(source), str(output)],
                                   stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == 'one\n'
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.wait()
        for folder in (tmp_path / 'out').glob('*'):
            if not folder.name.startswith('.'):
                load_checkpoint(folder)
                whole += 1
            shutil.rmtree(folder)
    load_checkpoint(source)
    assert whole > 0


def test_failed_save_leaves_nothing(tiny_model: Maker, tmp_path: Path) -> None:
    """An error half-way leaves neither a folder nor a temporary one."""
    class Broken:
        def save(self, path: str) -> None:
            raise OSError('disk full')
    with pytest.raises(OSError, match='disk full'):
        save_checkpoint(tmp_path / 'new', tiny_model(), Broken(), {}, name='new')
    assert list(tmp_path.iterdir()) == []


def test_failed_overwrite_keeps_the_old_checkpoint(
        tiny_checkpoint: Path, tiny_model: Maker) -> None:
    """Force replaces a checkpoint only by a whole one."""
    before = checkpoint_hash(tiny_checkpoint)
    with pytest.raises(AttributeError):
        save_checkpoint(tiny_checkpoint, tiny_model(), None, {}, force=True, name='new')
    assert load_checkpoint(tiny_checkpoint)[1].identity == before
    assert [path.name for path in tiny_checkpoint.parent.iterdir()] == ['tiny']


def test_manifest_can_be_amended(tiny_checkpoint: Path) -> None:
    """Measured quality is added afterwards without touching the rest."""
    manifest = load_manifest(tiny_checkpoint)
    amended = Manifest.from_dict({**manifest.to_dict(), 'quality': {'success': 0.93}})
    write_manifest(tiny_checkpoint, amended)
    assert verify(tiny_checkpoint).quality == {'success': 0.93}
    assert checkpoint_hash(tiny_checkpoint) == manifest.identity


@pytest.mark.parametrize(('name', 'left'), [('reference-half', 4), ('reference-two', 2)])
def test_recovered_checkpoints_are_shipped(name: str, left: int) -> None:
    """They load strictly, descend from the shipped baseline, and say how they were recovered."""
    models = Path(__file__).resolve().parents[1] / 'models'
    model, manifest = load_checkpoint(models / name)
    pruned = manifest.parent or {}
    assert pruned['parent']['sha256'] == load_manifest(models / 'reference').identity
    removed = pruned['dropped']['language']['modes']['keep-kv']
    assert len(removed) == 8 - left and (manifest.recovery or {})['recipe']['steps'] > 0
    assert manifest.name == name and model is not None
    assert sum(manifest.parameters.values()) < 0.85 * sum(
        load_manifest(models / 'reference').parameters.values())
