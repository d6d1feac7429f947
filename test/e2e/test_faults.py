# SPDX-License-Identifier: Apache-2.0
"""The fault drill in its short form: in cells of real processes, every fault once."""

import json
from pathlib import Path

import pytest

from bench.drill.faults import FAULTS
from bench.drill.robots import ROBOTS
from bench.faults import main

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_the_cell_survives_every_fault(tmp_path: Path) -> None:
    """Each fault stops the robot in time, breaks no limit, and is recovered from or latches."""
    path = tmp_path / 'drill.json'
    code = main(['--times', '1', '--json', str(path), '--folder', str(tmp_path)])
    trials = json.loads(path.read_text(encoding='utf-8'))['trials']
    assert {trial['fault'] for trial in trials} == {fault.name for fault in FAULTS}
    assert not [(trial['fault'], trial['problems'], trial['violations']) for trial in trials
                if not trial['passed']]
    assert code == 0


@pytest.mark.parametrize('robot', [name for name in ROBOTS if name != 'pose'])
def test_a_robot_that_is_commanded_otherwise_stops_too(tmp_path: Path, robot: str) -> None:
    """A policy that hangs ends with the safety action on the wire, and no limit is broken."""
    path = tmp_path / 'drill.json'
    code = main(['--robot', robot, '--times', '1', '--only', 'policy halted', '--json', str(path),
                 '--folder', str(tmp_path)])
    trials = json.loads(path.read_text(encoding='utf-8'))['trials']
    assert [(trial['fault'], trial['problems'], trial['violations']) for trial in trials] == [
        ('policy halted, goes on', [], [])]
    assert trials[0]['recovery'] is not None
    assert code == 0
