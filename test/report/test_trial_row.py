# SPDX-License-Identifier: Apache-2.0
"""Rows say where an attempt belongs, and which of several attempts at a place counts."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from types import ModuleType

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.report.trial_row import complete_rounds_of, rows_of


def test_one_attempt_at_a_place_counts(opened: Results) -> None:
    """Every place of a complete round has one row that counts: its last, which is valid."""
    counted = [row.index for row in opened.rows if row.counted]
    assert counted == list(range(72)) and complete_rounds_of(opened.rows) == 12
    assert sum(row.verdict == 'invalid' for row in opened.rows) == len(opened.rows) - 72 > 0
    assert all(row.attempt > 0 for row in opened.rows
               if row.counted and any(other.index == row.index and not other.valid
                                      for other in opened.rows))


def test_an_incomplete_round_does_not_count(study: Callable[..., Path]) -> None:
    """Eight of twelve trials are one complete round; the two of the next do not count."""
    rows = rows_of(read_record(study(trials=8)))
    assert sum(row.counted for row in rows) == 6 and complete_rounds_of(rows) == 1
    assert complete_rounds_of(()) == 0


def test_numbers_that_are_not_there_are_nan(opened: Results) -> None:
    """A path of keys ends in a number or in nan, never in an exception."""
    row = opened.rows[0]
    assert row.number('latency', 'count') == 40 and row.text('bag', 'uri') == f'bags/{row.code}'
    assert isnan(row.number('bag', 'uri')) and isnan(row.number('latency', 'count', 'more'))
    assert row.text('latency') == '' and isnan(row.number('nothing'))


def test_rows_know_their_session(study: Callable[..., Path], studies: ModuleType) -> None:
    """Trials after a break belong to the second session."""
    folder = study(trials=5)
    studies.run(folder, read_record(folder).study, studies.World(), 4, False)
    rows = rows_of(unblind(read_record(folder), 'P1', early=True))
    assert sorted(row.session for row in rows) == [1] * 5 + [2] * 4
    assert all(row.wall.startswith('20') and row.who == 'ada' for row in rows)
