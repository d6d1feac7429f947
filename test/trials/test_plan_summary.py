# SPDX-License-Identifier: Apache-2.0
"""A plan tells costs before the first trial, and locks what was planned."""

from pathlib import Path
import re

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.trials.locked_study import load_study

ROOT = Path(__file__).parents[2]
DESIGN = ROOT / 'config' / 'trials' / 'pick_place.yaml'
STOPPING = re.compile(r'stopping:\n(  .*\n)+')
ANYTIME, FIXED = 'stopping: {rule: anytime}\n', 'stopping: {rule: fixed, horizon: 40}\n'


def planned(folder: Path, capsys: pytest.CaptureFixture[str], stopping: str = '', arms: int = 1,
            several: str = 'fixed_sequence', options: tuple[str, ...] = ()) -> str:
    """Return what is said of the shipped design with other rules and arms."""
    text = DESIGN.read_text().replace('several: fixed_sequence', f'several: {several}')
    more = ''.join(f'  - {{name: more{arm}, checkpoint: reference-half}}\n'
                   for arm in range(1, arms))
    text = text.replace('\nconditions:', f'{more}\nconditions:')
    design = folder / 'design.yaml'
    design.write_text(STOPPING.sub(stopping, text) if stopping else text)
    assert main(['trials', 'plan', str(design), *options]) == 0
    return capsys.readouterr().out


def rows(said: str) -> list[list[str]]:
    """Return the cells of the table, losses first."""
    return [re.split(r' {2,}', line.strip()) for line in said.splitlines()
            if re.match(r' *[\d.]+  +[<>\d]', line)]


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


@pytest.mark.parametrize('stopping', ['', ANYTIME, FIXED])
@pytest.mark.parametrize(('arms', 'several'), [(1, 'fixed_sequence'), (2, 'fixed_sequence'),
                                               (2, 'holm')])
def test_every_form_of_study_is_planned_in_full(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], stopping: str, arms: int,
        several: str) -> None:
    """Power, pairs, hours with all arms, and what is not seen, by every rule and ladder."""
    said = planned(tmp_path, capsys, stopping, arms, several, ('--studies', '500'))
    assert 'with a probability of' in said and re.search(r'robot: .* hours', said)
    assert re.search(r'what it cannot see: a loss is called worse with 80% from \d+ points', said)
    assert len(re.findall(r'points: called no worse with .*, left open with', said)) == 2
    table = rows(said)
    assert [float(row[0]) for row in table] == [0, 7.5, 15, 30]
    for row in table:
        pairs, hours = float(row[-4].split()[0]), float(row[-1])
        assert hours == pytest.approx(pairs * (1 + arms) * 50 / 3600, abs=0.06 + 0.02 * arms)
    assert ('--cap' in said) == (stopping == ANYTIME)
    assert ('of one at least with' in said) == (arms > 1)
    assert ('judged at an error of 2.50% first' in said) == (several == 'holm')


def test_losses_cap_and_studies_are_what_was_asked_for(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has equality and the losses asked for, and ends at the last round of the cap."""
    said = planned(tmp_path, capsys, ANYTIME, options=(
        '--loss', '0.2', '--loss', '0.05', '--cap', '61', '--studies', '300'))
    assert [row[0] for row in rows(said)] == ['0', '5', '20']
    assert 'no end by 60' in said and '300 simulated studies a line (seed 1)' in said


@pytest.mark.parametrize(('options', 'words'), [
    (('--cap', '3'), 'a cap of 3 pairs holds no round of 4 conditions'),
    (('--cap', '901'), 'from 1 to 900 can be planned'),
    (('--loss', '0.9'), 'between 0 and the baseline'),
    (('--discordance', '0.5'), 'differ in 0.4 of the pairs at most'),
    (('--studies', '5'), 'take 100 or more')])
def test_what_cannot_be_planned_is_refused_before_it_is_locked(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...],
        words: str) -> None:
    """Exit status 2 with the reason, and no folder."""
    design = tmp_path / 'design.yaml'
    design.write_text(STOPPING.sub(ANYTIME, DESIGN.read_text()))
    assert main(['trials', 'plan', str(design), '-o', str(tmp_path / 'study'), *options]) == 2
    assert words in ' '.join(capsys.readouterr().err.split())
    assert not (tmp_path / 'study').exists()


def test_a_weak_baseline_is_said_to_cost_the_verdict(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exact power knows nothing of the guard; the plan does."""
    said = planned(tmp_path, capsys, FIXED, options=('--baseline', '0.5', '--studies', '500'))
    assert 'With the proof that the baseline succeeds in 50%' in said
    assert 'With the proof' not in planned(tmp_path, capsys, FIXED, options=('--studies', '500'))


@pytest.mark.parametrize(('stopping', 'arms', 'several'), [
    ('', 1, 'fixed_sequence'), (ANYTIME, 1, 'fixed_sequence'), ('', 2, 'holm')])
def test_the_plans_in_the_documents_are_what_the_command_says(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], stopping: str, arms: int,
        several: str) -> None:
    """Every line of numbers is in docs/trials.md, to the letter."""
    told = {line.strip() for line in (ROOT / 'docs' / 'trials.md').read_text().splitlines()}
    said = planned(tmp_path, capsys, stopping, arms, several).splitlines()[3:]
    assert [line for line in said if line and line.strip() not in told] == []
