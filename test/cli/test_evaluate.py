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


def test_checkpoints_are_compared_scene_by_scene(
        tmp_path: Path, write_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Each checkpoint is paired with the first: who solved which scenes, and Tango's interval."""
    names = [str(tmp_path / name) for name in ('one', 'two')]
    solved = {}
    for name, scale, seeds in zip(names, (0.3, 0.2), ({0, 1, 2}, {2, 3}), strict=True):
        solved[write_tiny(Path(name), scale=scale).identity] = seeds

    def outcome(job: Any) -> dict[str, Any]:
        return {'seed': job.seed, 'success': job.seed in solved[job.checkpoint], 'goal': 'beside',
                'moved': None, 'named': 'red cube', 'latency': 0.01}

    monkeypatch.setattr('vla_drop_ros.evaluation.pool.run',
                        lambda jobs, *_: [outcome(job) for job in jobs])
    assert main(['evaluate', *names, '--episodes', '6']) == 0
    text = capsys.readouterr().out
    cells = [line.split('│')[2:7] for line in text[text.index('scene by scene'):].splitlines()
             if '-16.7 points' in line]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ['1', '2', '1', '2', '-16.7 points']]
    assert '-63.0 .. +39.8' in text


def test_a_log_is_gone_on_with(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The same command again runs only the episodes that are not in the file yet."""
    log, outcome = tmp_path / 'episodes.jsonl', tmp_path / 'outcome.json'
    words = ['evaluate', str(tiny_checkpoint), '--log', str(log), '--json', str(outcome)]
    found = []
    for episodes in (1, 3):
        assert main([*words, '--episodes', str(episodes)]) == 0
        found.append(json.loads(outcome.read_text())['episodes'][str(tiny_checkpoint)])
    assert found[1][0] == found[0][0]  # to the last digit of the latency
    assert [one['seed'] for one in found[1]] == [0, 1, 2]
    assert [json.loads(line)['seed'] for line in log.read_text().splitlines()] == [0, 1, 2]


def test_a_cluster_that_is_not_there(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An address without a cluster ends with 2 and says how to start one."""
    pytest.importorskip('ray')
    assert main(['evaluate', str(tiny_checkpoint), '--ray', '127.0.0.1:1']) == 2
    assert 'ray start --head' in capsys.readouterr().err


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
