# SPDX-License-Identifier: Apache-2.0
"""A report is a folder of files that belong together."""

import csv
import json
from pathlib import Path
import re

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.report_folder import write_report
from vla_drop_ros.report.results import Results


def test_everything_is_written(opened: Results, tmp_path: Path) -> None:
    """Page, Markdown with its figures, JSON, and a CSV with the arms."""
    page = write_report(opened, tmp_path / 'out')
    names = {path.name for path in page.parent.iterdir()}
    assert names == {'report.html', 'report.md', 'results.json', 'trials.csv',
                     'trials.dictionary.csv', 'figures'}
    shown = re.findall(r'\]\((figures/[^)]+)\)', (page.parent / 'report.md').read_text())
    assert {Path(name).suffix for name in shown} == {'.svg', '.jpg'}
    assert sorted(path.name for path in (page.parent / 'figures').iterdir()) == sorted(
        {Path(name).name for name in shown})
    with (page.parent / 'trials.csv').open() as file:
        assert {row['arm'] for row in csv.DictReader(file)} == {'whole9', 'lean9'}


def test_links_lead_home_from_anywhere(opened: Results, tmp_path: Path) -> None:
    """Recordings are found from a report that was written elsewhere, too."""
    for target in (tmp_path / 'a' / 'b', None):
        page = write_report(opened, target)
        links = re.findall(r'href="([^"#]+)"', page.read_text())
        found = {(page.parent / link).resolve() for link in links}
        assert found == {(opened.record.folder / row.text(kind, 'uri')).resolve()
                         for row in opened.rows for kind in ('bag', 'picture')}


def test_a_blinded_report_leaves_nothing_of_an_open_one(opened: Results, blinded: Results,
                                                        tmp_path: Path) -> None:
    """Whoever reports again, blinded, into the same folder finds no arm in it."""
    write_report(opened, tmp_path)
    write_report(blinded, tmp_path)
    assert json.loads((tmp_path / 'results.json').read_text())['blinded']
    for path in tmp_path.rglob('*'):
        assert path.is_dir() or 'lean9' not in path.read_text(), path
    assert {path.name for path in (tmp_path / 'figures').iterdir()} <= {'drift.svg'}


def test_a_folder_that_cannot_be_written_is_named(opened: Results, tmp_path: Path) -> None:
    """The error says which and what to do."""
    (tmp_path / 'file').write_text('')
    with pytest.raises(TrialError, match='--output'):
        write_report(opened, tmp_path / 'file')
