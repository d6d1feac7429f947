# SPDX-License-Identifier: Apache-2.0
"""The tables say what the results file holds, and leave the rest of the document alone."""

import json
from pathlib import Path

import pytest

from vla_drop_ros.evidence.report import BEGIN, END, Tables, write
from vla_drop_ros.evidence.results import Results
from vla_drop_ros.evidence.rows import Row


def written(rows: list[Row], results: Results, before: str = '') -> str:
    """Return the document after a report."""
    output = results.path.parent.parent
    (results.path.parent / 'rows.json').write_text(json.dumps([row.to_dict() for row in rows]))
    if before:
        (output / 'evidence.md').write_text(before)
    return write(output).read_text()


def test_numbers_are_those_of_the_file(rows: list[Row], results: Results) -> None:
    """Success, zero-shot, seeds, sizes and speed of the pruned row."""
    text = written(rows, results)
    runs = Tables(rows, results).runs(rows[2])
    line = next(line for line in text.splitlines() if line.startswith('| **language half**'))
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    mean = 100 * sum(one.success.mean() for one in runs) / 3
    assert cells[1] == '3 x 120' and cells[3].startswith(f'{mean:.1f} [')
    assert cells[4] == ' '.join(f'{100 * one.success.mean():.1f}' for one in runs)
    assert cells[8:11] == ['80%', '80%', '1.50x'] and cells[12] == '1.30x'
    assert cells[5].startswith('-') and '1 x 120' in text


def test_what_is_not_done_is_not_told(rows: list[Row], results: Results) -> None:
    """A row without outcomes has no line; the head says how many are missing."""
    more = [*rows, Row('modules', 'never run', rows[2].plan, 'short')]
    text = written(more, results)
    assert 'never run' not in text and '3 of 4 rows have outcomes' in text


def test_the_rest_of_the_document_stays(rows: list[Row], results: Results) -> None:
    """Only what is between the marks changes, however often it is written."""
    text = written(rows, results, f'# Title\n\nwords\n\n{BEGIN}\nold\n{END}\n\nmore words\n')
    assert text.startswith('# Title\n\nwords\n') and text.endswith('\nmore words\n')
    assert 'old' not in text and written(rows, results) == text


def test_pictures_are_drawn(rows: list[Row], results: Results) -> None:
    """Both PNGs exist and are pictures."""
    written(rows, results)
    for name in ('recovery.png', 'proxies.png'):
        assert (results.path.parent / name).read_bytes().startswith(b'\x89PNG')


def test_differences_pair_seeds(rows: list[Row], results: Results) -> None:
    """To a baseline of as many seeds they are paired; both differences are negative here."""
    tables = Tables(rows, results)
    shipped, trained = (tables.compared(rows[2], base) for base in rows[:2])
    assert shipped is not None and trained is not None
    assert shipped.high < 0 and trained.high < 0
    assert tables.compared(rows[1], rows[1]) is None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / 'evidence').mkdir(exist_ok=True)
