# SPDX-License-Identifier: Apache-2.0
"""A plan tells costs before the first trial, and locks what was planned."""

from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.trials.locked_study import load_study

DESIGN = Path(__file__).parents[2] / 'config' / 'trials' / 'pick_place.yaml'


def test_the_shipped_design_is_planned_and_locked(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs, hours and power are printed, and the folder holds a study that loads."""
    assert main(['trials', 'plan', str(DESIGN), '-o', str(tmp_path / 'study')]) == 0
    said = capsys.readouterr().out
    for words in ('at most 100 pairs', 'robot-hours', 'probability of', 'locked:'):
        assert words in said
    study = load_study(tmp_path / 'study')
    assert [arm.name for arm in study.design.arms] == ['baseline', 'half']
    assert study.design.arms[1].hash.startswith('d7f8e9bedc79')
    assert study.commitment in said.replace('\n', '')


def test_a_study_that_cannot_see_enough_is_told_so(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Few pairs and a small margin: the plan warns, with the number that would do."""
    design = tmp_path / 'design.yaml'
    design.write_text(DESIGN.read_text().replace('margin: 0.15', 'margin: 0.05')
                      .replace('horizon: 100', 'horizon: 20'))
    assert main(['trials', 'plan', str(design)]) == 0
    said = capsys.readouterr().out
    assert 'That is little' in said and 'think of about' in said


def test_a_bad_design_is_an_error_in_words(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the message names the key."""
    design = tmp_path / 'design.yaml'
    design.write_text('title: x')
    assert main(['trials', 'plan', str(design)]) == 2
    assert 'margin: missing' in capsys.readouterr().err
