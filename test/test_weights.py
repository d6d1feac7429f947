# SPDX-License-Identifier: Apache-2.0
"""Weights are read one tensor at a time, from any number of files, and fit exactly or not."""

from collections.abc import Mapping
import json
from pathlib import Path

import pytest
from safetensors.torch import save_file
import torch
from torch import nn

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.manifest import INDEX_FILE, WEIGHTS_FILE
from vla_drop_ros.weights import load_strictly, Weights


def same(key: str) -> str:
    """Return the key: names are those of parameters."""
    return key


def shards(folder: Path, *parts: Mapping[str, torch.Tensor]) -> Path:
    """Write tensors in shards with their index."""
    folder.mkdir(exist_ok=True)
    place = {}
    for number, part in enumerate(parts):
        save_file(dict(part), folder / f'part-{number}.safetensors')
        place.update(dict.fromkeys(part, f'part-{number}.safetensors'))
    (folder / INDEX_FILE).write_text(json.dumps({'weight_map': place}))
    return folder


class Tied(nn.Module):
    """Two layers, the second of which shares the first's weight, and a buffer."""

    def __init__(self) -> None:
        """Build on the meta device."""
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False, device='meta')
        self.second = nn.Linear(2, 2, bias=False, device='meta')
        self.register_buffer('count', torch.zeros(1, dtype=torch.int64))


def test_shards_are_one_mapping(tmp_path: Path) -> None:
    """Names of all files, shapes without reading, tensors by name."""
    one, two = torch.arange(4.0).reshape(2, 2), torch.ones(3)
    weights = Weights(shards(tmp_path, {'a': one}, {'b': two}), lambda key: f'model.{key}')
    assert sorted(weights) == ['model.a', 'model.b'] and len(weights) == 2
    assert weights.shape('model.a') == (2, 2) and torch.equal(weights['model.a'], one)
    assert weights.place('model.b') == (tmp_path / 'part-1.safetensors', 'b')


def test_faults_of_files_are_named(tmp_path: Path) -> None:
    """A truncated file, two keys for one name, a missing shard, an index that is none."""
    shards(tmp_path, {'a': torch.ones(2)}, {'b': torch.ones(2)})
    with pytest.raises(CheckpointError, match="'a' and 'b' are both 'same'"):
        Weights(tmp_path, lambda _: 'same')
    path = tmp_path / 'part-1.safetensors'
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match='part-1.safetensors is not a whole safetensors'):
        Weights(tmp_path, same)
    path.unlink()
    with pytest.raises(CheckpointError, match=r'part-1\.safetensors'):
        Weights(tmp_path, same)
    (tmp_path / INDEX_FILE).write_text('[]')
    with pytest.raises(CheckpointError, match='does not list the shards'):
        Weights(tmp_path, same)
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        Weights(tmp_path / 'nowhere', same)


def test_a_model_gets_all_of_it(tmp_path: Path) -> None:
    """Parameters in the wanted precision, buffers as they are, ties shared."""
    model = Tied()
    model.first.weight.requires_grad_(False)
    tensors = {'first.weight': torch.ones(2, 2, dtype=torch.bfloat16), 'count': torch.tensor([7])}
    load_strictly(model, Weights(shards(tmp_path, tensors), same), {
        'second.weight': 'first.weight'})
    assert model.first.weight.dtype == torch.float32 and not model.first.weight.requires_grad
    assert model.second.weight is model.first.weight
    assert model.get_buffer('count').tolist() == [7]


def test_what_is_loaded_does_not_follow_the_file(tmp_path: Path) -> None:
    """A file overwritten in place under a running policy changes none of its numbers."""
    model = Tied()
    tensors = {'first.weight': torch.ones(2, 2), 'second.weight': torch.ones(2, 2),
               'count': torch.tensor([7])}
    folder = shards(tmp_path, tensors)
    load_strictly(model, Weights(folder, same), {})
    path = folder / 'part-0.safetensors'
    with path.open('r+b') as file:
        file.seek(-16, 2)
        file.write(bytes(16))
    assert model.first.weight.eq(1).all() and model.second.weight.eq(1).all()


@pytest.mark.parametrize(('tensors', 'message'), [
    ({'first.weight': (2, 2), 'count': (1,)}, r"missing keys: \['second.weight'\]"),
    ({'first.weight': (2, 2), 'second.weight': (2, 2), 'count': (1,), 'third': (1,)},
     r"unexpected keys: \['third'\]"),
    ({'first.weight': (2, 3), 'second.weight': (2, 2), 'count': (1,)},
     r'first.weight \(2, 3\) \(wanted \(2, 2\)\)'),
])
def test_what_does_not_fit_is_named(
        tensors: dict[str, tuple[int, ...]], message: str, tmp_path: Path) -> None:
    """Nothing is loaded then."""
    model, folder = Tied(), shards(
        tmp_path, {name: torch.ones(shape) for name, shape in tensors.items()})
    with pytest.raises(CheckpointError, match=message):
        load_strictly(model, Weights(folder, same), {})
    assert model.first.weight.is_meta
