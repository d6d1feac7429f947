# SPDX-License-Identifier: Apache-2.0
"""Trials are judged again from the command line, by who is told neither arm nor verdict."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.cli import main as cli
from vla_drop_ros.cli.trials_rating import interview, lines_of
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.log import read_log, TrialLog
from vla_drop_ros.trials.merged_log import read_logs
from vla_drop_ros.trials.rating_queue import rating_queue
from vla_drop_ros.trials.ratings import Rating

DATA: dict[str, Any] = {
    'title': 'T', 'question': 'Q?', 'margin': 0.15, 'alpha': 0.05,
    'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': name, 'instruction': f'do {name}', 'setup': f'cube at {name}'}
                   for name in ('a', 'b')],
    'stopping': {'rule': 'fixed', 'horizon': 20}, 'minimum_baseline': 0.2, 'timeout': 30.0,
    'rest': 1.0, 'failure_reasons': ['dropped'], 'invalid_reasons': ['camera_lost'], 'seed': 7,
    'rubric': [{'id': 'reached', 'text': 'Was the hand above it?'},
               {'id': 'grasped', 'text': 'Was it lifted?'}]}


@pytest.fixture(name='study')
def _study(tmp_path: Path, played: ModuleType) -> Path:
    """Return a study of which 20 trials are run."""
    folder = tmp_path / 'study'
    study, schedule = played.locked(folder, DATA)
    played.play(folder / 'log.jsonl', study, schedule, seed=1, trials=20,
                truth=played.Truth(invalid=0.1, undone=0.0))
    return folder


def rate(study: Path, *words: str) -> int:
    """Run ``vla_drop trials rate`` with words."""
    return cli.main(['trials', 'rate', str(study), *words])


def test_one_rating_without_being_asked(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in the log, on disk; what is wrong with another is one line of error."""
    log = study / 'log.jsonl'
    code = next(str(event.data['code']) for event in read_log(log).events
                if event.kind == 'judged' and event.data['verdict'] != 'invalid')
    assert rate(study, '--rater', 'R2', '--code', code, '--verdict', 'failure', '--stage',
                'grasped') == 0
    event = read_log(log).events[-1]
    assert event.kind == 'rated' and event.data == {
        'code': code, 'rater': 'R2', 'verdict': 'failure', 'stage': 'grasped', 'note': ''}
    capsys.readouterr()
    assert rate(study, '--rater', 'P1', '--code', code, '--verdict', 'success') == cli.BAD_INPUT
    assert "somebody else's" in capsys.readouterr().err
    assert rate(study, '--rater', 'R2', '--code', code) == cli.BAD_INPUT
    assert 'belong together' in capsys.readouterr().err
    assert read_log(log).events[-1] == event


def test_without_a_terminal_it_says_which_trials_wait(
        study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With bag and scene, and without arm, verdict, token or speed; who opened them is said."""
    log = study / 'log.jsonl'
    before = log.read_bytes()
    assert rate(study, '--rater', 'R2') == 0
    said = capsys.readouterr().out
    assert '4 trial(s) wait for R2' in said  # a fifth of 17 or 18, rounded up
    assert f'bag: {study}/bags/' in said and 'cube at' in said and '(not here)' in said
    for word in ('success', 'failure', 'baseline', 'half', 'latency', '0.09', 'dropped', 'fell'):
        assert word not in said
    assert log.read_bytes() == before
    with TrialLog(log, resume=True) as writer:
        writer.append('unblinded', {'who': 'P3', 'ended': False})
    assert rate(study, '--rater', 'R2', '--list') == 0
    assert 'the arms were opened by P3' in capsys.readouterr().out


def test_a_person_is_asked_trial_by_trial(study: Path) -> None:
    """Letters judge, digits say how far, wrong ones are asked again; each is kept at once."""
    [log] = read_logs([study / 'log.jsonl']).values()
    design = parse_design(DATA)
    queue = rating_queue(log.course.attempts, design.seed, 'R2')
    typed: Iterator[str] = iter(['x', 's', 'fine', '', 'p', '', '2', '', 'F', '', 'fell', 'q'])
    kept: list[tuple[str, Rating]] = []
    interview(study, design, queue, lambda code, rating: kept.append((code, rating)), 'R2',
              lambda question: next(typed))
    assert kept == [(queue[0].code, Rating('R2', 'success', '', 'fine')),
                    (queue[2].code, Rating('R2', 'partial', 'grasped')),
                    (queue[3].code, Rating('R2', 'failure', '', 'fell'))]
    assert next(typed, None) == 'q'  # the queue was at its end


def test_a_recording_in_parts_or_none_is_said(study: Path) -> None:
    """A recorder began anew, or bags were off: the rater may have a video, or leaves it."""
    [log] = read_logs([study / 'log.jsonl']).values()
    attempt = log.course.attempts[0]
    attempt.values['further_bags'] = [{'uri': 'bags/1-2'}]
    told = lines_of(study, parse_design(DATA), attempt)
    assert [line.rsplit('/', 1)[-1] for line in told if 'bag:' in line] == [
        f'{attempt.code} (not here)', '1-2 (not here)']
    attempt.values = {}
    assert lines_of(study, parse_design(DATA), attempt)[-1].startswith('  no recording')
