# SPDX-License-Identifier: Apache-2.0
"""What a LeRobot dataset says comes back as observations and chunks, and faults are named."""

import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from vla_drop_ros.dataset.reader import Dataset, INFO_FILE
from vla_drop_ros.errors import DatasetError


@pytest.fixture
def copy(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Return a copy of the dataset that the test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / 'copy'))


def change_info(folder: Path, **fields: Any) -> None:
    """Overwrite fields of what describes the dataset; None removes one."""
    info = {**json.loads((folder / INFO_FILE).read_text()), **fields}
    (folder / INFO_FILE).write_text(json.dumps(
        {name: value for name, value in info.items() if value is not None}))


def test_frames_become_observations(tiny_dataset: Path) -> None:
    """Cameras, state, instruction and the time in the episode are those that were recorded."""
    dataset = Dataset(tiny_dataset)
    assert (len(dataset), dataset.episodes, dataset.fps) == (45, 6, 10.0)
    assert dataset.cameras == {'front': (20, 20), 'wrist': (20, 20)}
    assert dataset.action_names == ('x', 'y', 'z', 'gripper')
    seen = dataset.observation(7)  # the third frame of the second episode
    assert seen.stamp == pytest.approx(0.2) and seen.instruction == 'blue bin'
    assert seen.images['front'].shape == (20, 20, 3) and seen.images['front'].dtype == np.uint8
    assert seen.state == pytest.approx(dataset.states[7])


def test_chunks_end_with_their_episode(tiny_dataset: Path) -> None:
    """Behind the last step of an episode the last action is repeated and does not count."""
    dataset = Dataset(tiny_dataset)
    inside, valid = dataset.actions(0, 4)
    assert valid.tolist() == [1, 1, 1, 1]
    over, valid = dataset.actions(3, 4)
    assert valid.tolist() == [1, 1, 0, 0]
    assert over[0] == pytest.approx(inside[3]) and over[2] == pytest.approx(over[1])
    assert not np.allclose(over[2], dataset.actions(5, 1)[0][0]), 'leaked into the next episode'


def test_samples_spread_over_the_episodes(tiny_dataset: Path) -> None:
    """As many samples as episodes take one of each; the seed repeats them."""
    dataset = Dataset(tiny_dataset)
    picked = dataset.sample(6, seed=1)
    assert sorted(dataset.episode[picked]) == list(range(6))
    assert picked == dataset.sample(6, seed=1) != dataset.sample(6, seed=2)
    assert len(set(dataset.sample(45, seed=1))) == 45
    with pytest.raises(DatasetError, match='45 usable frames, 46 are asked for'):
        dataset.sample(46, seed=1)


def test_the_hash_is_of_everything(copy: Path, tiny_dataset: Path) -> None:
    """A copy has the hash of the original, until one byte differs."""
    assert Dataset(copy).sha256() == Dataset(tiny_dataset).sha256()
    change_info(copy, robot_type='another')
    assert Dataset(copy).sha256() != Dataset(tiny_dataset).sha256()


def test_converters_write_names_and_shapes_in_other_ways(copy: Path) -> None:
    """Names in a dictionary, none at all, and pictures with channels first are understood."""
    features = json.loads((copy / INFO_FILE).read_text())['features']
    features['action']['names'] = {'motors': ['a', 'b', 'c', 'd']}
    features['observation.state']['names'] = None
    features['observation.images.front'].update(
        shape=[3, 20, 24], names=['channels', 'height', 'width'])
    change_info(copy, features=features)
    dataset = Dataset(copy)
    assert dataset.action_names == ('a', 'b', 'c', 'd')
    assert dataset.state_names[0] == 'observation.state.0'
    assert dataset.cameras['front'] == (20, 24)


def test_faults_are_named(copy: Path, tmp_path: Path) -> None:
    """No dataset, another version, no frames, missing columns: one clear line each."""
    with pytest.raises(DatasetError, match='is no LeRobot dataset: meta/info.json is missing'):
        Dataset(tmp_path)
    change_info(copy, codebase_version='v2.1')
    with pytest.raises(DatasetError, match="version 'v2.1', this reads 'v3.0'"):
        Dataset(copy)
    change_info(copy, codebase_version='v3.0')
    data = copy / 'data/chunk-000/file-000.parquet'
    table = parquet.read_table(data)
    parquet.write_table(table.drop_columns(['task_index']), data)
    with pytest.raises(DatasetError, match='task_index'):
        Dataset(copy)
    parquet.write_table(table.slice(0, 0), data)
    with pytest.raises(DatasetError, match='holds no demonstrations: its tables are empty'):
        Dataset(copy)
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(DatasetError, match='cannot be read'):
        Dataset(copy)
    data.unlink()
    with pytest.raises(DatasetError, match='holds no demonstrations'):
        Dataset(copy)


def test_other_keys_are_named(copy: Path) -> None:
    """A dataset without the keys of a policy says which it has."""
    features = json.loads((copy / INFO_FILE).read_text())['features']
    features['observation.joints'] = features.pop('observation.state')
    change_info(copy, features=features)
    with pytest.raises(DatasetError, match="no 'observation.state'; it has .*joints"):
        Dataset(copy)


def test_an_absent_camera_is_named(tiny_dataset: Path) -> None:
    """Asking for a camera that was not recorded lists those that were."""
    with pytest.raises(DatasetError, match='front, wrist'):
        Dataset(tiny_dataset).image(0, 'top')
