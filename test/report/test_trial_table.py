# SPDX-License-Identifier: Apache-2.0
"""The table says of every trial what the log says, and the dictionary names every column."""

import csv
from dataclasses import replace
import io
from pathlib import Path
import shutil
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.report.study_record import read_record, StudyRecord, unblind
from vla_drop_ros.report.trial_row import rows_of
from vla_drop_ros.report.trial_table import as_csv, COLUMNS, dictionary
from vla_drop_ros.trials.attempts import DETAILS
from vla_drop_ros.trials.log import read_log, TrialLog
from vla_drop_ros.trials.pairs import pairs_of
from vla_drop_ros.trials.unblinding import outcomes_of
from vla_drop_ros.trials.verdict import judge

DATA: dict[str, Any] = {
    'title': 'T', 'question': 'Q?', 'margin': 0.15, 'alpha': 0.05,
    'arms': [{'name': 'base, line', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': name, 'instruction': name, 'task': 'bin'} for name in ('a', 'b')],
    'stopping': {'rule': 'exact_paired', 'horizon': 20}, 'minimum_baseline': 0.2,
    'rubric': [{'id': 'reached', 'text': 'was it?'}], 'timeout': 30.0, 'rest': 1.0,
    'failure_reasons': ['dropped'], 'invalid_reasons': ['camera_lost'], 'seed': 7}


@pytest.fixture(name='record', scope='module')
def _record(tmp_path_factory: pytest.TempPathFactory, played: ModuleType) -> StudyRecord:
    folder = tmp_path_factory.mktemp('study')
    study, schedule = played.locked(folder, DATA)
    played.play(folder / 'log.jsonl', study, schedule, seed=5)
    return unblind(read_record(folder), 'P1')


def read(text: str) -> list[dict[str, str]]:
    """Return the rows of a table."""
    return list(csv.DictReader(io.StringIO(text)))


def test_every_judged_trial_is_a_row(record: StudyRecord) -> None:
    """Verdicts, arms, times and measurements are those of the log; commas and quotes survive."""
    rows = read(as_csv(record, rows_of(record)))
    attempts = {one.code: one for one in record.attempts if one.judged}
    assert record.schedule is not None
    assert len(rows) == len(attempts) > 40
    for row in rows:
        one = attempts[row['code']]
        slot = record.schedule.slot(one.index)
        assert row['verdict'] == one.verdict and row['note'] == one.note
        assert (row['arm'], row['condition'], int(row['pair'])) == (
            slot.arm, slot.condition, slot.pair)
        assert row['success'] == ('' if one.verdict == 'invalid' else str(int(one.success)))
        assert float(row['seconds']) == one.duration
        assert float(row['latency_median']) == 0.09 and row['bag'] == f'bags/{one.code}'
        assert row['checkpoint'] == {'base, line': 'a' * 64, 'half': 'b' * 64}[slot.arm]
        assert row['picture_match'] == ''
    assert {row['reason'] for row in rows} == {'', 'dropped', 'camera_lost'}
    assert any(row['undone'] for row in rows)


def test_the_pair_table_can_be_counted_from_it(record: StudyRecord) -> None:
    """Whoever counts the rows that count gets the numbers on which the verdict rests."""
    rows = [row for row in read(as_csv(record, rows_of(record))) if row['counted'] == '1']
    blocks: dict[str, dict[str, bool]] = {}
    for row in rows:
        blocks.setdefault(row['pair'], {})[row['arm']] = row['success'] == '1'
    found = sorted((block['half'], block['base, line']) for block in blocks.values())
    design = record.study.design
    assert record.schedule is not None
    outcomes = outcomes_of(record.attempts, record.schedule, design)
    counts = judge(pairs_of(outcomes, 'base, line', 'half'), design,
                   record.study.boundaries).counts
    assert len(found) == counts.pairs == 20
    assert found.count((True, False)) == counts.candidate_only
    assert found.count((False, True)) == counts.baseline_only


def test_the_dictionary_names_every_column(record: StudyRecord) -> None:
    """No column without a meaning, none twice, none too many, and in the same order."""
    head = as_csv(record, []).splitlines()[0].split(',')
    entries = read(dictionary())
    assert [entry['column'] for entry in entries] == head
    assert len(set(head)) == len(head) == len(COLUMNS) + 2
    assert all(entry['meaning'] for entry in entries)


def test_the_table_does_not_depend_on_the_order_of_logs(record: StudyRecord,
                                                        tmp_path: Path) -> None:
    """The same log from a copy gives the same bytes."""
    copy = tmp_path / 'copy.jsonl'
    copy.write_bytes((record.folder / 'log.jsonl').read_bytes())
    again = unblind(read_record(record.folder, [copy, record.folder / 'log.jsonl']), 'P1')
    assert as_csv(again, rows_of(again)) == as_csv(record, rows_of(record))


def test_a_log_of_an_older_version_is_read(record: StudyRecord, tmp_path: Path) -> None:
    """Without the uuid of trials and what detectors rest on: the same rows, with empty cells."""
    folder = tmp_path / 'study'
    shutil.copytree(record.folder, folder)
    events = read_log(folder / 'log.jsonl').events
    (folder / 'log.jsonl').unlink()
    with TrialLog(folder / 'log.jsonl') as log:
        for event in events:
            log.append(event.kind, {key: value for key, value in event.data.items()
                                    if key not in ('uuid', *DETAILS)})
    old, new = rows_of(unblind(read_record(folder), 'P1')), rows_of(record)
    assert all(row.uuid == '' for row in old) and all(len(row.uuid) == 32 for row in new)
    assert [replace(row, wall='') for row in old] == [
        replace(row, uuid='', wall='') for row in new]
    assert {row['uuid'] for row in read(as_csv(record, old))} == {''}
