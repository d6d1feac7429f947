# SPDX-License-Identifier: Apache-2.0
"""Arms are opened once a study has ended, or early by somebody who says so, and it is logged."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.trials.log import read_log, TrialLog


def test_an_unfinished_study_stays_blind_unless_asked(study: Callable[..., Path]) -> None:
    """Without --unblind the secret is not even read; with it, who and when are in the log."""
    folder = study(trials=9)
    record = read_record(folder)
    assert record.schedule is None and not record.ended
    with pytest.raises(TrialError, match='--unblind'):
        unblind(record, 'P1')
    assert read_log(folder / 'log.jsonl').events[-1].kind == 'session_end'
    opened = unblind(record, 'P1', early=True)
    last = read_log(folder / 'log.jsonl').events[-1]
    assert (last.kind, last.data) == ('unblinded', {'who': 'P1', 'ended': False})
    assert opened.schedule is not None and last.wall in opened.opening


def test_a_second_report_adds_no_event(study: Callable[..., Path]) -> None:
    """Reports may be made again and again; the log grows once."""
    folder = study(trials=9)
    for _ in range(3):
        record = unblind(read_record(folder), 'P1', early=True)
    kinds = [event.kind for event in read_log(folder / 'log.jsonl').events]
    assert kinds.count('unblinded') == 1 and 'since' in record.opening


def test_copies_that_two_people_opened_are_one_record(study: Callable[..., Path]) -> None:
    """Each opening is written into its copy; together they are the study, and both are told."""
    folder = study(trials=9)
    copy = folder / 'copy.jsonl'
    copy.write_bytes((folder / 'log.jsonl').read_bytes())
    unblind(read_record(folder, [copy]), 'P2', early=True)
    unblind(read_record(folder, [folder / 'log.jsonl']), 'P1', early=True)
    record = unblind(read_record(folder), 'P3', early=True)
    assert {event.data['who'] for _, event in record.events('unblinded')} == {'P1', 'P2'}
    assert 'since' in record.opening and len(record.attempts) == 10


def test_a_log_that_a_node_writes_is_left_alone(study: Callable[..., Path]) -> None:
    """While a node could still judge nobody sees the arms; the blinded view works."""
    folder = study(trials=9)
    before = (folder / 'log.jsonl').read_bytes()
    with TrialLog(folder / 'log.jsonl', resume=True), pytest.raises(
            TrialError, match='stop the trial node first'):
        unblind(read_record(folder), 'P1', early=True)
    assert (folder / 'log.jsonl').read_bytes() == before


def test_a_study_goes_on_after_it_was_opened(study: Callable[..., Path], studies: ModuleType
                                             ) -> None:
    """The event of the opening disturbs neither conductor nor chain."""
    folder = study(trials=9)
    locked = unblind(read_record(folder), 'P1', early=True).study
    studies.run(folder, locked, studies.World(), 10**6, False)
    record = read_record(folder)
    assert record.ended == 'all rounds are run'
    assert len(record.events('unblinded')) == 1


def test_several_robots_make_one_study(study: Callable[..., Path], studies: ModuleType) -> None:
    """Logs of rounds apart are one record; it has ended when all of them have."""
    folder = study(trials=0)
    locked = read_record(folder).study
    (folder / 'log.jsonl').unlink()
    studies.run(folder, locked, studies.World(), 10**6, False, 'a.jsonl', 'arm-1', (0, 4))
    studies.run(folder, locked, studies.World(), 3, False, 'b.jsonl', 'arm-2', (4, 8))
    assert len(read_record(folder).logs) == 2 and not read_record(folder).ended
    studies.run(folder, locked, studies.World(), 10**6, False, 'b.jsonl', 'arm-2', (4, 8))
    record = unblind(read_record(folder), 'P1')
    assert {log.opened['robot'] for log in record.logs.values()} == {'arm-1', 'arm-2'}
    assert len(record.attempts) >= 48 and len(record.events('unblinded')) == 2


def test_what_is_missing_or_changed_is_named(study: Callable[..., Path], tmp_path: Path) -> None:
    """No study, no log, no secret, another secret, an edited line: each is told, with the fix."""
    with pytest.raises(TrialError, match='trials plan'):
        read_record(tmp_path)
    folder = study()
    log = folder / 'log.jsonl'
    content = log.read_text()
    log.write_text(content.replace('"verdict": "success"', '"verdict": "failure"', 1))
    with pytest.raises(TrialError, match='edited, removed or moved'):
        read_record(folder)
    log.write_text(content)
    secret = (folder / 'secret').read_text()
    (folder / 'secret').write_text('00' * 32)
    with pytest.raises(TrialError, match='not the secret'):
        unblind(read_record(folder), 'P1')
    (folder / 'secret').unlink()
    with pytest.raises(TrialError, match='bring it'):
        unblind(read_record(folder), 'P1')
    (folder / 'secret').write_text(secret)
    log.unlink()
    with pytest.raises(TrialError, match='nothing was run'):
        read_record(folder)
