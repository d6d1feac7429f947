# SPDX-License-Identifier: Apache-2.0
"""Every judged trial has its line, with what was said of it."""

from vla_drop_ros.report.document import Table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.trials_section import trials_section


def test_every_trial_is_there(opened: Results, blinded: Results) -> None:
    """Opened with arm and place, blinded without; unsure, incidents and ratings are told."""
    for results, more in ((opened, True), (blinded, False)):
        section = trials_section(results, Recordings(results.record.folder, '..', False))
        table = section.blocks[0]
        assert isinstance(table, Table)
        assert len(table.rows) == len(results.rows)
        assert ('arm' in table.head) == more
        at = {name: place for place, name in enumerate(table.head)}
        for cells, row in zip(table.rows, results.rows, strict=True):
            assert ('unsure' in str(cells[at['verdict']])) == (not row.sure)
            assert str(cells[at['incidents']]).count(',') == max(0, len(row.incidents) - 1)
            assert all(f'{one.rater}: {one.verdict}' in str(cells[at['changes']])
                       for one in row.ratings)
