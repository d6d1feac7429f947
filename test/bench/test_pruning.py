# SPDX-License-Identifier: Apache-2.0
"""The benchmark of pruning compares in turns, and its report shows what it measured."""

import json
from pathlib import Path
import runpy
from typing import Any

import pytest

BENCH = runpy.run_path(str(Path(__file__).resolve().parents[2] / 'bench/pruning.py'))
measure: Any = BENCH['measure']


def test_the_report_has_the_ratio_and_the_plans(
        tiny_checkpoint: Path, tiny_dataset: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str], one_thread: None) -> None:
    """Plans that the checkpoint cannot carry out are left out, the others are timed."""
    path = tmp_path / 'bench.json'
    assert measure(['--checkpoint', str(tiny_checkpoint), '--data', str(tiny_dataset), '--batch',
                    '4', '--rounds', '3', '--json', str(path)]) == 0
    text = capsys.readouterr().out
    assert 'GateProbe, all blocks, batch of 4' in text and 'predicted  measured' in text
    found = json.loads(path.read_text())
    assert 'dead compute only' in found['latency']
    # The tiny model has 4 language blocks: index 7 is refused and left out.
    assert 'half of the language, tied' not in found['latency']
    assert found['gateprobe_in_steps'][0] > 0


def test_work_is_done_in_turns() -> None:
    """Each is run once before the clock runs, then one after the other."""
    calls: list[str] = []
    times = BENCH['in_turns']([lambda: calls.append('a'), lambda: calls.append('b')], 2)
    assert calls == ['a', 'b', 'a', 'b', 'a', 'b']
    assert [len(one) for one in times] == [2, 2]


def test_ratios_are_of_pairs() -> None:
    """A machine that is slow in one round is slow for both."""
    middle, low, high = BENCH['ratio']([1.0, 10.0, 2.0], [2.0, 20.0, 4.0])
    assert (middle, low, high) == (0.5, 0.5, 0.5)


def test_bad_input_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line."""
    assert measure(['--batch', '1']) == 2
    assert '--batch and --rounds must be at least 2' in capsys.readouterr().err
