# SPDX-License-Identifier: Apache-2.0
"""The verb rank: every criterion on demonstrations, or one clear line why not."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.dataset.writer import DatasetWriter
from vla_drop_ros.pruning.criterion import CRITERIA
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranking import Ranking


def test_all_criteria_are_in_the_file_and_in_the_picture(ranking_file: Path) -> None:
    """One JSON, one PNG; costs, latency and the record of what was looked at."""
    ranking = Ranking.load(ranking_file)
    assert set(ranking.criteria) == set(CRITERIA)
    assert (ranking.costs or {})['latency']['total'] > 0
    assert (ranking.calibration or {})['samples'] == 12
    assert (ranking.loss or {})['error'] > 0
    picture = cv2.imread(str(ranking_file.with_suffix('.png')))
    assert picture is not None and min(picture.shape[:2]) > 600


def test_the_table_orders_blocks_and_shows_the_oracle(
        tiny_pair: tuple[Path, Path], tiny_dataset: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Chosen criteria only, quickly, with what they agree on."""
    assert main(['rank', str(tiny_pair[0]), '--data', str(tiny_dataset), '--samples', '6',
                 '--criterion', 'gateprobe,leave-one-out', '--no-latency', '--no-probes',
                 '-o', str(tmp_path / 'r.json')]) == 0
    text = capsys.readouterr().out
    for part in ('language, tied: the first to go', 'gateprobe', 'leave-one-out', 'wrote'):
        assert part in text
    ranking = Ranking.load(tmp_path / 'r.json')
    assert list(ranking.criteria) == ['gateprobe', 'leave-one-out']
    assert (ranking.costs or {})['latency'] is None


def test_weights_alone_need_no_demonstrations_and_can_be_streamed(
        tiny_pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Both ways score alike."""
    policy, base = map(str, tiny_pair)
    for name, more in (('memory', []), ('stream', ['--stream'])):
        assert main(['rank', policy, '--criterion', 'magnitude,divergence', '--base', base,
                     '--no-latency', '--no-probes', '-o', str(tmp_path / f'{name}.json'), *more,
                     ]) == 0
    one, two = (json.loads((tmp_path / f'{name}.json').read_text())['criteria']
                for name in ('memory', 'stream'))
    for found in (one, two):
        for criterion in found.values():
            del criterion['seconds']
    assert one == two


def test_without_a_base_divergence_is_left_out_of_all(
        tiny_pair: tuple[Path, Path], tiny_dataset: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """It is said why, and asking for it by name is refused."""
    arguments = ['rank', str(tiny_pair[0]), '--data', str(tiny_dataset), '--samples', '4',
                 '--no-latency', '--no-probes', '-o', str(tmp_path / 'r.json')]
    assert main(arguments) == 0
    assert 'without divergence' in capsys.readouterr().err
    assert 'divergence' not in Ranking.load(tmp_path / 'r.json').criteria
    assert main([*arguments, '--criterion', 'divergence']) == 2
    assert 'name one with --base' in capsys.readouterr().err


@pytest.mark.parametrize(('more', 'message'), [
    (['--criterion', 'guess'], "'guess'; valid: "),
    (['--samples', '1'], '--samples must be at least 2'),
    (['--samples', '99'], '45 usable frames, 99 are asked for'),
    (['--data', 'nowhere'], "'nowhere' is no LeRobot dataset"),
    (['--base', 'nowhere'], 'nowhere'),
    (['--stream', '--criterion', 'gateprobe'], 'needs gradients or changes the model'),
])
def test_bad_input_exits_with_2_and_writes_nothing(
        more: list[str], message: str, tiny_pair: tuple[Path, Path], tiny_dataset: Path,
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the bad value and the fix."""
    arguments = ['rank', str(tiny_pair[0]), '--data', str(tiny_dataset), '-o',
                 str(tmp_path / 'r.json'), *more]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_demonstrations_are_asked_for(
        tiny_pair: tuple[Path, Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Criteria that look at activations say where to get some."""
    assert main(['rank', str(tiny_pair[0]), '-o', str(tmp_path / 'r.json')]) == 2
    assert 'vla_drop demonstrate' in capsys.readouterr().err


def test_a_base_of_another_shape_is_refused(
        tiny_pair: tuple[Path, Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Divergence from a model with another depth would compare strangers."""
    drop_checkpoint(tiny_pair[1], tmp_path / 'base', Plan({'language': {'whole': (1,)}}))
    assert main(['rank', str(tiny_pair[0]), '--criterion', 'divergence', '--base',
                 str(tmp_path / 'base'), '--no-latency', '--no-probes', '-o',
                 str(tmp_path / 'r.json')]) == 2
    error = capsys.readouterr().err
    assert 'language' in error and '3' in error and '4' in error


@pytest.mark.parametrize(('bad', 'message'), [
    ('state', 'observation.state of frame 3 (episode 0, step 3) is not finite'),
    ('action', 'not finite (first: sample 0)'),
])
def test_numbers_that_are_none_end_it(
        bad: str, message: str, tiny_pair: tuple[Path, Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """A sensor that recorded NaN, and a loss that overflows, end it before noise is scored."""
    writer = DatasetWriter(
        tmp_path / 'set', 10, {'front': (20, 20), 'wrist': (20, 20)},
        ('ee.x', 'ee.y', 'ee.z', 'gripper.width'), ('x', 'y', 'z', 'gripper'), {}, 'broken')
    images = {key: np.zeros((20, 20, 3), np.uint8) for key in ('front', 'wrist')}
    for step in range(6):
        writer.add(images, np.full(4, np.nan if (bad, step) == ('state', 3) else 0.1),
                   np.full(4, 1e30 if bad == 'action' else 0.0))
    writer.end_episode('put the red cube in the left bin')
    writer.close()
    assert main(['rank', str(tiny_pair[0]), '--data', str(tmp_path / 'set'), '--samples', '6',
                 '-o', str(tmp_path / 'r.json')]) == 2
    assert not (tmp_path / 'r.json').exists()
    assert message in capsys.readouterr().err.replace('\n', ' ')
