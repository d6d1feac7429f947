# SPDX-License-Identifier: Apache-2.0
"""The picture of drift shows the moving share of successes, without arms."""

from dataclasses import replace
import xml.etree.ElementTree as ElementTree

from vla_drop_ros.report.drift_figure import drift_figure, LEAST
from vla_drop_ros.report.results import Results


def test_a_robot_that_breaks_is_seen(opened: Results) -> None:
    """All solved, then none: the words say where it begins and where it ends."""
    valid = sorted((row for row in opened.rows if row.valid), key=lambda row: row.index)
    rows = [replace(row, verdict='success' if place < len(valid) / 2 else 'failure',
                    wall=f'{place:05}', session=1 + (place > 30))
            for place, row in enumerate(valid)]
    picture = drift_figure(rows)
    assert picture is not None
    assert 'first 100 %, last 0 %' in picture.words
    assert 'whole9' not in picture.svg and 'lean9' not in picture.svg
    ElementTree.fromstring(picture.svg)


def test_few_trials_have_no_picture(opened: Results) -> None:
    """Fewer than eight valid trials show nothing."""
    valid = [row for row in opened.rows if row.valid]
    assert drift_figure(valid[:LEAST - 1]) is None
    assert drift_figure(valid[:LEAST]) is not None
