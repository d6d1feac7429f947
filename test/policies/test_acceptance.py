# SPDX-License-Identifier: Apache-2.0
"""A folder that cannot be loaded is refused at once, without torch and without its weights."""

from collections.abc import Callable
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.policies.acceptance import check_files, is_whole
from vla_drop_ros.policies.registry import check_loadable, check_normalization, read_statistics

MODELS = Path(__file__).parents[2] / 'models'
WEIGHTS, STATISTICS = 'model.safetensors', 'normalization.json'


def cut(folder: Path) -> None:
    """Leave the first half of the weights."""
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:len(data) // 2])


def point(folder: Path) -> None:
    """Leave what git-lfs leaves when nobody pulled."""
    (folder / WEIGHTS).write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0\n')


def restate(folder: Path, statistics: Any) -> None:
    """Replace the statistics and the hashes that the manifest has of them."""
    text = json.dumps(statistics)
    (folder / STATISTICS).write_text(text)
    data = json.loads((folder / 'manifest.json').read_text())
    data['normalization_sha256'] = hashlib.sha256(text.encode()).hexdigest()
    data['files'][STATISTICS] = data['normalization_sha256']
    (folder / 'manifest.json').write_text(json.dumps(data))


def replace_statistics(folder: Path) -> None:
    """Leave the statistics of another robot."""
    found = json.loads((folder / STATISTICS).read_text())
    found['action']['std'] = [10 * value for value in found['action']['std']]
    (folder / STATISTICS).write_text(json.dumps(found))


def change(folder: Path, kind: str, key: str, index: int, number: float) -> None:
    """Change one number of the statistics, and the manifest with it."""
    found = json.loads((folder / STATISTICS).read_text())
    found[kind][key][index] = number
    restate(folder, found)


def three_numbers(folder: Path) -> None:
    """Leave statistics of an action with three numbers."""
    found = json.loads((folder / STATISTICS).read_text())
    found['action'] = {key: values[:3] for key, values in found['action'].items()}
    restate(folder, found)


def test_a_whole_folder_is_accepted(tiny_checkpoint: Path) -> None:
    """What was saved can be loaded."""
    assert check_loadable(tiny_checkpoint).role == 'vla'
    assert is_whole(tiny_checkpoint / WEIGHTS)


@pytest.mark.parametrize(('damage', 'named'), [
    (cut, f'{WEIGHTS} is not a whole safetensors file'),
    (point, 'git lfs pull'),
    (lambda folder: (folder / WEIGHTS).unlink(), f'{WEIGHTS} is missing'),
    (lambda folder: (folder / 'tokenizer.json').unlink(), 'tokenizer.json is missing'),
    (lambda folder: (folder / STATISTICS).unlink(), f'{STATISTICS} is missing'),
    (replace_statistics, 'another one than the manifest says'),
    (three_numbers, '3 numbers for the action'),
    (lambda folder: restate(folder, {'action': {'q01': [0.0], 'q99': [1.0]}}), 'mean and std'),
])
def test_damage_is_named(tiny_checkpoint: Path, damage: Callable[[Path], None],
                         named: str) -> None:
    """Each kind of damage in words, and the folder."""
    damage(tiny_checkpoint)
    with pytest.raises(CheckpointError, match='cannot be loaded') as caught:
        check_loadable(tiny_checkpoint)
    assert named in str(caught.value) and str(tiny_checkpoint) in str(caught.value)


def test_every_problem_is_named_at_once(tiny_checkpoint: Path) -> None:
    """Nobody mends one file to learn of the next."""
    manifest = check_loadable(tiny_checkpoint)
    cut(tiny_checkpoint)
    (tiny_checkpoint / 'config.json').unlink()
    with pytest.raises(CheckpointError, match='config.json is missing.*not a whole'):
        check_files(tiny_checkpoint, manifest)


@pytest.mark.parametrize('data', [b'', b'\x00' * 8, b'\xff' * 64, b'\x02' + b'\x00' * 7 + b'[]'])
def test_any_bytes_are_judged(tmp_path: Path, data: bytes) -> None:
    """No content of a file makes the check itself fail."""
    (tmp_path / WEIGHTS).write_bytes(data)
    assert not is_whole(tmp_path / WEIGHTS)


@pytest.mark.parametrize(('kind', 'key', 'index', 'number', 'named'), [
    ('action', 'std', 1, 0.02, 'the std of action y is 0.02, in the running one 0.01'),
    ('state', 'mean', 3, 0.05, 'the mean of state gripper.width is 0.05, in the running one 0.04'),
])
def test_a_whole_checkpoint_of_other_statistics_is_not_of_the_same_baseline(
        tiny_checkpoint: Path, kind: str, key: str, index: int, number: float,
        named: str) -> None:
    """The first value that differs is named, with both numbers and the way out."""
    running = read_statistics(tiny_checkpoint)
    change(tiny_checkpoint, kind, key, index, number)
    assert check_loadable(tiny_checkpoint).role == 'vla', 'it is whole'
    with pytest.raises(CheckpointError) as caught:
        check_normalization(tiny_checkpoint, running)
    told = str(caught.value)
    assert named in told and str(tiny_checkpoint) in told and 'other_normalization' in told


def test_the_same_numbers_written_otherwise_are_the_same_statistics(
        tiny_checkpoint: Path) -> None:
    """Neither the hash of the file nor a copy in float32 makes another baseline of it."""
    running = read_statistics(tiny_checkpoint)
    found = json.loads((tiny_checkpoint / STATISTICS).read_text())
    restate(tiny_checkpoint, {
        kind: {key: np.float32(found[kind][key]).tolist() for key in ('std', 'mean')}
        for kind in ('state', 'action')})
    check_normalization(tiny_checkpoint, running)


def test_a_state_with_other_names_is_normalised_otherwise(tiny_checkpoint: Path) -> None:
    """Numbers are compared by what they are of, not by their place."""
    running = read_statistics(tiny_checkpoint)
    path = tiny_checkpoint / 'manifest.json'
    data = json.loads(path.read_text())
    data['state_names'][0] = 'joint.shoulder'
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r'mean of state ee\.x is not there, in the running'):
        check_normalization(tiny_checkpoint, running)


def test_the_shipped_policies_are_of_one_baseline() -> None:
    """What was pruned and recovered from one checkpoint can follow it."""
    running = read_statistics(MODELS / 'reference')
    for name in ('reference-half', 'reference-two'):
        check_normalization(MODELS / name, running)
