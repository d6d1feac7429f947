# SPDX-License-Identifier: Apache-2.0
"""The benchmark of smoothness counts what it ran, shows it, and refuses what makes no sense."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('mujoco')

from bench.chunk_episode import Motion  # noqa: E402 - after the check
from bench.smoothness import (  # noqa: E402
    as_markdown,
    draw,
    measure,
    MODES,
    PAGE_MARKS,
    summary,
)


def motion(success: bool, seconds: float, jerk: float) -> Motion:
    """Return an episode of constant jerk."""
    return Motion(success, seconds, 10, 0, np.full(20, jerk), np.full(20, jerk / 2),
                  np.full(3, jerk / 100), 40, 10)


def test_a_cell_pools_ticks_and_times_only_successes() -> None:
    """Jerks of all ticks, time of what succeeded, chunks of all the time, nothing made up."""
    cell = summary('rtc', 0.1, [motion(True, 4.0, 100.0), motion(False, 16.0, 300.0)])
    assert (cell.successes, cell.episodes, cell.seconds, cell.chunks) == (1, 2, 4.0, 1.0)
    assert cell.commanded == (200.0, 300.0) and cell.measured == (100.0, 150.0)
    assert cell.jump == pytest.approx((2.0, 3.0)) and cell.altered == 0.25
    assert np.isnan(summary('rtc', 0.1, [motion(False, 16.0, 1.0)]).seconds)


def test_the_table_has_a_row_a_cell_by_latency() -> None:
    """Latencies rise, all modes of one beside each other; no success has no time."""
    cells = [summary(mode, latency, [motion(mode != 'jump', 3.0, 50.0)])
             for mode in ('jump', 'synchronous') for latency in (0.2, 0.02)]
    rows = [[word.strip() for word in row.strip('|').split('|')]
            for row in as_markdown(cells).splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        ['20', 'asynchronous, jump'], ['20', 'synchronous'],
        ['200', 'asynchronous, jump'], ['200', 'synchronous']]
    assert rows[2][5:7] == ['0/1', '-'] and rows[3][5:7] == ['1/1', '3.0']
    assert all(len(row) == len(rows[0]) for row in rows)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """Also where nothing succeeded."""
    draw(tmp_path / 'one.png', [summary(mode, latency, [motion(mode != 'rtc', 3.0, 50.0)])
                                for mode in MODES for latency in (0.02, 0.2)])
    assert (tmp_path / 'one.png').stat().st_size > 20_000


def test_table_and_picture_go_to_the_page(
        tmp_path: Path, write_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """A real run of two modes: what stands in the page is what was printed and counted."""
    write_tiny(tmp_path / 'tiny')
    monkeypatch.setattr('bench.chunk_episode.TIME_LIMIT', 1.0)
    page = tmp_path / 'page.md'
    page.write_text('\n'.join(['before', *PAGE_MARKS, 'after']))
    assert measure(['--modes', 'blend,rtc', '--latencies', '0.1', '--episodes', '2',
                    '--checkpoint', str(tmp_path / 'tiny'), '--page', str(page),
                    '--json', str(tmp_path / 'cells.json')]) == 0
    table = capsys.readouterr().out.strip()
    assert table in page.read_text() and page.read_text().endswith('after')
    assert (tmp_path / 'smoothness.png').is_file()
    cells = json.loads((tmp_path / 'cells.json').read_text())
    assert [(one['mode'], one['episodes']) for one in cells] == [('blend', 2), ('rtc', 2)]
    assert all(one['commanded'][0] > 0 and one['chunks'] > 1 for one in cells)


@pytest.mark.parametrize(('words', 'message'), [
    (['--episodes', '0'], 'at least 1'), (['--modes', 'fast'], 'valid: blend, ensemble'),
    (['--latencies', '0.1,x'], 'seconds from 0 to 2'), (['--latencies', '100'], 'from 0 to 2')])
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What makes no sense ends with 2 and says what does."""
    assert measure(words) == 2
    assert message in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """With examples."""
    with pytest.raises(SystemExit):
        measure(['--help'])
    assert 'python -m bench.smoothness --page docs/execution.md' in capsys.readouterr().out
