# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the simulator counts what it ran and refuses what it cannot."""

import json
from pathlib import Path
import runpy
from typing import Any

import pytest

pytest.importorskip('mujoco')
BENCH = runpy.run_path(str(Path(__file__).resolve().parents[2] / 'bench/simulator.py'))
measure: Any = BENCH['measure']


def test_the_report_counts_every_episode(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rates of all cameras, successes with their interval, and every seed in the file."""
    path = tmp_path / 'bench.json'
    assert measure(['--seeds', '2', '--seconds', '0.05', '--json', str(path)]) == 0
    text = capsys.readouterr().out
    for part in ('steps/s', 'front 80x80', 'wrist 80x80', 'studio', '2/2 nominal', 'Wilson'):
        assert part in text
    episodes = json.loads(path.read_text())['episodes']
    assert [one['seed'] for one in episodes] == [0, 1]
    assert all(one['success'] for one in episodes)


def test_a_failure_is_named() -> None:
    """A seed that was not solved appears in the report, and counts against the expert."""
    outcome = BENCH['Outcome']
    text = BENCH['report']([outcome(0, 'on_top', True, 30, 1.0),
                            outcome(1, 'beside', False, 90, 3.0)], {}, 'hard')
    assert '1/2 hard' in text and 'seeds not solved: 1' in text
    # 12 simulated seconds in 4: three times real time, 1500 steps of 2 ms a second.
    assert '1500 steps/s   3.0 x real time' in text


@pytest.mark.parametrize(('words', 'message'), [
    (['--seeds', '0'], 'at least 1'), (['--variant', 'dark'], 'lighting')])
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A count or a variant that makes no sense ends with 2 and says what does."""
    assert measure(words) == 2
    assert message in capsys.readouterr().err
