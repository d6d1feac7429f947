# SPDX-License-Identifier: Apache-2.0
"""Links lead to recordings in the study's folder, and never out of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from vla_drop_ros.report.document import Link
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results


@pytest.mark.parametrize(('uri', 'path'), [
    ('bags/3', 'bags/3'), ('../bags/3', None), ('bags/../../x', None), ('', None),
    ('/etc/passwd', None), ('https://x/y', None), ('javascript:x', None)])
def test_only_what_is_inside(tmp_path: Path, uri: str, path: str | None) -> None:
    """Relative paths below the folder pass, nothing else does."""
    found = Recordings(tmp_path, '..', False).inside(uri)
    assert found == (None if path is None else Path(path))


def test_absolute_paths_in_the_folder_become_relative(tmp_path: Path) -> None:
    """A recorder that wrote its whole path is understood."""
    assert Recordings(tmp_path, '..', False).inside(f'{tmp_path.resolve()}/bags/3') == Path(
        'bags/3')


def test_several_robots_are_named(opened: Results) -> None:
    """Trial 17 of one robot is not trial 17 of the other; without a recording it is text."""
    row = opened.rows[0]
    cell = Recordings(opened.record.folder, '..', True).link(row)
    assert isinstance(cell, tuple) and isinstance(cell[0], Link)
    assert cell[0].text == f'arm-1 {row.code} bag' and cell[1].text == 'picture'
    bare = Recordings(opened.record.folder, '..', False).link(replace(row, values={}))
    assert bare == row.code
