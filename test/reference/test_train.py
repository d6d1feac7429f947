# SPDX-License-Identifier: Apache-2.0
"""What training writes is a pair of checkpoints that the robot side can load."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vla_drop_ros.manifest import verify
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.reference import train
from vla_drop_ros.reference.batches import ACTION_MEAN, ACTION_STD
from vla_drop_ros.reference.frames import IMAGE_SIZE
from vla_drop_ros.reference.model import build_vla, build_vlm, CHUNK, vocabulary
from vla_drop_ros.simulation.environment import CONTROL_PERIOD, POLICY_CAMERAS
from vla_drop_ros.types import Observation


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both checkpoints, of random weights."""
    folder = tmp_path_factory.mktemp('models')
    torch.manual_seed(0)
    tokenizer = vocabulary()
    vlm = build_vlm(tokenizer)
    train.save_vlm(folder / 'reference-vlm', vlm, tokenizer, {'step': 1})
    train.save_vla(folder / 'reference', folder / 'reference-vlm', build_vla(vlm), tokenizer,
                   {'step': 2})
    return folder


def test_the_policy_names_its_vlm(saved: Path) -> None:
    """Lineage is recorded: the VLA's manifest carries the identity of the VLM it came from."""
    vlm, vla = verify(saved / 'reference-vlm'), verify(saved / 'reference')
    assert (vlm.role, vla.role) == ('vlm', 'vla')
    assert vla.base_vlm == vlm.lineage_record()
    assert vla.training == {'step': 2}


def test_the_policy_runs_where_it_was_trained_for(saved: Path) -> None:
    """Loaded as the robot loads it, it speaks metres in the frame, at the rate, of the cell."""
    policy = load_policy(saved / 'reference', 'cpu')
    assert policy.spec == train.SPEC
    assert policy.spec.period == CONTROL_PERIOD
    assert set(policy.cameras) == set(POLICY_CAMERAS)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    chunk = policy.infer(Observation(0.0, dict.fromkeys(POLICY_CAMERAS, image),
                                     np.array([0.45, 0.0, 0.2, 0.08]),
                                     'put the red cube in the left bin'))
    assert chunk.actions.shape == (CHUNK, 4)
    # Random weights: the denoised noise is a few deviations around the mean of the labels.
    assert (np.abs(chunk.actions - ACTION_MEAN) < 20 * np.array(ACTION_STD)).all()
    policy.close()


def test_only_missing_shards_are_made(tmp_path: Path) -> None:
    """What an earlier run finished is not rendered again."""
    (tmp_path / 'still-0001.states.npy').touch()
    (tmp_path / 'still-0002.images.npy').touch()  # interrupted
    assert train._missing(tmp_path, 'still', range(4)) == [0, 2, 3]
