# SPDX-License-Identifier: Apache-2.0
"""What is written is a LeRobot dataset, whole or not there at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.dataset.writer import DatasetWriter
from vla_drop_ros.errors import DatasetError


def begin(folder: Path, **fields: Any) -> DatasetWriter:
    """Return a writer of one camera and two numbers."""
    return DatasetWriter(folder, **{
        'fps': 5, 'cameras': {'top': (6, 8)}, 'state_names': ('a', 'b'), 'action_names': ('c',),
        'semantics': {'frame': 'base_link', 'reference': 'delta', 'period': 0.2},
        'robot_type': 'test', **fields})


def record(writer: DatasetWriter, frames: int, seed: int) -> list[Any]:
    """Add frames; return the pictures."""
    rng, images = np.random.default_rng(seed), []
    for _ in range(frames):
        images.append(rng.integers(0, 256, (6, 8, 3), np.uint8))
        writer.add({'top': images[-1]}, rng.normal(size=2), rng.normal(size=1))
    return images


def test_everything_comes_back(tmp_path: Path) -> None:
    """Pictures bit for bit, states, tasks and what the actions mean; abandoned frames are gone."""
    writer = begin(tmp_path / 'set')
    first = record(writer, 3, 0)
    writer.end_episode('left')
    record(writer, 2, 1)
    writer.abandon()
    second = record(writer, 2, 2)
    writer.end_episode('right')
    assert not (tmp_path / 'set').exists(), 'visible before it is whole'
    writer.close()
    dataset = Dataset(tmp_path / 'set')
    assert (len(dataset), dataset.episodes) == (5, 2)
    for index, image in enumerate([*first, *second]):
        assert np.array_equal(dataset.image(index, 'top'), image)
    assert [dataset.instruction(index) for index in range(5)] == ['left'] * 3 + ['right'] * 2
    assert dataset.semantics == {'frame': 'base_link', 'reference': 'delta', 'period': 0.2}
    assert list(tmp_path.iterdir()) == [tmp_path / 'set']


def test_statistics_and_tables_are_those_of_lerobot(tmp_path: Path) -> None:
    """Pictures are described in [0, 1] by channel, episodes by where their frames lie."""
    writer = begin(tmp_path / 'set')
    images = record(writer, 4, 0)
    writer.end_episode('left')
    writer.close()
    found = json.loads((tmp_path / 'set/meta/stats.json').read_text())
    assert np.shape(found['observation.images.top']['mean']) == (3, 1, 1)
    assert 0.0 <= found['observation.images.top']['min'][0][0][0] <= 1.0
    assert np.shape(found['observation.state']['q99']) == (2,)
    row = parquet.read_table(tmp_path / 'set/meta/episodes/chunk-000/file-000.parquet').to_pylist()
    assert (row[0]['dataset_from_index'], row[0]['dataset_to_index']) == (0, len(images))


def test_lerobot_opens_it(tmp_path: Path) -> None:
    """LeRobot's own class reads the folder and gives the same frames."""
    pytest.importorskip('lerobot')
    pytest.importorskip('datasets')
    module = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    writer = begin(tmp_path / 'set')
    images = record(writer, 3, 0)
    writer.end_episode('left')
    writer.close()
    other = module.LeRobotDataset('local/set', root=tmp_path / 'set')
    assert len(other) == 3 and other[1]['task'] == 'left'
    shown = other[1]['observation.images.top'].permute(1, 2, 0).numpy() * 255.0
    assert np.array_equal(shown.round().astype(np.uint8), images[1])


def test_faults_are_named_and_leave_nothing(tmp_path: Path) -> None:
    """Another picture size, an empty episode, nothing at all, a folder that exists."""
    writer = begin(tmp_path / 'set')
    with pytest.raises(DatasetError, match=r"camera 'top': picture \(5, 8, 3\), expected \(6, 8"):
        writer.add({'top': np.zeros((5, 8, 3), np.uint8)}, np.zeros(2), np.zeros(1))
    with pytest.raises(DatasetError, match='at least one frame'):
        writer.end_episode('left')
    with pytest.raises(DatasetError, match='nothing is written'):
        writer.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / 'set').mkdir()
    with pytest.raises(DatasetError, match='exists already'):
        begin(tmp_path / 'set')
