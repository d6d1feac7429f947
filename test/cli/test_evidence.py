# SPDX-License-Identifier: Apache-2.0
"""The verb evidence: its quick form goes the whole way, and goes on where it was."""

import json
from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.evidence.report import BEGIN

pytest.importorskip('mujoco')


@pytest.mark.slow
def test_the_quick_form_goes_all_the_way(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data, ranking, rows, recoveries, episodes and tables; the second time nothing is left."""
    command = ['evidence', 'run', '--quick', '--work', str(tmp_path / 'work'), '--output',
               str(tmp_path / 'out')]
    assert main(command) == 0
    assert '5 units done' in capsys.readouterr().out
    text = (tmp_path / 'out' / 'evidence.md').read_text()
    assert text.startswith(BEGIN) and '**language half, odd dropped**' in text
    rows = json.loads((tmp_path / 'out/evidence/rows.json').read_text())
    assert {'modules', 'criteria', 'composition'} <= {row['section'] for row in rows}
    before = (tmp_path / 'out/evidence/units.jsonl').read_bytes()
    assert main(command) == 0 and '0 units done' in capsys.readouterr().out
    assert (tmp_path / 'out/evidence/units.jsonl').read_bytes() == before


@pytest.mark.parametrize(('more', 'message'), [
    (['--sections', 'moduls'], "unknown section 'moduls'; valid: "),
    (['--workers', '0'], '--workers 0: at least 1'),
])
def test_bad_input_exits_with_2(
        more: list[str], message: str, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    assert main(['evidence', 'run', '--work', str(tmp_path / 'work'), '--output',
                 str(tmp_path / 'out'), *more]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
