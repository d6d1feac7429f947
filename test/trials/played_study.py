# SPDX-License-Identifier: Apache-2.0
"""Plays a study through the real conductor into real logs, for tests of what comes after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design, parse_design
from vla_drop_ros.trials.locked_study import load_study, lock, LockedStudy, open_schedule
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.study_log import begin_session, open_log
from vla_drop_ros.trials.unblinding import stopping_rule

HASHES = {'reference': 'a' * 64, 'reference-half': 'b' * 64, 'reference-third': 'c' * 64}


@dataclass(frozen=True)
class Truth:
    """Success of every arm, and how often a trial is invalid, partial or undone."""

    success: Sequence[float] = (0.8, 0.75)
    invalid: float = 0.1
    partial: float = 0.3
    undone: float = 0.1


def locked(folder: Path, data: dict[str, Any]) -> tuple[LockedStudy, SealedSchedule]:
    """Lock a design into a folder and return the study with its schedule."""
    lock(parse_design(data), folder, HASHES.__getitem__, '0.0.0')
    study = load_study(folder)
    return study, open_schedule(folder, study)


def play(path: Path, study: LockedStudy, schedule: SealedSchedule, seed: int,
         rounds: tuple[int, int] = (0, 0), trials: int = 10**6, truth: Truth | None = None,
         robot: str = 'robot') -> Path:
    """Run trials into a log, or go on in it, until a number of trials or the end; return it.

    Args:
        path: log.
        study: locked.
        schedule: opened.
        seed: of the outcomes.
        rounds: first and end, as of the trial node.
        trials: most judgements in this session.
        truth: what happens.
        robot: its name.

    """
    design, rng = study.design, np.random.default_rng(seed)
    truth = truth or Truth()
    log, events = open_log(path, study, robot, rounds, '0.0.0')
    now = 10.0
    with log:
        number = begin_session(log, events, 'P1', robot, {'rate': 20.0})
        conductor = Conductor(design, schedule, log.append,
                              stopping_rule(schedule, design, study.boundaries), *rounds)
        conductor.resume([(event.kind, event.data) for event in events])
        for _ in range(trials):
            if conductor.phase is Phase.FINISHED:
                break
            now = _trial(conductor, schedule, design, truth, rng, now)
            if rng.random() < truth.undone:
                conductor.take(Verb('undo', 'web', 'P1'), now)
                conductor.take(Verb('success', 'web', 'P1'), now)
        log.append('session_end', {'session': number})
    return path


def _trial(conductor: Conductor, schedule: SealedSchedule, design: Design, truth: Truth,
           rng: np.random.Generator, now: float) -> float:
    code = conductor.current.code
    arm = schedule.arm_of(conductor.token())
    rate = truth.success[[one.name for one in design.arms].index(arm)]
    if conductor.phase is Phase.ARRANGE:
        conductor.take(Verb('start', 'web', 'P1'), now)
        now += float(rng.integers(3, 20))
        conductor.take(Verb('stop', 'web', 'P1'), now)
    conductor.measure(code, {
        'latency': {'count': 9, 'mean': 0.1, 'median': 0.09, 'p95': 0.2, 'worst': 0.3},
        'chunks': 9, 'clipped': 0, 'motion': {'path': 1.25, 'duration': 4.0},
        'bag': {'uri': f'bags/{code}', 'sha256': 'd' * 64, 'messages': 99, 'lost': 0,
                'topics': ['/joint_states']}})
    solved = bool(rng.random() < rate)
    conductor.take(Verb('detect', 'detector', value=solved), now)
    word = Verb('success', 'web', 'P1') if solved else Verb(
        'failure', 'web', 'P1', reason=design.failure_reasons[-1], note='fell, "again"')
    if rng.random() < truth.invalid:
        word = Verb('invalid', 'web', 'P1', reason=design.invalid_reasons[-1])
    elif not solved and design.rubric and rng.random() < truth.partial:
        word = Verb('partial', 'web', 'P1', stage=design.rubric[0].id)
    assert conductor.take(replace(word, code=code), now).done
    return now + 5.0
