# SPDX-License-Identifier: Apache-2.0
"""The files of numbers hold every trial, and nothing that is blinded."""

import csv
from io import StringIO
import json

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.tables import as_json, blinded_csv, TELLING


def test_the_blinded_table_tells_no_arm(blinded: Results) -> None:
    """One row a judged attempt, without arm, order, guess or measurement."""
    rows = list(csv.DictReader(StringIO(blinded_csv(blinded))))
    assert len(rows) == len(blinded.rows)
    assert not set(rows[0]) & {*TELLING, 'latency_median', 'bag', 'clipped'}
    assert {row['verdict'] for row in rows} <= {'success', 'partial', 'failure', 'invalid'}
    assert sum(row['counted'] == '1' for row in rows) == 72


def test_json_says_what_the_results_say(opened: Results, blinded: Results) -> None:
    """Numbers survive; a blinded file has neither arms nor comparisons."""
    data = json.loads(as_json(opened))
    verdict = opened.comparisons[0].verdict
    told = data['comparisons'][0]['rung']['verdict']
    assert told['verdict'] == verdict.word.value
    assert told['counts']['both'] == verdict.counts.both
    assert [arm['name'] for arm in data['arms']] == ['whole9', 'lean9']
    hidden = as_json(blinded)
    assert 'arms' not in json.loads(hidden) and '"lean9"' not in hidden
