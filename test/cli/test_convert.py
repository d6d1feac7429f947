# SPDX-License-Identifier: Apache-2.0
"""The verb convert: a bag in, a dataset out, every mistake in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.dataset.reader import Dataset

rosbags = pytest.importorskip('rosbags')


def convert(bag: Path, output: Path, *more: str) -> int:
    """Run the verb for the simulated arm."""
    return main(['convert', str(bag), '--robot', 'simulated_arm', '-o', str(output), *more])


@pytest.fixture
def bag(record: Callable[..., Any]) -> Path:
    """Return a second of a robot at work."""
    recording = record()
    recording.say('put the red cube in the left bin')
    recording.drive(5.0, 1.0)
    return Path(recording.close())


def test_says_what_was_written(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                               ) -> None:
    """Episodes, frames, what the actions are made of, and what was left out and why."""
    assert convert(bag, tmp_path / 'set') == 0
    assert capsys.readouterr().out == (
        f"wrote {tmp_path / 'set'}: 1 episodes, 9 frames at 10 Hz; actions from the recorded "
        "commands; left out: 1 x no command yet on 'target_pose'; 1 x the recording ends within "
        'the frame\n')
    assert convert(bag, tmp_path / 'measured', '--actions', 'measured', '--fps', '5') == 0
    dataset = Dataset(tmp_path / 'measured')
    assert dataset.semantics['actions'] == 'measured' and dataset.fps == 5.0


def test_a_checkpoint_decides_what_is_written(bag: Path, tmp_path: Path, tiny_checkpoint: Path,
                                              ) -> None:
    """Cameras, state, actions and rate are those of its manifest."""
    assert convert(bag, tmp_path / 'set', '--checkpoint', str(tiny_checkpoint)) == 0
    dataset = Dataset(tmp_path / 'set')
    assert dataset.cameras == {'front': (20, 20), 'wrist': (20, 20)} and dataset.fps == 10.0


def test_fits_the_reference_policy() -> None:
    """The contract of the simulated arm and the shipped policy speak the same language."""
    from vla_drop_ros.bringup import find_checkpoint, find_contract
    from vla_drop_ros.contract_file import load_contract
    from vla_drop_ros.dataset.conversion import state_names_for
    from vla_drop_ros.manifest import load_manifest
    manifest = load_manifest(find_checkpoint('reference'))
    contract = load_contract(find_contract('simulated_arm'))
    assert manifest.action_spec is not None
    assert manifest.action_spec.names == contract.action.names
    assert manifest.state_names == state_names_for(contract.action.names)


@pytest.mark.parametrize(('more', 'said'), [
    (['--fps', '0'], '--fps 0: at least 1'),
    (['--task', ' '], "--task ' ': say what"),
    (['--checkpoint', 'reference', '--fps', '20'], 'acts 10 times a second'),
    (['--checkpoint', 'referense'], "unknown checkpoint 'referense'; valid: "),
    (['--namespace', 'left'], '/left/ee_pose (geometry_msgs/msg/PoseStamped) is missing'),
])
def test_bad_input_exits_with_2(bag: Path, more: list[str], said: str, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and the message names the way out."""
    assert convert(bag, tmp_path / 'set', *more) == 2
    assert said in capsys.readouterr().err.replace('\n', ' ')
    assert not (tmp_path / 'set').exists()


def test_a_model_that_does_not_act_is_refused(
        bag: Path, tmp_path: Path, write_tiny: Callable[..., Any],
        capsys: pytest.CaptureFixture[str]) -> None:
    """A vision-language model has no action language."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    assert convert(bag, tmp_path / 'set', '--checkpoint', str(tmp_path / 'vlm')) == 2
    assert 'does not act' in capsys.readouterr().err
