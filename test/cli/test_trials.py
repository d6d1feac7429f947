# SPDX-License-Identifier: Apache-2.0
"""plan says what a study costs and cannot see, and locks it once."""

from hashlib import sha256
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.cli.main import main
from vla_drop_ros.trials.locked_study import load_study

DESIGN = Path(__file__).parents[2] / 'config' / 'trials' / 'pick_place.yaml'


@pytest.fixture(name='design')
def _design(tmp_path: Path) -> Path:
    """Return the shipped design, with a look at the end only: its rule is built at once."""
    data = yaml.safe_load(DESIGN.read_text())
    data['stopping'] = {'rule': 'fixed', 'horizon': 40}
    data['conditions'][0]['reference_image'] = 'red.png'
    cv2.imwrite(str(tmp_path / 'red.png'), np.full((20, 30, 3), 80, np.uint8))
    path = tmp_path / 'design.yaml'
    path.write_text(yaml.safe_dump(data))
    return path


def test_plan_locks_a_design_with_its_pictures(design: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Digest, commitment and the next command are printed; a second lock is refused."""
    folder = tmp_path / 'study'
    assert main(['trials', 'plan', str(design), '-o', str(folder)]) == 0
    printed, study = capsys.readouterr().out, load_study(folder)
    for words in (study.design.digest, study.commitment, 'ab_trial.launch.py', 'pairs'):
        assert words in printed
    assert (folder / 'references' / 'red-left.jpg').is_file()
    half = study.checkpoints['half']
    manifest = find_checkpoint('reference-half') / 'manifest.json'
    assert half['manifest_sha256'] == sha256(manifest.read_bytes()).hexdigest()
    assert half['parameters'] == sum(json.loads(manifest.read_text())['parameters'].values())
    assert half['parent']['sha256'] == json.loads(manifest.read_text())['parent']['sha256']
    assert study.locked and set(study.checkpoints) == {'baseline', 'half'}
    assert (folder / 'secret').stat().st_mode & 0o077 == 0
    assert main(['trials', 'plan', str(design), '-o', str(folder)]) == 2
    assert 'locked already' in capsys.readouterr().err


def test_plan_without_a_folder_writes_nothing(design: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    """It only tells what the study would cost."""
    before = sorted(tmp_path.iterdir())
    assert main(['trials', 'plan', str(design)]) == 0
    assert 'pairs' in capsys.readouterr().out and sorted(tmp_path.iterdir()) == before


def test_a_picture_that_is_missing_locks_nothing(design: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """The condition and the path are named."""
    (tmp_path / 'red.png').unlink()
    assert main(['trials', 'plan', str(design), '-o', str(tmp_path / 'study')]) == 2
    assert 'red.png' in capsys.readouterr().err and not (tmp_path / 'study').exists()
