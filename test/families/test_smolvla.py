# SPDX-License-Identifier: Apache-2.0
"""SmolVLA, with lerobot's own classes: a folder is all there is of it, and nothing else fits."""

from collections.abc import Callable
from dataclasses import replace
import importlib
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch
from torch.utils.flop_counter import FlopCounterMode

from vla_drop_ros.checkpoint import load_checkpoint, write_manifest
from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.family import Batch
from vla_drop_ros.families.registry import family, family_of
from vla_drop_ros.manifest import file_sha256
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.plan import Plan

pytestmark = pytest.mark.usefixtures('one_thread')
Maker = Callable[..., Any]


def actions(model: Any, seed: int = 3) -> torch.Tensor:
    """Return the chunk for a fixed random input."""
    found = family_of(model)
    return found.act(model, *found.fixed_inputs(model, 2, seed))


def test_a_saved_policy_is_the_same_again(
        tiny_smolvla: Maker, write_smolvla: Maker, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """The folder alone, without the VLM's own, gives every bit of the policy, here and there."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
    model = tiny_smolvla()
    source = Path(model.config.vlm_model_name)
    capsys.readouterr()
    manifest = write_smolvla(tmp_path / 'saved', model)
    shutil.rmtree(source)
    reloaded, _ = load_checkpoint(tmp_path / 'saved')
    assert capsys.readouterr().out == ''
    assert manifest.stock['opens'] and manifest.structure is None
    assert reloaded.config.vlm_model_name == str(source)
    assert {name for name in manifest.files if name.startswith('vlm/')} == {
        f'vlm/{name}.json' for name in (
            'config', 'processor_config', 'tokenizer', 'tokenizer_config')}
    config = PreTrainedConfig.from_pretrained(tmp_path / 'saved')
    config.vlm_model_name = str(tmp_path / 'saved' / 'vlm')
    stock = SmolVLAPolicy.from_pretrained(tmp_path / 'saved', config=config, strict=True)
    for other in (reloaded, stock):
        assert torch.equal(actions(model), actions(other))


@pytest.mark.parametrize('tied', [False, True])
def test_tied_words_are_saved_once(
        tiny_smolvla: Maker, write_smolvla: Maker, tmp_path: Path, tied: bool) -> None:
    """Whether output words are input words or not, and with the unread ones gone, all is there."""
    model = tiny_smolvla(tied=tied)
    manifest = write_smolvla(tmp_path / 'saved', model)
    assert bool(family_of(model).tied(model)) == tied and manifest.stock['opens']
    drop_checkpoint(tmp_path / 'saved', tmp_path / 'live', Plan(dead=True))
    for folder in ('saved', 'live'):
        reloaded, _ = load_checkpoint(tmp_path / folder)
        assert torch.equal(actions(model), actions(reloaded))
        assert not [name for name, parameter in reloaded.named_parameters() if parameter.is_meta]


def test_changed_weights_are_noticed(saved_smolvla: Path, tmp_path: Path) -> None:
    """Weights whose hashes were made to fit still answer differently."""
    folder = tmp_path / 'changed'
    shutil.copytree(saved_smolvla, folder)
    tensors = load_file(folder / 'model.safetensors')
    tensors['model.action_out_proj.bias'] += 0.1
    save_file(tensors, folder / 'model.safetensors')
    _, manifest = load_checkpoint(saved_smolvla)
    write_manifest(folder, replace(manifest, files={
        **manifest.files, 'model.safetensors': file_sha256(folder / 'model.safetensors')}))
    with pytest.raises(CheckpointError, match='answers a fixed input differently'):
        load_checkpoint(folder)


def test_stock_loader_is_strict(saved_smolvla: Path, tmp_path: Path) -> None:
    """A weight too few is an error, also where lerobot opens the folder."""
    folder = tmp_path / 'less'
    shutil.copytree(saved_smolvla, folder)
    tensors = load_file(folder / 'model.safetensors')
    del tensors['model.state_proj.bias']
    save_file(tensors, folder / 'model.safetensors')
    with pytest.raises(CheckpointError, match=r'state_proj\.bias'):
        family('smolvla').open_stock(folder)


def test_folder_and_model_say_the_same(saved_smolvla: Path) -> None:
    """What is known of the blocks does not depend on whether the model is loaded."""
    model, _ = load_checkpoint(saved_smolvla)
    found = family_of(model)
    assert found.name == 'smolvla'
    assert found.config(model) == found.read_config(saved_smolvla)
    assert found.config(model)['roles'] == ['self', 'cross'] * 3


@pytest.mark.parametrize(('name', 'fields', 'message'), [
    ('config.json', {'num_expert_layers': 3}, 'only a SmolVLA whose expert is as deep'),
    ('config.json', {'chunk_size': 'many'}, 'not what this lerobot reads'),
    ('vlm/config.json', None, 'lacks vlm/config.json'),
])
def test_folders_that_cannot_be_built_are_refused(
        saved_smolvla: Path, tmp_path: Path, name: str, fields: Any, message: str) -> None:
    """A shallower expert, a damaged configuration and an absent VLM are named."""
    folder = tmp_path / 'other'
    shutil.copytree(saved_smolvla, folder)
    path = folder / name
    if fields is None:
        path.unlink()
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(CheckpointError, match=message):
        family('smolvla').build(folder)


@pytest.mark.parametrize('fields', [
    {}, {'prefix_length': 24}, {'add_image_special_tokens': True, 'prefix_length': 12}])
def test_padding_is_where_lerobot_puts_it(tiny_smolvla: Maker, fields: dict[str, Any]) -> None:
    """The mask over the language stack is the one that lerobot makes of the same inputs."""
    model = tiny_smolvla(**fields)
    found = family_of(model)
    images, ids = torch.rand(2, 2, 3, 32, 32), torch.tensor([[5, 6, 7, 8], [5, 6, 0, 0]])
    mask = (ids > 0).long()
    with torch.no_grad():
        expected = model.model.embed_prefix(
            list(images.unbind(1)), [torch.ones(2).bool()] * 2, ids, mask.bool(),
            torch.zeros(2, 6))[1]
    made = importlib.import_module('vla_drop_ros.families.smolvla').prefix_mask(
        model, images, mask)
    assert torch.equal(found.masks({'prefix_mask': made})['language'].bool(), expected)


def test_loss_is_that_of_lerobot(tiny_smolvla: Maker) -> None:
    """Where all of a chunk counts, a sample's loss is what lerobot trains with, over the draws."""
    model = tiny_smolvla()
    found, rows = family_of(model), [family_of(model).fixed_inputs(model, 2, n)[0] for n in (1, 2)]
    inputs = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    actions, noise = torch.randn(2, 4, 6), torch.randn(2, 2, 4, 6)
    time = torch.tensor([[0.2, 0.9], [0.5, 0.7]])
    shown = {f'observation.images.{name}': (inputs['images'][:, camera] + 1) / 2
             for camera, name in enumerate(('front', 'wrist'))}
    with torch.no_grad():
        expected = [model.forward(
            {**shown, 'observation.state': inputs['state'], 'action': actions,
             'observation.language.tokens': inputs['input_ids'],
             'observation.language.attention_mask': inputs['attention_mask'].bool()},
            noise=noise[:, draw], time=time[:, draw], reduction='none')[0] for draw in (0, 1)]
        loss = found.loss(model, Batch(inputs, actions, torch.ones(2, 4, 6), noise, time))
    assert torch.allclose(loss, (expected[0] + expected[1]) / 2, rtol=1e-5)


def test_flow_times_are_those_of_lerobot(tiny_smolvla: Maker) -> None:
    """The quantiles are those of the times that lerobot draws for training."""
    model, shares = tiny_smolvla(), np.linspace(0.05, 0.95, 19)
    torch.manual_seed(0)
    drawn = np.quantile(model.model.sample_time(20_000, 'cpu').numpy(), shares)
    assert np.allclose(family_of(model).flow_times(model, shares), drawn, atol=0.02)


def test_policy_without_weights_counts_the_same(tiny_smolvla: Maker, saved_smolvla: Path) -> None:
    """On the meta device the sampler runs, and multiplies as much as on the CPU."""
    found = family('smolvla')
    inputs, noise = found.fixed_inputs(tiny_smolvla(), 2, 3)
    counts = []
    for model, device in ((load_checkpoint(saved_smolvla)[0], 'cpu'),
                          (found.build(saved_smolvla), 'meta')):
        vision = model.model.vlm_with_expert.config.vision_config
        before = vision._attn_implementation
        with FlopCounterMode(display=False) as counter:
            found.act(model, {name: tensor.to(device) for name, tensor in inputs.items()},
                      noise.to(device))
        assert vision._attn_implementation == before
        counts.append(counter.get_total_flops())
    attention = 3 * 2 * 2 * 2 * 16 * 16 * 16  # of the tower: torch does not count it on a CPU
    assert counts[0] + attention == counts[1]
