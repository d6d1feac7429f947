# SPDX-License-Identifier: Apache-2.0
"""A blinded study as real processes: killed in the middle, it goes on, and ends with a report."""

import os
from pathlib import Path
import signal

import pytest

from vla_drop_ros.bringup import ab_trial, find_checkpoint
from vla_drop_ros.cli.main import main
from vla_drop_ros.cli.trials_study import run_study
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import load_study, lock, open_schedule
from vla_drop_ros.trials.log import read_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DESIGN = {
    'title': 'e2e', 'question': 'Does it run?',
    'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': task, 'task': task, 'instruction': 'as the scene says'}
                   for task in ('left_bin', 'right_bin')],
    'margin': 0.2, 'alpha': 0.05, 'stopping': {'rule': 'fixed', 'horizon': 2},
    'minimum_baseline': 0.1, 'timeout': 8.0, 'rest': 0.0,
    'failure_reasons': ['wrong_object', 'missed_grasp'],
    'invalid_reasons': ['scene_was_wrong', 'robot_fault'], 'seed': 11}


@pytest.fixture(name='study')
def _study(tmp_path: Path) -> Path:
    lock(parse_design(DESIGN), tmp_path / 'study',
         lambda name: checkpoint_hash(find_checkpoint(name)), '1.0')
    return tmp_path / 'study'


def trial_node() -> int:
    """Return the process of the trial node that this test has started."""
    mine = os.environ['ROS_DOMAIN_ID'].encode()
    for folder in Path('/proc').iterdir():
        try:
            if b'nodes.trial_node' in (folder / 'cmdline').read_bytes() and (
                    b'ROS_DOMAIN_ID=' + mine) in (folder / 'environ').read_bytes().split(b'\0'):
                return int(folder.name)
        except (OSError, ValueError):
            continue
    raise AssertionError('no trial node')


def test_a_study_is_killed_goes_on_and_is_reported(
        study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A kill -9 in a trial loses no event; every slot is run once; each trial has its bag."""
    log, killed = study / 'log.jsonl', False

    def kill(attempts: list[Attempt]) -> None:
        nonlocal killed
        if not killed and len(attempts) == 2 and attempts[1].started > 0.0:
            killed = True
            os.kill(trial_node(), signal.SIGKILL)

    with private_domain():
        with pytest.raises(NodeDiedError):
            run_study(ab_trial(study=str(study), simulated_operator=True, port=-1), log,
                      lambda attempts: kill(list(attempts)), lambda name, line: None)
        before = read_log(log).events
        assert run_study(ab_trial(study=str(study), simulated_operator=True, port=-1), log,
                         lambda attempts: None, lambda name, line: None) == 0
    events = read_log(log).events
    assert events[:len(before)] == before
    course = Course.of((event.kind, event.data) for event in events)
    counted = [one.index for one in course.attempts if one.counts]
    assert killed and course.finished and counted == [0, 1, 2, 3]
    assert course.attempts[1].end_reason == 'crash' and course.attempts[1].verdict == 'invalid'
    schedule = open_schedule(study, load_study(study))
    for one in course.attempts:
        assert schedule.arm_of(one.token) == schedule.slot(one.index).arm
        if one.counts:
            with Bag(study / one.values['bag']['uri']) as bag:
                topics = {name.lstrip('/') for name, count in bag.counts.items() if count}
            assert {'front_camera/image_raw', 'ee_pose', 'target_pose', 'instruction',
                    'policy_node/action_chunk', 'trial_node/state'} <= topics
    assert main(['trials', 'report', str(study)]) == 0
    assert 'pairs' in capfd.readouterr().out
    assert (study / 'report' / 'report.html').stat().st_size > 10_000
