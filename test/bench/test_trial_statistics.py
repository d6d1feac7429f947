# SPDX-License-Identifier: Apache-2.0
"""The tables of the document are those that the benchmark makes."""

from pathlib import Path
import re
import runpy

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = runpy.run_path(str(ROOT / 'bench/trial_statistics.py'))
DOCUMENT = (ROOT / 'docs/statistics.md').read_text(encoding='utf-8')


def numbers(lines: list[str]) -> list[tuple[float, float]]:
    """Return every measured number with the earlier one behind it."""
    cells = [cell for line in lines for cell in line.split('|')]
    found = [re.match(r' ?([\d.]+)[^\[]*\[([\d.]+)\]', cell) for cell in cells]
    return [(float(match[1]), float(match[2])) for match in found if match]


@pytest.mark.parametrize(('margin', 'rows', 'count'), [
    (0.0, 'SUPERIORITY', 38), (0.1, 'NON_INFERIORITY', 26)])
def test_document_holds_the_computed_tables(margin: float, rows: str, count: int) -> None:
    """Error and power of all rules, computed anew, stand in the document word for word."""
    lines = BENCH['error_and_power'](margin, BENCH[rows])
    assert '\n'.join(lines) in DOCUMENT
    found = numbers(lines)
    assert len(found) == count
    assert all(ours == pytest.approx(earlier, abs=0.0035) for ours, earlier in found)


def test_simulations_agree_with_the_exact_walk() -> None:
    """Simulated errors of the document lie within their own uncertainty of the exact ones."""
    row = next(line for line in DOCUMENT.splitlines() if line.startswith('| linear | 0.0'))
    rate, error = map(float, re.findall(r'([\d.]+) ± ([\d.]+)', row)[0])
    exact = next(line for line in DOCUMENT.splitlines() if 'loses 10 points, .11/.21' in line)
    assert rate == pytest.approx(float(exact.split('|')[-3].split()[0]), abs=3.5 * error)


def test_it_writes_between_the_marks_only(tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    """What people wrote before and after the tables stays."""
    document = tmp_path / 'statistics.md'
    document.write_text(f'before\n{BENCH["BEGIN"]}\nold\n{BENCH["END"]}\nafter\n')
    assert BENCH['measure'](['--studies', '40', '--longest', '0', '--document',
                             str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f'before\n{BENCH["BEGIN"]}\n')
    assert text.endswith(f'{BENCH["END"]}\nafter\n')
    assert 'old' not in text.splitlines()
    assert '--studies 40 --seed 1' in text
    assert 'What no rule can mend' in capsys.readouterr().out


def test_a_document_without_marks_is_left_alone(tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """It says so before it computes anything."""
    document = tmp_path / 'other.md'
    document.write_text('nothing here')
    assert BENCH['measure'](['--document', str(document)]) == 1
    assert 'lacks the marks' in capsys.readouterr().err
    assert document.read_text() == 'nothing here'
