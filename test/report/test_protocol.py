# SPDX-License-Identifier: Apache-2.0
"""What people, machines and attackers did to a study is counted from the log."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from vla_drop_ros.report.protocol import protocol_of
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.sentences import deviations
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.report.trial_row import rows_of
from vla_drop_ros.trials.log import TrialLog


def test_everything_out_of_the_ordinary_is_told(study: Callable[..., Path]) -> None:
    """Amendments, corrections, refusals, hostile requests and early openings are all there."""
    folder = study()
    with TrialLog(folder / 'log.jsonl', resume=True) as log:
        log.append('amendment', {'text': 'new gripper pads', 'who': 'P1'})
        log.append('refused', {'verb': 'start', 'why': 'not now', 'source': 'web', 'who': ''})
        log.append('refused', {'verb': 'start', 'why': 'not now', 'source': 'joy', 'who': ''})
        log.append('hostile', {'what': 'wrong origin', 'address': '10.0.0.7'})
        log.append('unblinded', {'who': 'P3', 'ended': False})
        log.append('relabelled', {
            'code': '2', 'verdict': 'failure', 'stage': '', 'reason': 'dropped', 'progress': 0.0,
            'who': 'P1', 'why': 'seen in the film'})
        log.append('something_new', {'of': 'a later version'})
        log.append('detected', {'code': '2', 'source': 'lid', 'success': True})
        log.append('detected', {'code': '2', 'source': 'lid', 'success': False, 'revision': True})
    results = results_of(unblind(read_record(folder), 'P2'))
    protocol, said = results.protocol, '\n'.join(deviations(results))
    assert protocol.refused == {'start: not now': 2} and protocol.hostile == {'wrong origin': 1}
    assert [one['code'] for one in protocol.relabelled] == ['2']
    for words in ('new gripper pads', '1 hostile request', 'by P3', 'seen in the film',
                  '1 detection changed'):
        assert words in said
    assert next(row for row in results.rows if row.code == '2').relabelled


def test_trials_without_a_whole_bag_are_counted(study: Callable[..., Path]) -> None:
    """Missing, torn, or with lost messages; in a study that records nothing there are none."""
    folder = study(trials=6)
    whole = {'uri': 'bags/1', 'sha256': 'a' * 64, 'lost': 0, 'problem': ''}
    bags = [whole, {**whole, 'lost': 3}, {**whole, 'problem': 'the disk is full'},
            {**whole, 'uri': '', 'problem': 'not recorded'}]
    with TrialLog(folder / 'log.jsonl', resume=True) as log:
        for number in range(1, 7):
            log.append('measured', {'code': str(number), 'values': {'bag': None}})
        assert results_of(read_record(folder)).protocol.lost == 0
        for number, bag in enumerate(bags, start=1):
            log.append('measured', {'code': str(number), 'values': {'bag': bag}})
    results = results_of(unblind(read_record(folder), 'P1', early=True))
    assert results.protocol.lost == 5
    assert '5 trials without a whole recording' in deviations(results)


def test_a_clean_study_has_no_deviation(study: Callable[..., Path], studies: ModuleType) -> None:
    """Nothing is invented where all went as locked."""
    folder = study(world=studies.World())
    results = results_of(unblind(read_record(folder), 'P1'))
    assert deviations(results) == []


def test_people_who_know_the_arm_are_found_out(study: Callable[..., Path], studies: ModuleType
                                               ) -> None:
    """Guesses that are always right give an index of 1 for both arms, and a deviation."""
    folder = study(world=studies.World(guesses=1.0, knowing=1.0))
    results = results_of(unblind(read_record(folder), 'P1'))
    assert [one.index.estimate for one in results.protocol.guesses] == [1.0, 1.0]
    assert any('guesses' in line for line in deviations(results))


def test_arms_that_lose_different_shares_are_found_out(study: Callable[..., Path],
                                                       studies: ModuleType) -> None:
    """Half of one arm's trials left out, none of the other's: Fisher's test says so."""
    folder = study(world=studies.World(invalid={'half': 0.6}))
    results = results_of(unblind(read_record(folder), 'P1'))
    comparison, = results.comparisons
    assert comparison.invalid.p_value < 0.001 and comparison.invalid.baseline[0] == 0
    assert any('different shares' in line for line in deviations(results))


def test_a_source_that_judges_is_not_compared_with_itself(opened: Results) -> None:
    """Verdicts that the detector gave itself would agree with it for nothing."""
    from dataclasses import replace
    rows = [replace(row, source='detector') for row in rows_of(opened.record)]
    assert protocol_of(opened.record, rows, []).judges == ()


def test_sessions_hold_all_valid_trials(opened: Results) -> None:
    """Trials and successes of the sessions add up."""
    sessions = opened.protocol.sessions
    valid = [row for row in opened.rows if row.valid]
    assert sum(one.trials for one in sessions) == len(valid)
    assert sum(one.successes for one in sessions) == sum(row.success for row in valid)


def test_second_raters_and_doubts_are_counted(opened: Results, blinded: Results) -> None:
    """By arm once opened, all arms together before; unsure trials stand apart."""
    everyone, *arms = opened.protocol.raters
    assert [one.arm for one in opened.protocol.raters] == ['all arms', 'whole9', 'lean9']
    assert [one.arm for one in blinded.protocol.raters] == ['all arms']
    drawn = [one.found.drawn.both + one.found.drawn.first_only + one.found.drawn.second_only
             + one.found.drawn.neither for one in (everyone, *arms)]
    rated = [row for row in opened.rows if row.ratings and row.valid]
    assert drawn[0] == sum(drawn[1:]) == sum(row.sure for row in rated) > 0
    protocol = opened.protocol
    assert protocol.unsure == sum(protocol.unsure_by_arm.values()) > 0
    assert not blinded.protocol.unsure_by_arm and blinded.protocol.unsure == protocol.unsure
    assert blinded.protocol.incidents == protocol.incidents
