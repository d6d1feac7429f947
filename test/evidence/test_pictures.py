# SPDX-License-Identifier: Apache-2.0
"""Pictures show the rows that have outcomes, and can be drawn from few."""

from pathlib import Path

from vla_drop_ros.evidence.pictures import draw_proxies, draw_success
from vla_drop_ros.evidence.report import Tables
from vla_drop_ros.evidence.results import Results
from vla_drop_ros.evidence.rows import Row


def test_pictures_are_drawn(rows: list[Row], results: Results, tmp_path: Path) -> None:
    """With outcomes and without any."""
    for number, tables in enumerate((Tables(rows, results),
                                     Tables(rows, Results(tmp_path / 'none.jsonl')))):
        for draw in (draw_success, draw_proxies):
            path = tmp_path / f'{draw.__name__}{number}.png'
            draw(path, tables)
            assert path.read_bytes().startswith(b'\x89PNG')
