# SPDX-License-Identifier: Apache-2.0
"""fieldtrial reads what is exported, and its statistics agree with ours."""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.fieldtrial_study import fieldtrial_files, identifiers
from vla_drop_ros.report.study_record import read_record, StudyRecord, unblind
from vla_drop_ros.report.trial_row import rows_of
from vla_drop_ros.trials.pairs import pairs_of
from vla_drop_ros.trials.statistics import paired_difference, tango_z, wilson
from vla_drop_ros.trials.unblinding import outcomes_of
from vla_drop_ros.trials.verdict import judge

needs_fieldtrial = pytest.mark.skipif(
    find_spec('fieldtrial') is None,
    reason='fieldtrial is not installed (Python 3.11 or newer: pip install fieldtrial==0.3.0)')

DATA: dict[str, Any] = {
    'title': 'Half: a "test"', 'question': 'Q?', 'margin': 0.15, 'alpha': 0.05,
    'arms': [{'name': 'base line', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': name, 'instruction': name} for name in ('a, b', 'a; b', '3')],
    'stopping': {'rule': 'fixed', 'horizon': 36}, 'minimum_baseline': 0.2,
    'rubric': [{'id': 'reached', 'text': 'was it?'}, {'id': 'success', 'text': 'lifted?'}],
    'timeout': 30.0, 'rest': 1.0, 'failure_reasons': ['missed', 'dropped'],
    'invalid_reasons': ['camera_lost'], 'seed': 7}
THREE = {'arms': [*DATA['arms'], {'name': 'third', 'checkpoint': 'reference-third'}],
         'several': 'holm'}


def run(folder: Path, played: ModuleType, changes: dict[str, Any], trials: int,
        **truth: Any) -> StudyRecord:
    """Play a study into a folder and return it unblinded."""
    study, schedule = played.locked(folder, {**DATA, **changes})
    played.play(folder / 'log.jsonl', study, schedule, seed=3, trials=trials,
                truth=played.Truth(**truth))
    return unblind(read_record(folder), 'P1', early=True)


def imported(record: StudyRecord, folder: Path) -> Any:
    """Write the files, have fieldtrial lock and import them, and return its analysis."""
    from fieldtrial.services.analysis import analyze_study
    from fieldtrial.services.study import lock_study
    from fieldtrial.services.transfer import import_trials
    folder.mkdir()
    files = fieldtrial_files(record.study.design, rows_of(record))
    for name, text in files.items():
        (folder / name).write_text(text, encoding='utf-8')
    lock_study(folder)
    lines = files['README.md'].splitlines()
    tables = [line.split()[-1] for line in lines if line.startswith('fieldtrial import . ')]
    assert sorted(tables) == sorted(name for name in files if name.endswith('.csv'))
    for table in tables:
        import_trials(folder, folder / table)
    return analyze_study(folder)


def counts_of(record: StudyRecord, candidate: str) -> tuple[int, int, int]:
    """Return our b, c, n."""
    design = record.study.design
    assert record.schedule is not None
    outcomes = outcomes_of(record.attempts, record.schedule, design)
    counts = judge(pairs_of(outcomes, 'base line', candidate), design).counts
    return counts.candidate_only, counts.baseline_only, counts.pairs


@needs_fieldtrial
@pytest.mark.parametrize('rule', ['fixed', 'exact_paired', 'anytime'])
def test_its_reader_takes_it_and_its_numbers_are_ours(
        tmp_path: Path, played: ModuleType, rule: str) -> None:
    """Pairs, rates, differences and Tango's interval come out alike on both sides."""
    horizon = {} if rule == 'anytime' else {'horizon': 36}
    record = run(tmp_path / 'study', played, {'stopping': {'rule': rule, **horizon}}, 80,
                 success=(0.8, 0.6), invalid=0.1)
    results = imported(record, tmp_path / 'fieldtrial')
    b, c, n = counts_of(record, 'half')
    primary = results.primary
    assert (primary.treatment, primary.control, primary.n_used) == ('half', 'base-line', n)
    assert primary.estimate == pytest.approx((b - c) / n)
    readme = (tmp_path / 'fieldtrial' / 'README.md').read_text()
    assert f'{100 * primary.ci.level:.4g} %;' in readme
    assert primary.blocks_excluded == 0
    if rule != 'anytime':  # whose interval is a confidence sequence of its own
        ours = paired_difference(b, c, n, confidence=primary.ci.level)
        assert (primary.ci.low, primary.ci.high) == pytest.approx((ours.low, ours.high), abs=1e-6)
    rows = [row for row in rows_of(record) if row.counted]
    for arm, name in (('base line', 'base-line'), ('half', 'half')):
        theirs = next(one for one in results.arms if one.arm == name)
        won = sum(row.success for row in rows if row.arm == arm)
        ours = wilson(won, n)
        assert (theirs.successes, theirs.completed) == (won, n)
        assert (theirs.ci.low, theirs.ci.high) == pytest.approx((ours.low, ours.high))
    left_out = sum(not row.valid and row.round < n // 3 for row in rows_of(record))
    assert sum(one.invalid for one in results.arms) == left_out > 0
    funnel = {one.arm: one for one in results.stages}
    assert set(funnel) == {'base-line', 'half'}


@needs_fieldtrial
def test_several_arms(tmp_path: Path, played: ModuleType) -> None:
    """With two pruned arms every pair of arms has our counts."""
    record = run(tmp_path / 'study', played, THREE, 10**6, success=(0.9, 0.85, 0.3), invalid=0.15)
    results = imported(record, tmp_path / 'fieldtrial')
    found = {(one.treatment, one.control): one for one in results.primary.pairwise}
    for arm in ('half', 'third'):
        one = found[arm, 'base-line']
        assert (one.b, one.c, one.n_pairs) == counts_of(record, arm)
        assert one.n_pairs == 36


@needs_fieldtrial
@pytest.mark.parametrize(('b', 'c', 'n'), [(3, 5, 40), (0, 0, 20), (12, 1, 60), (0, 7, 7),
                                           (10, 10, 200), (1, 0, 5)])
def test_its_tango_is_ours(b: int, c: int, n: int) -> None:
    """Two programs, written apart, give one interval, and one score at its ends."""
    from fieldtrial.stats import tango_interval
    for level in (0.9, 0.95):
        low, high = tango_interval(b, c, n, level=level)
        ours = paired_difference(b, c, n, confidence=level)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-6)
        if low > -1.0 and c + b < n:
            z = {0.9: 1.644854, 0.95: 1.959964}[level]
            assert tango_z(b, c, n, -low) == pytest.approx(z, abs=1e-4)


def test_only_complete_rounds_are_in_it(tmp_path: Path, played: ModuleType) -> None:
    """What the verdict does not rest on is not handed over, and the README counts it."""
    record = run(tmp_path, played, {}, 25, invalid=0.0, undone=0.0)
    files = fieldtrial_files(record.study.design, rows_of(record))
    assert set(files) == {'study.yaml', 'trials.csv', 'README.md'}
    assert len(files['trials.csv'].splitlines()) == 1 + 24
    assert '1 trials of other rounds' in files['README.md']
    spec = yaml.safe_load(files['study.yaml'])
    assert spec['conditions']['factors']['round']['values'] == [0, 1, 2, 3]


def test_without_a_complete_round_there_is_nothing_to_compare(
        tmp_path: Path, played: ModuleType) -> None:
    """It says so."""
    record = run(tmp_path, played, {}, 3)
    with pytest.raises(TrialError, match='no round is complete'):
        fieldtrial_files(record.study.design, rows_of(record))


def test_names_become_identifiers_and_stay_apart() -> None:
    """Whatever people call things; at most 64 characters."""
    found = identifiers(['a, b', 'a; b', 'ä', '_x', 'y' * 99, 'y' * 98, 'fine-1.0'])
    assert len(set(found.values())) == 7
    assert found['fine-1.0'] == 'fine-1.0' and found['_x'] == 'x-2'
    assert all(0 < len(name) <= 64 and name[0].isalnum() and name.isascii()
               for name in found.values())
