# SPDX-License-Identifier: Apache-2.0
"""What people add afterwards is in the log, counts where it must, and nothing else slips in."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.amendments import amend, rate, relabel
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import read_log, TrialLog
from vla_drop_ros.trials.merged_log import merge, read_logs
from vla_drop_ros.trials.ratings import Rating
from vla_drop_ros.trials.sealed_schedule import SealedSchedule

Run = tuple[Path, LockedStudy, SealedSchedule]
FIXED = {'stopping': {'rule': 'fixed', 'horizon': 60}}  # locked at once


@pytest.fixture(name='run')
def _run(tmp_path: Path, played: ModuleType, design_data: dict[str, Any]) -> Run:
    """Return a log of eight judged trials, none of them invalid, its study and schedule."""
    study, schedule = played.locked(tmp_path, design_data | FIXED)
    path = played.play(tmp_path / 'log.jsonl', study, schedule, seed=2, trials=8,
                       truth=played.Truth(invalid=0.0, undone=0.0))
    return path, study, schedule


def test_an_amendment_is_in_the_log(run: Run, played: ModuleType) -> None:
    """It is a line of the chain, and the study goes on behind it."""
    path, study, schedule = run
    amend(path, study, ' the gripper pads were replaced ', 'P2')
    event = read_log(path).events[-1]
    assert (event.kind, event.data) == (
        'amendment', {'text': 'the gripper pads were replaced', 'who': 'P2'})
    played.play(path, study, schedule, seed=3, trials=2)
    [log] = read_logs([path], study, schedule).values()
    assert sum(one.judged for one in log.course.attempts) >= 9


@pytest.mark.parametrize(('verdict', 'more', 'progress'), [
    ('success', {}, 1.0), ('failure', {'reason': 'dropped'}, 0.0), ('failure', {}, 0.0),
    ('partial', {'stage': 'reached'}, 0.5)])
def test_a_correction_changes_the_verdict_and_keeps_the_old_one(
        run: Run, verdict: str, more: dict[str, str], progress: float) -> None:
    """The state told from the log has the new verdict, and says what it was before."""
    path, study, schedule = run
    [log] = read_logs([path], study, schedule).values()
    before = log.course.find('3').verdict
    relabel(path, study, '3', verdict, 'seen in the video', 'P2', **more)
    [log] = read_logs([path], study, schedule).values()
    after = log.course.find('3')
    assert (after.verdict, after.progress, after.relabelled) == (verdict, progress, [before])
    assert (after.stage, after.reason) == (more.get('stage', ''), more.get('reason', ''))
    assert log.events[-1].data['why'] == 'seen in the video'
    assert log.events[-1].data['who'] == 'P2'


@pytest.mark.parametrize(('words', 'message'), [
    ({'code': '99'}, "no judged trial '99'; there are 1 to 8"),
    ({'code': '9'}, "no judged trial '9'"),
    ({'verdict': 'won'}, "unknown verdict 'won'; valid: failure, partial, success"),
    ({'verdict': 'invalid', 'reason': 'camera_lost'}, 'cannot be made invalid afterwards'),
    ({'verdict': 'partial'}, 'unknown stage'),
    ({'verdict': 'partial', 'stage': 'grasped'}, 'valid: reached'),
    ({'verdict': 'failure', 'stage': 'reached'}, 'has no stage'),
    ({'verdict': 'success', 'reason': 'dropped'}, 'has no reason'),
    ({'verdict': 'failure', 'reason': 'bad luck'}, 'valid: dropped, missed_grasp'),
    ({'why': '  '}, '--why has 2 characters'), ({'who': ''}, '--who has 0 characters'),
    ({'why': 'x' * 5000}, '--why has 5000 characters')])
def test_words_that_the_design_does_not_know_change_nothing(
        run: Run, words: dict[str, str], message: str) -> None:
    """Every refusal names what is possible, and the log stays as it is, to the byte."""
    path, study, _ = run
    before = path.read_bytes()
    with pytest.raises(TrialError, match=message):
        relabel(path, study, **{'code': '3', 'verdict': 'success', 'why': 'video', 'who': 'P2',
                                **words})
    assert path.read_bytes() == before


@pytest.mark.parametrize('rating', [
    Rating('R2', 'success'), Rating('R2', 'partial', 'reached', ' hand was there '),
    Rating('R2', 'failure', 'reached'), Rating('R2', 'failure')])
def test_a_rating_stands_beside_the_verdict(run: Run, rating: Rating) -> None:
    """It is a line of the chain, merged like any other, and changes no verdict."""
    path, study, schedule = run
    [log] = read_logs([path], study, schedule).values()
    before = log.course.find('3').verdict
    rate(path, study, '3', rating)
    merge([path], path.with_name('all.jsonl'))
    [log] = read_logs([path.with_name('all.jsonl')], study, schedule).values()
    after = log.course.find('3')
    assert after.ratings == [replace(rating, note=rating.note.strip())]
    assert after.verdict == before and not after.relabelled


@pytest.mark.parametrize(('code', 'rating', 'message'), [
    ('3', Rating('P1', 'success'), "'P1' judged trial 3 at the robot"),
    ('9', Rating('R2', 'success'), "no judged trial '9'"),
    ('3', Rating('R2', 'invalid'), 'cannot be made invalid'),
    ('3', Rating('R2', 'partial'), 'unknown stage'),
    ('3', Rating('R2', 'failure', 'flown'), 'valid: reached'),
    ('3', Rating('R2', 'success', 'reached'), 'has no stage'),
    ('3', Rating(' ', 'success'), '--rater has 1 characters')])
def test_a_wrong_rating_changes_nothing(run: Run, code: str, rating: Rating,
                                        message: str) -> None:
    """Every refusal says why, and the log stays as it is, to the byte."""
    path, study, _ = run
    before = path.read_bytes()
    with pytest.raises(TrialError, match=message):
        rate(path, study, code, rating)
    assert path.read_bytes() == before


def test_an_invalid_trial_stays_out(tmp_path: Path, played: ModuleType,
                                    design_data: dict[str, Any]) -> None:
    """Its place was run again: with a verdict of its own it would count twice."""
    study, schedule = played.locked(tmp_path, design_data | FIXED)
    path = played.play(tmp_path / 'log.jsonl', study, schedule, seed=2, trials=1,
                       truth=played.Truth(invalid=1.0, undone=0.0))
    with pytest.raises(TrialError, match='invalid and its place was run again'):
        relabel(path, study, '1', 'success', 'video', 'P2')


def test_nothing_is_written_while_a_node_holds_the_log(run: Run) -> None:
    """The only writer is the trial node while it runs."""
    path, study, _ = run
    before = path.read_bytes()
    with (TrialLog(path, resume=True), pytest.raises(TrialError, match='another process')):
        amend(path, study, 'text', 'P2')
    assert path.read_bytes() == before


def test_logs_that_are_not_there_or_not_its_own(run: Run, tmp_path: Path, played: ModuleType,
                                                design_data: dict[str, Any]) -> None:
    """A missing log is not begun, a merged one not gone on with, another study's not touched."""
    path, study, schedule = run
    with pytest.raises(TrialError, match='does not exist'):
        amend(tmp_path / 'absent.jsonl', study, 'text', 'P2')
    assert not (tmp_path / 'absent.jsonl').exists()
    other = played.play(tmp_path / 'other.jsonl', study, schedule, seed=1, rounds=(4, 6),
                        trials=2, robot='other')
    merge([path, other], tmp_path / 'all.jsonl')
    with pytest.raises(TrialError, match='merged logs of 2 robots'):
        amend(tmp_path / 'all.jsonl', study, 'text', 'P2')
    foreign, _ = played.locked(tmp_path / 'foreign', design_data | FIXED | {'margin': 0.1})
    with pytest.raises(TrialError, match='another study'):
        amend(path, foreign, 'text', 'P2')


def test_a_torn_line_is_repaired_on_the_way(run: Run) -> None:
    """After a crash the amendment stands behind the report of the repair."""
    path, study, _ = run
    with path.open('ab') as file:
        file.write(b'{"sequence": 5')
    amend(path, study, 'text', 'P2')
    assert [event.kind for event in read_log(path).events][-2:] == ['repaired', 'amendment']
