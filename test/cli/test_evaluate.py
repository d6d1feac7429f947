# SPDX-License-Identifier: Apache-2.0
"""The verb evaluate: counts with intervals for checkpoints on the same seeds, without ROS."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.cli.main import main

pytest.importorskip('torch')
pytest.importorskip('mujoco')


@pytest.fixture(autouse=True)
def short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """End an episode after one chunk; random weights would not succeed in nine seconds either."""
    monkeypatch.setattr('vla_drop_ros.reference.rollouts.MAX_STEPS', 2)


def test_counts_and_intervals(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Success, its interval and the time of a chunk are printed; every episode is in the file."""
    outcome = tmp_path / 'outcome.json'
    assert main(['evaluate', str(tiny_checkpoint), '--episodes', '1', '--first-seed', '7',
                 '--variant', 'hard', '--json', str(outcome)]) == 0
    text = capsys.readouterr().out
    assert 'hard, 1 seeds from 7' in text and '0/1' in text
    written = json.loads(outcome.read_text())
    assert written['variant'] == 'hard'
    (episode,) = written['episodes'][str(tiny_checkpoint)]
    assert episode['seed'] == 7 and episode['success'] is False
    assert episode['latency'] > 0


def test_two_checkpoints_get_the_same_seeds(
        tmp_path: Path, write_tiny: Callable[..., Any]) -> None:
    """Checkpoints are compared on the same scenes, and swapping runs each scene twice."""
    outcome = tmp_path / 'outcome.json'
    names = [str(tmp_path / name) for name in ('one', 'two')]
    for name in names:
        write_tiny(Path(name))
    assert main(['evaluate', *names, '--episodes', '2', '--swap', '--json', str(outcome)]) == 0
    episodes = json.loads(outcome.read_text())['episodes']
    assert [[one['seed'] for one in episodes[name]] for name in names] == [[0, 1], [0, 1]]
    for one in episodes[names[0]]:
        assert one['swapped']['named'] != one['named']
        assert one['swapped']['goal'] == one['goal']


@pytest.mark.parametrize(('words', 'message'), [
    (['--variant', 'dark'], 'lighting'), (['--episodes', '0'], 'at least 1'),
    (['--workers', '0'], 'at least 1')])
def test_bad_arguments(tiny_checkpoint: Path, words: list[str], message: str,
                       capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown variant or a count below one ends with 2 and says what is valid."""
    assert main(['evaluate', str(tiny_checkpoint), *words]) == 2
    assert message in capsys.readouterr().err


def test_an_absent_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is named before anything starts."""
    assert main(['evaluate', str(tmp_path / 'nothing')]) == 2
    assert 'nothing' in capsys.readouterr().err
