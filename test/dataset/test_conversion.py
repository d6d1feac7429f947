# SPDX-License-Identifier: Apache-2.0
"""Recordings become demonstrations: all that was there, nothing that was not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.conversion import convert, in_words, Layout, Outcome, state_names_for
from vla_drop_ros.dataset.frame_grid import NO_IMAGES
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import DatasetError

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')
LAYOUT = Layout(('front', 'wrist'), STATE_NAMES, ('x', 'y', 'z', 'gripper'), 'base_link', 'delta')
SAID = 'put the red cube in the left bin'
Record = Callable[..., Any]


def write(folder: Path, *recordings: Any, layout: Layout = LAYOUT) -> tuple[Outcome, Dataset]:
    """Convert finished recordings; return what came of it and the dataset."""
    outcome = convert([one.close() for one in recordings], CONTRACT, layout, folder / 'set')
    return outcome, Dataset(folder / 'set')


def told(record: Record, name: str = 'bag') -> Any:
    """Return a recording that begins with the instruction."""
    recording = record(name)
    recording.say(SAID)
    return recording


def test_a_bag_is_an_episode(record: Record, tmp_path: Path) -> None:
    """Pictures, states, actions and the task are those of the robot at each frame."""
    recordings = [told(record, 'one'), told(record, 'two')]
    for recording in recordings:
        recording.drive(5.0, 1.5)
    outcome, dataset = write(tmp_path, *recordings)
    assert (outcome.episodes, dataset.episodes, dataset.fps) == (2, 2, 10.0)
    assert dataset.semantics == {'frame': 'base_link', 'reference': 'delta', 'period': 0.1,
                                 'actions': 'commands'}
    assert dataset.state_names == STATE_NAMES and dataset.instruction(0) == SAID
    stamps = 5.1 + 0.1 * dataset.step  # at 5.0 there was no command yet
    assert dataset.states[:, 0] == pytest.approx(0.1 * stamps, abs=1e-6)
    assert dataset.states[:, 3] == pytest.approx(0.04)
    actions, _ = dataset.actions(0, len(dataset) // 2)
    assert actions == pytest.approx(np.tile([0.01, 0.0, 0.0, 0.03], (len(actions), 1)), abs=1e-6)
    for index in (0, 3, len(dataset) - 1):
        assert (dataset.image(index, 'wrist') == round(stamps[index] * 100) % 256).all()
    assert outcome.frames == len(dataset) == 2 * 14
    assert outcome.left_out == {"no command yet on 'target_pose'": 2,
                                'the recording ends within the frame': 2}


def test_a_lost_camera_splits_the_episode(record: Record, tmp_path: Path) -> None:
    """The frames that it missed are counted under its name, and none is a copy."""
    recording = told(record)
    recording.drive(5.0, 4.0, cameras=lambda stamp: (
        ('front',) if 6.0 < stamp < 7.5 else ('front', 'wrist')))
    outcome, dataset = write(tmp_path, recording)
    assert dataset.episodes == 2
    assert {name: count for name, count in outcome.left_out.items() if 'camera' in name} == {
        "camera 'wrist' too old": 14}
    pictures = [dataset.image(index, 'wrist')[0, 0, 0] for index in range(len(dataset))]
    assert len(set(pictures)) == len(pictures)


def test_a_new_instruction_is_a_new_episode(record: Record, tmp_path: Path) -> None:
    """Each frame belongs to what was asked when it was seen; a pause is left out."""
    recording = told(record)
    recording.drive(5.0, 0.9)
    recording.say('blue bin')
    recording.drive(6.0, 0.9)
    recording.say('blue bin')  # said again, nothing new
    recording.drive(7.0, 0.9)
    recording.say('')
    recording.drive(8.0, 0.9)
    outcome, dataset = write(tmp_path, recording)
    assert [dataset.instruction(int(np.flatnonzero(dataset.episode == episode)[0]))
            for episode in range(dataset.episodes)] == [SAID, 'blue bin']
    assert outcome.left_out['paused by an empty instruction'] == pytest.approx(9, abs=1)


def test_a_task_is_said_by_the_user(record: Record, tmp_path: Path) -> None:
    """A bag without instruction, commands or gripper commands: led by hand."""
    recording = record()
    recording.drive(5.0, 1.0, commands=False)
    outcome, dataset = write(tmp_path, recording,
                             layout=replace(LAYOUT, task='blue bin', actions='measured'))
    assert dataset.instruction(0) == 'blue bin' and dataset.semantics['actions'] == 'measured'
    actions, _ = dataset.actions(0, len(dataset))
    assert actions == pytest.approx(np.tile([0.01, 0.0, 0.0, 0.04], (len(actions), 1)), abs=1e-6)
    assert outcome.left_out == {'the recording ends within the frame': 1}


def test_absolute_actions_are_commanded_poses(record: Record, tmp_path: Path) -> None:
    """The action of a frame is where the arm was sent by the next."""
    recording = told(record)
    recording.drive(5.0, 1.0)
    _, dataset = write(tmp_path, recording, layout=replace(LAYOUT, reference='absolute'))
    actions, _ = dataset.actions(0, len(dataset))
    assert actions[0, :3] == pytest.approx([0.1 * 5.05 + 0.05, 0.0, 0.3], abs=0.011)
    assert np.diff(actions[:, 0]) == pytest.approx(0.01, abs=1e-6)


def test_fits_the_policies_of_that_robot(record: Record, tmp_path: Path, tiny_policy: Any,
                                         ) -> None:
    """A checkpoint that speaks the robot's language takes the dataset for calibration."""
    from vla_drop_ros.policies.calibration import calibrate, check_fit
    recording = told(record)
    recording.drive(5.0, 2.0)
    _, dataset = write(tmp_path, recording)
    check_fit(tiny_policy, dataset)
    assert calibrate(tiny_policy, dataset, 4).samples == 4


def test_other_rates_are_possible(record: Record, tmp_path: Path) -> None:
    """Half the frames have twice the displacement."""
    recording = told(record)
    recording.drive(5.0, 2.0)
    _, dataset = write(tmp_path, recording, layout=replace(LAYOUT, fps=5))
    actions, _ = dataset.actions(1, 3)
    assert dataset.fps == 5.0 and actions[:, 0] == pytest.approx(0.02, abs=1e-6)


def test_progress_is_heard(record: Record, tmp_path: Path) -> None:
    """It never runs back, and passes from bag to bag."""
    recordings = [told(record, 'one'), told(record, 'two')]
    for recording in recordings:
        recording.drive(5.0, 3.0)
    heard: list[float] = []
    convert([one.close() for one in recordings], CONTRACT, LAYOUT, tmp_path / 'set', heard.append)
    assert heard == sorted(heard) and heard[0] >= 0.0 and 1.5 < heard[-1] < 2.0


def broken_image(record: Record) -> Any:
    """Return a recording whose front camera speaks an unknown encoding."""
    recording = told(record)
    for tick in range(10):
        stamp = 5.0 + tick / 10
        recording.pose(stamp, 0.1, 'target_pose')
        recording.width(0.03)
        recording.pose(stamp, 0.1)
        recording.joints(stamp, 0.04)
        recording.image('front', stamp, 'nv21')
        recording.image('wrist', stamp)
    return recording


def blind(record: Record) -> Any:
    """Return a recording in which the cameras never show the same time."""
    recording = told(record)
    for stamp in (5.0, 5.2, 5.4):
        recording.image('front', stamp)
        recording.image('wrist', stamp + 1.0)
        recording.pose(stamp, 0.1)
        recording.joints(stamp, 0.04)
        recording.pose(stamp, 0.1, 'target_pose')
        recording.width(0.03)
    return recording


@pytest.mark.parametrize(('make', 'said'), [
    (broken_image, r"gives no frame: \d+ x unknown image encoding 'nv21'; valid: 16UC1"),
    (blind, r'gives no frame: .*\d+ x cam')])
def test_a_bag_without_a_frame_is_an_error(record: Record, tmp_path: Path,
                                           make: Callable[..., Any], said: str) -> None:
    """The reasons are in the message, and what a good bag before gave is not left behind."""
    good = told(record, 'good')
    good.drive(5.0, 1.0)
    with pytest.raises(DatasetError, match=said):
        write(tmp_path, good, make(record))
    assert {path.name for path in tmp_path.iterdir()} == {'good', 'bag'}


def test_another_picture_size_than_the_checkpoints_is_named(record: Record, tmp_path: Path,
                                                            ) -> None:
    """A dataset that the checkpoint could not read is not written."""
    recording = told(record)
    recording.drive(5.0, 1.0)
    with pytest.raises(DatasetError, match=r"camera 'front': picture \(20, 20, 3\), expected"):
        write(tmp_path, recording, layout=replace(LAYOUT, sizes={'front': (80, 80)}))
    assert not [path for path in tmp_path.iterdir() if path.name != 'bag']


def test_an_existing_dataset_is_kept(record: Record, tmp_path: Path) -> None:
    """Said before any bag is read."""
    (tmp_path / 'set').mkdir()
    with pytest.raises(DatasetError, match='exists already'):
        convert([tmp_path / 'absent'], CONTRACT, LAYOUT, tmp_path / 'set')


def test_reasons_are_ranked() -> None:
    """The most frequent comes first."""
    assert in_words({'a': 1, NO_IMAGES: 3}) == f'3 x {NO_IMAGES}; 1 x a'


def test_states_follow_the_actions() -> None:
    """What is turned is also told how it stands."""
    assert state_names_for(('x', 'gripper')) == STATE_NAMES
    assert state_names_for(('x', 'rz'))[-1] == 'ee.qw'
