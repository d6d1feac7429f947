# SPDX-License-Identifier: Apache-2.0
"""The verb reference: from nothing to two checkpoints, at once where that was done."""

import json
from pathlib import Path
import time

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.manifest import verify

pytest.importorskip('torch')
pytest.importorskip('mujoco')


@pytest.mark.parametrize(('change', 'named'), [
    ('vla_stepps=3', 'vla_steps'), ('vla_steps=many', 'NAME=VALUE'), ('seed', 'NAME=VALUE')])
def test_bad_changes_of_the_recipe(
        change: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name or a value that is no number is named, and nothing is begun."""
    work = tmp_path / 'work'
    assert main(['reference', 'train', '--work', str(work), '--output', str(tmp_path / 'models'),
                 '--set', change]) == 2
    error = capsys.readouterr().err
    assert change in error and named in error
    assert not work.exists()


def test_no_curve_without_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that no training wrote to cannot be drawn; the message says which is needed."""
    assert main(['reference', 'curve', '--work', str(tmp_path)]) == 2
    assert '--work of a training' in capsys.readouterr().err


@pytest.mark.slow
def test_from_nothing_to_a_policy(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both stages, a round of own states, both checkpoints; the second call has nothing to do."""
    words = ['reference', 'train', '--quick', '--work', str(tmp_path / 'work'),
             '--output', str(tmp_path / 'models')]
    assert main(words) == 0
    shards = {path.name.split('-')[0] for path in (tmp_path / 'work/frames').glob('*.states.npy')}
    assert shards == {'still', 'held', 'demo', 'visit'}
    policy = verify(tmp_path / 'models/reference')
    assert policy.base_vlm == verify(tmp_path / 'models/reference-vlm').lineage_record()
    curve = (tmp_path / 'work/vla/curve.jsonl').read_text().splitlines()
    assert [json.loads(line)['step'] for line in curve] == [2, 4]
    assert 'models/reference' in capsys.readouterr().out

    weights = (tmp_path / 'models/reference/model.safetensors').read_bytes()
    began = time.process_time()
    assert main(words) == 0
    assert time.process_time() - began < 15.0
    assert (tmp_path / 'models/reference/model.safetensors').read_bytes() == weights
    assert (tmp_path / 'work/vla/curve.jsonl').read_text().splitlines() == curve

    assert main(['reference', 'curve', '--work', str(tmp_path / 'work'),
                 '--output', str(tmp_path / 'models')]) == 0
    assert (tmp_path / 'models/training.png').exists()
