# SPDX-License-Identifier: Apache-2.0
"""The fault drill in its short form: every fault once, in a cell of real processes."""

import json
from pathlib import Path

import pytest

from bench.drill.faults import FAULTS
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
