# SPDX-License-Identifier: Apache-2.0
"""Studies of several checkpoints end by their rule; what dies in a trial costs no arm a trial."""

from collections.abc import Callable
import json
import os
from pathlib import Path
import signal
from typing import Any

import pytest

from vla_drop_ros.bringup import ab_trial, find_checkpoint
from vla_drop_ros.cli.main import main
from vla_drop_ros.cli.trials_study import run_study
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import lock
from vla_drop_ros.trials.log import read_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DESIGN = {
    'title': 'e2e', 'question': 'Does it run?',
    'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': 'left', 'task': 'left_bin', 'instruction': 'as the scene says'}],
    'margin': 0.2, 'alpha': 0.05, 'stopping': {'rule': 'fixed', 'horizon': 2},
    'minimum_baseline': 0.1, 'timeout': 3.0, 'rest': 0.0,
    'failure_reasons': ['wrong_object', 'missed_grasp'],
    'invalid_reasons': ['scene_was_wrong', 'robot_fault'], 'seed': 11}


def locked(folder: Path, **changes: Any) -> Path:
    """Lock a study into a folder and return the folder."""
    lock(parse_design({**DESIGN, **changes}), folder,
         lambda name: checkpoint_hash(find_checkpoint(name)), '1.0')
    return folder


def attempts_of(study: Path) -> list[Attempt]:
    """Return what the log of a study says."""
    return Course.of((event.kind, event.data) for event in
                     read_log(study / 'log.jsonl').events).attempts


def process_of(node: str) -> int:
    """Return the process of a node that this test has started."""
    mine = b'ROS_DOMAIN_ID=' + os.environ['ROS_DOMAIN_ID'].encode()
    for folder in Path('/proc').iterdir():
        try:
            if f'nodes.{node}'.encode() in (folder / 'cmdline').read_bytes() and mine in (
                    folder / 'environ').read_bytes().split(b'\0'):
                return int(folder.name)
        except (OSError, ValueError):
            continue
    raise AssertionError(f'no {node}')


def test_three_pruned_checkpoints_until_the_rule_ends_it(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By Holm at a third of the error: two rounds without a difference, not one, are enough."""
    assert main(['drop', 'reference', '--language', '5', '-o', str(tmp_path / 'lean')]) == 0
    study = locked(tmp_path / 'study', margin=0.9, alpha=0.4, minimum_baseline=0.0, timeout=1.0,
                   stopping={'rule': 'anytime'}, several='holm', arms=[
                       {'name': 'baseline', 'checkpoint': 'reference'},
                       {'name': 'lean', 'checkpoint': str(tmp_path / 'lean')},
                       {'name': 'half', 'checkpoint': 'reference-half'},
                       {'name': 'two', 'checkpoint': 'reference-two'}])
    assert main(['trials', 'run', str(study), '--no-bags']) == 0
    attempts = attempts_of(study)
    assert [one.index for one in attempts if one.counts] == list(range(8))
    assert main(['trials', 'report', str(study)]) == 0
    results = json.loads((study / 'report' / 'results.json').read_text(encoding='utf-8'))
    assert (results['ended'], results['method'], results['furthest']) == (
        'as the rule allows', 'holm', 'two')
    assert results['protocol']['looks'] == [True, True]
    assert 'NON-INFERIOR' in capfd.readouterr().out


def killer(node: str, code: str, needed: Path) -> Callable[[list[Attempt]], None]:
    """Return what kills a node once, while a trial runs, when a folder is there."""
    killed = False

    def watch(attempts: list[Attempt]) -> None:
        nonlocal killed
        runs = any(one.code == code and one.started > 0.0 and not one.end_reason
                   for one in attempts)
        if runs and needed.is_dir() and not killed:
            killed = True
            os.kill(process_of(node), signal.SIGKILL)

    return watch


def test_a_dead_recorder_ends_nothing_and_a_dead_policy_costs_no_arm(tmp_path: Path) -> None:
    """The recorder is started again; the trial of the policy is left out and run again."""
    study, said = locked(tmp_path / 'study'), list[str]()
    recorder = killer('bag_recorder', '1', study / 'bags' / '1')
    policy = killer('policy_node', '3', study)

    def watch(attempts: Any) -> None:
        recorder(list(attempts))
        policy(list(attempts))

    with private_domain():
        for ends in (False, True):
            graph = ab_trial(study=str(study), simulated_operator=True, port=-1)
            try:
                assert run_study(graph, study / 'log.jsonl', watch,
                                 lambda name, line: said.append(f'{name} {line}')) == 0
                assert ends
            except NodeDiedError as error:
                assert not ends and 'policy_node' in str(error)
    attempts = attempts_of(study)
    assert 'bag_recorder died (signal SIGKILL) and is started again' in said
    assert [one.index for one in attempts if one.counts] == [0, 1, 2, 3]
    [lost] = [one for one in attempts if one.verdict == 'invalid']
    assert lost.code == '3' and lost.end_reason in ('crash', 'policy_lost')
    assert [one.code for one in attempts if one.index == lost.index] == ['3', '4']
    assert attempts[0].end_reason in ('timeout', 'detector') and attempts[0].counts
    assert (study / 'bags' / '1').is_dir(), 'what the dead recorder wrote can be mended'
    bags = [one.values.get('bag', {}).get('uri') for one in attempts if one.counts]
    assert bags[0] != 'bags/1' and bags[2:] == ['bags/4', 'bags/5']
    assert main(['trials', 'report', str(study)]) == 0
