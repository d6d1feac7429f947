# SPDX-License-Identifier: Apache-2.0
"""Robots that share a study: own share and whole, the right to stop, and codes of their own."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.trials.conductor import Conductor
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.merged_log import read_logs
from vla_drop_ros.trials.other_robots import OtherRobots
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import state_of
from vla_drop_ros.trials.study_session import StudySession
from vla_drop_ros.trials.unblinding import stopping_rule

FIRST, SECOND = (0, 2), (2, 4)  # rounds of two robots


@pytest.fixture
def shared(tmp_path: Path, played: ModuleType, design_data: dict[str, Any]
           ) -> tuple[LockedStudy, SealedSchedule]:
    """Return a study of four rounds that two robots share."""
    conditions = len(design_data['conditions'])
    design_data['stopping'] = {'rule': 'fixed', 'horizon': 4 * conditions}
    return played.locked(tmp_path / 'study', design_data)


def conductor_of(tmp_path: Path, shared: tuple[LockedStudy, SealedSchedule],
                 rounds: tuple[int, int], robot: str = 'b') -> Conductor:
    """Return the conductor of a robot that sees the logs in the folder of the study."""
    study, schedule = shared
    folder = tmp_path / 'study'
    others = OtherRobots(folder, study, schedule, folder / 'log.jsonl', (robot, *rounds))
    found = Conductor(study.design, schedule, lambda kind, data: None,
                      stopping_rule(schedule, study.design, study.boundaries), *rounds,
                      elsewhere=others.attempts)
    found.begin()
    return found


def told(conductor: Conductor, study: LockedStudy) -> dict[str, Any]:
    """Return what people are shown."""
    session = StudySession(study.design, conductor, lambda: conductor, resets=False)
    return state_of(session, study.design, 1.0)


def test_progress_is_of_the_own_share(tmp_path: Path,
                                      shared: tuple[LockedStudy, SealedSchedule]) -> None:
    """A robot of half of the rounds has half of the pairs and of the time; the rest is unknown."""
    study, _ = shared
    pairs = study.design.stopping.horizon
    half, whole = (told(conductor_of(tmp_path, shared, rounds), study)
                   for rounds in (SECOND, (0, 0)))
    assert (half['pairs_planned'], half['study_pairs_planned']) == (pairs // 2, pairs)
    assert half['study_pairs_done'] is None
    assert half['minutes_left'] == pytest.approx(whole['minutes_left'] / 2, abs=0.1)
    assert (whole['pairs_planned'], whole['study_pairs_done']) == (pairs, 0)


def test_logs_in_the_folder_tell_of_the_whole(
        tmp_path: Path, played: ModuleType, shared: tuple[LockedStudy, SealedSchedule]) -> None:
    """Pairs of the other robot are counted once its log is there, a copy of its own is not."""
    study, schedule = shared
    played.play(tmp_path / 'study' / 'a.jsonl', study, schedule, 1, FIRST, robot='a')
    played.play(tmp_path / 'study' / 'b.jsonl', study, schedule, 2, SECOND, trials=5, robot='b')
    found = told(conductor_of(tmp_path, shared, SECOND), study)
    assert found['study_pairs_done'] == study.design.stopping.horizon // 2
    assert found['pairs_done'] == 0


@pytest.mark.parametrize('present', [True, False])
def test_the_second_robot_may_stop_when_the_whole_study_may(
        tmp_path: Path, played: ModuleType, shared: tuple[LockedStudy, SealedSchedule],
        present: bool) -> None:
    """At the end of all rounds the answer is there, if the first robot's log is; else not."""
    study, schedule = shared
    design = study.design
    folder = tmp_path / 'study' if present else tmp_path
    played.play(folder / 'a.jsonl', study, schedule, 1, FIRST, robot='a')
    conductor = conductor_of(tmp_path, shared, SECOND)
    seen = []
    rng = played.np.random.default_rng(3)
    while not conductor.course.finished:
        played._trial(conductor, schedule, design, played.Truth(), rng, 10.0)
        seen.append(conductor.course.may_stop)
    assert seen[-1] == present and not any(seen[:-1])


def test_a_log_that_is_cut_off_changes_nothing(
        tmp_path: Path, played: ModuleType, shared: tuple[LockedStudy, SealedSchedule]) -> None:
    """While a log is copied, or is damaged, what was known stays known, and it is said why."""
    study, schedule = shared
    path = played.play(tmp_path / 'study' / 'a.jsonl', study, schedule, 1, FIRST, robot='a')
    warned: list[str] = []
    others = OtherRobots(tmp_path / 'study', study, schedule, tmp_path / 'study' / 'log.jsonl',
                         ('b', *SECOND), warned.append)
    known = others.attempts()
    assert known and not others.problem
    path.write_bytes(path.read_bytes().replace(b'"success"', b'"failure"', 1))
    assert others.attempts() is known and others.attempts() is known
    warning, = warned  # once
    assert 'a.jsonl' in warning and others.problem in warning


def test_no_two_robots_name_a_trial_alike(
        tmp_path: Path, played: ModuleType, shared: tuple[LockedStudy, SealedSchedule]) -> None:
    """Codes, and so bags and pictures, of all shares are distinct numbers, in their order."""
    study, schedule = shared
    for robot, rounds in (('a', FIRST), ('b', SECOND)):
        played.play(tmp_path / f'{robot}.jsonl', study, schedule, 4, rounds, robot=robot)
    logs = read_logs([tmp_path / 'a.jsonl', tmp_path / 'b.jsonl'], study, schedule)
    codes = [[int(one.code) for one in log.course.attempts] for log in logs.values()]
    assert all(own == list(range(own[0], own[0] + len(own))) for own in codes)
    assert not set(codes[0]) & set(codes[1])
    assert min(map(min, codes)) == 1 and max(map(max, codes)) < 10**9
