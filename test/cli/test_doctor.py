# SPDX-License-Identifier: Apache-2.0
"""The doctor names each thing that is wrong, and the remedy."""

from argparse import Namespace

import pytest

from vla_drop_ros import preflight
from vla_drop_ros.cli import doctor
from vla_drop_ros.preflight import Check


def run(checks: list[Check], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the doctor on prepared results."""
    monkeypatch.setattr(doctor, 'examine', lambda checkpoint: iter(checks))
    return doctor.main(Namespace(checkpoint='reference'))


def test_all_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 and no remedy when everything is in place."""
    assert run([Check('Python', True, '3.12.3', 'use another')], monkeypatch) == 0
    said = capsys.readouterr().out
    assert 'ok' in said and 'fix' not in said


def test_failure_shows_the_fix(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, and the remedy below the check that failed."""
    checks = [Check('torch', False, 'not found', 'pip install torch'), Check('rclpy', True, '7')]
    assert run(checks, monkeypatch) == 1
    assert 'fix:         pip install torch' in capsys.readouterr().out


def test_without_ros_the_domain_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The domain check needs rclpy; without it the other checks still run."""
    monkeypatch.setattr(preflight, 'check_ros', lambda: Check('rclpy', False, 'not found', 'x'))
    monkeypatch.setattr(preflight, 'check_renderer', lambda: Check('renderer', True, 'egl'))
    names = [check.name for check in doctor.examine('reference')]
    assert names == ['Python', 'rclpy', 'renderer', 'torch', 'transformers', 'pyarrow',
                     'checkpoint']
