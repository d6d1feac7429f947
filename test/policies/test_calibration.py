# SPDX-License-Identifier: Apache-2.0
"""Calibration samples repeat, spread over flow times, and fit the checkpoint or are refused."""

import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.dataset.reader import Dataset, INFO_FILE, SEMANTICS
from vla_drop_ros.errors import DatasetError
from vla_drop_ros.policies.calibration import calibrate, check_fit, flow_draws


def test_the_seed_gives_the_same_samples(tiny_policy: Any, tiny_dataset: Path) -> None:
    """Frames, times and noise repeat; another seed has another record."""
    dataset = Dataset(tiny_dataset)
    one, two, other = (calibrate(tiny_policy, dataset, 8, seed, batch_size=3)
                       for seed in (4, 4, 5))
    assert one.record == two.record and one.record['sha256'] != other.record['sha256']
    assert [len(batch) for batch in one.batches] == [3, 3, 2] and one.samples == 8
    for batch, again in zip(one.batches, two.batches, strict=True):
        assert torch.equal(batch.noise, again.noise) and torch.equal(batch.time, again.time)
        assert torch.equal(batch.actions, again.actions)


def test_times_are_stratified(tiny_policy: Any) -> None:
    """In each of N D equal shares of the distribution lies exactly one time."""
    noise, times = flow_draws(tiny_policy, 10, 2, seed=0)
    assert noise.shape == (10, 2, 4, 4) and times.shape == (10, 2)
    edges = tiny_policy.family.flow_times(tiny_policy.model, np.linspace(1e-9, 1 - 1e-9, 21))
    assert (np.histogram(times, edges)[0] == 1).all()


def test_actions_are_normalised_and_ends_do_not_count(
        tiny_policy: Any, tiny_dataset: Path) -> None:
    """A batch holds what the dataset says, in the checkpoint's units."""
    dataset = Dataset(tiny_dataset)
    found = calibrate(tiny_policy, dataset, 45, 0, draws=1, batch_size=45)
    batch, index = found.batches[0], found.record['frames'].index(3)
    actions, valid = dataset.actions(3, 4)
    expected = tiny_policy.normalization.action.normalize(actions)
    assert batch.actions[index].numpy() == pytest.approx(expected, abs=1e-5)
    assert batch.weights[index, :, 0].tolist() == valid.tolist() == [1, 1, 0, 0]


def test_held_out_samples_are_others(tiny_policy: Any, tiny_dataset: Path) -> None:
    """What something was chosen by is not drawn again."""
    dataset = Dataset(tiny_dataset)
    first = calibrate(tiny_policy, dataset, 20, 0).record['frames']
    second = calibrate(tiny_policy, dataset, 25, 0, without=first).record['frames']
    assert sorted([*first, *second]) == list(range(45))
    with pytest.raises(DatasetError, match='25 usable frames, 26 are asked for'):
        calibrate(tiny_policy, dataset, 26, 0, without=first)


@pytest.mark.parametrize(('change', 'message'), [
    ({'fps': 30}, 'has 30 frames a second, the checkpoint acts every 0.1 s'),
    ({SEMANTICS: {'frame': 'tool0'}}, "actions have frame 'tool0', the checkpoint 'base_link'"),
    ({SEMANTICS: {'reference': 'absolute'}}, "reference 'absolute', the checkpoint 'delta'"),
])
def test_another_language_is_refused(
        change: dict[str, Any], message: str, tiny_policy: Any, tiny_dataset: Path,
        tmp_path: Path) -> None:
    """What differs is named with both values."""
    folder = Path(shutil.copytree(tiny_dataset, tmp_path / 'copy'))
    info = json.loads((folder / INFO_FILE).read_text())
    (folder / INFO_FILE).write_text(json.dumps({**info, **change}))
    with pytest.raises(DatasetError, match=message):
        check_fit(tiny_policy, Dataset(folder))


def test_other_names_and_absent_cameras_are_refused_together(
        tiny_policy: Any, tiny_dataset: Path, tmp_path: Path) -> None:
    """All problems are told at once."""
    folder = Path(shutil.copytree(tiny_dataset, tmp_path / 'copy'))
    info = json.loads((folder / INFO_FILE).read_text())
    features = info['features']
    features['observation.images.top'] = features.pop('observation.images.wrist')
    features['action']['names'] = ['roll', 'pitch', 'yaw', 'gripper']
    (folder / INFO_FILE).write_text(json.dumps(info))
    with pytest.raises(DatasetError) as caught:
        check_fit(tiny_policy, Dataset(folder))
    for part in ("['roll', 'pitch', 'yaw', 'gripper']", "['x', 'y', 'z', 'gripper']",
                 "camera ['wrist'] is absent; it has ['front', 'top']"):
        assert part in str(caught.value)


def test_instructions_without_a_known_word_are_passed_over(
        tiny_policy: Any, tiny_dataset: Path) -> None:
    """Frames that the policy would refuse are not among the samples."""
    dataset = Dataset(tiny_dataset)
    dataset._tasks = {task: text if task == 0 else 'hoch die Tassen'
                      for task, text in dataset._tasks.items()}
    found = calibrate(tiny_policy, dataset, 10, 0)
    assert {dataset.instruction(index) for index in found.record['frames']} == {
        'put the red cube in the left bin'}


def test_one_sample_is_refused(tiny_policy: Any, tiny_dataset: Path) -> None:
    """No interval comes from one."""
    with pytest.raises(DatasetError, match='at least 2'):
        calibrate(tiny_policy, Dataset(tiny_dataset), 1)
