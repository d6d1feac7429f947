# SPDX-License-Identifier: Apache-2.0
"""Merge, export, amend and relabel from the command line, on real logs."""

import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.cli import main as cli
from vla_drop_ros.trials.log import read_log, TrialLog

DATA: dict[str, Any] = {
    'title': 'T', 'question': 'Q?', 'margin': 0.15, 'alpha': 0.05,
    'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': name, 'instruction': name} for name in ('a', 'b')],
    'stopping': {'rule': 'fixed', 'horizon': 8}, 'minimum_baseline': 0.2, 'timeout': 30.0,
    'rest': 1.0, 'failure_reasons': ['dropped'], 'invalid_reasons': ['camera_lost'], 'seed': 7}


@pytest.fixture(name='study')
def _study(tmp_path: Path, played: ModuleType) -> Path:
    """Return a study that two robots finished, half of the rounds each."""
    folder = tmp_path / 'study'
    study, schedule = played.locked(folder, DATA)
    for name, seed, rounds in (('log', 1, (0, 2)), ('second', 2, (2, 4))):
        played.play(folder / f'{name}.jsonl', study, schedule, seed=seed, rounds=rounds,
                    robot=name, truth=played.Truth(invalid=0.2, undone=0.0))
    return folder


def run(*words: object) -> int:
    """Run ``vla_drop trials`` with words."""
    return cli.main(['trials', *map(str, words)])


def test_merge_says_what_is_in_the_file(study: Path, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    """The merged file holds both logs, twice makes no difference, and is never overwritten."""
    output, logs = tmp_path / 'all.jsonl', [study / 'log.jsonl', study / 'second.jsonl']
    assert run('merge', *logs, '-o', output) == 0
    said = capsys.readouterr().out
    assert '8 trials that count' in said and '2 log(s)' in said and 'second: ' in said
    assert run('merge', *reversed(logs), output, '-o', output) == 0
    assert run('merge', logs[0], '-o', output) == cli.BAD_INPUT
    assert 'never overwritten' in capsys.readouterr().err
    assert run('merge', tmp_path / 'absent.jsonl', '-o', tmp_path / 'x') == cli.BAD_INPUT
    assert 'absent.jsonl' in capsys.readouterr().err


def test_export_of_a_finished_study(study: Path, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Table and dictionary lie side by side; the opening is logged; a merged file does too."""
    assert run('export', study, '-o', tmp_path / 'trials.csv', '--who', 'P1') == 0
    rows = list(csv.DictReader((tmp_path / 'trials.csv').open()))
    assert sum(row['counted'] == '1' for row in rows) == 16
    assert {row['arm'] for row in rows} == {'baseline', 'half'}
    head = (tmp_path / 'trials.dictionary.csv').read_text().splitlines()[0]
    assert head == 'column,unit,meaning'
    event = read_log(study / 'log.jsonl').events[-1]
    assert event.kind == 'unblinded' and event.data['who'] == 'P1'
    capsys.readouterr()
    run('merge', *study.glob('*.jsonl'), '-o', tmp_path / 'all.jsonl')
    assert run('export', study, '-o', tmp_path / 'again.csv', '--log', tmp_path / 'all.jsonl',
               '--format', 'csv') == 0
    assert (tmp_path / 'again.csv').read_bytes() == (tmp_path / 'trials.csv').read_bytes()


def test_arms_stay_closed_while_the_study_goes_on(tmp_path: Path, played: ModuleType,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """An export names arms, so it needs the end of the study or a word that is logged."""
    folder, output = tmp_path / 'study', tmp_path / 'trials.csv'
    study, schedule = played.locked(folder, DATA)
    log = played.play(folder / 'log.jsonl', study, schedule, seed=1, trials=6)
    before = log.read_bytes()
    assert run('export', folder, '-o', output) == cli.BAD_INPUT
    assert 'has not ended' in capsys.readouterr().err
    assert not output.exists() and log.read_bytes() == before
    assert run('export', folder, '-o', output, '--unblind') == 0
    assert output.exists()
    assert read_log(log).events[-1].data['ended'] is False


def test_export_to_fieldtrial_needs_a_new_folder(study: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is complete and says how to go on; another's files are not mixed in."""
    output = tmp_path / 'fieldtrial'
    assert run('export', study, '--format', 'fieldtrial', '-o', output) == 0
    names = {path.name for path in output.iterdir()}
    assert names >= {'study.yaml', 'trials.csv', 'README.md'}
    assert 'README.md' in capsys.readouterr().out
    before = (study / 'log.jsonl').read_bytes()
    assert run('export', study, '--format', 'fieldtrial', '-o', output) == cli.BAD_INPUT
    assert 'not empty' in capsys.readouterr().err
    assert (study / 'log.jsonl').read_bytes() == before


def test_amend_and_relabel(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are lines of the log, of the other robot's too; bad words are one line of error."""
    log = study / 'log.jsonl'
    code = next(event.data['code'] for event in read_log(log).events
                if event.kind == 'judged' and event.data['verdict'] != 'invalid')
    assert run('amend', study, 'new gripper pads', '--who', 'P1') == 0
    assert run('relabel', study, code, 'failure', '--reason', 'dropped', '--why', 'video',
               '--who', 'P1') == 0
    assert [event.kind for event in read_log(log).events][-2:] == ['amendment', 'relabelled']
    assert run('amend', study, 'text', '--who', 'P1', '--log', study / 'second.jsonl') == 0
    assert read_log(study / 'second.jsonl').events[-1].kind == 'amendment'
    capsys.readouterr()
    assert run('relabel', study, code, 'invalid', '--why', 'x', '--who', 'P1') == cli.BAD_INPUT
    assert capsys.readouterr().err.startswith('error: a trial cannot be made invalid afterwards')
    with TrialLog(log, resume=True):
        assert run('amend', study, 'text', '--who', 'P1') == cli.BAD_INPUT
    assert 'another process' in capsys.readouterr().err


@pytest.mark.parametrize('action', ['merge', 'export', 'amend', 'relabel'])
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each action explains its words."""
    with pytest.raises(SystemExit) as end:
        run(action, '--help')
    assert end.value.code == 0
    assert f'vla_drop trials {action}' in capsys.readouterr().out
