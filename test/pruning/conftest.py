# SPDX-License-Identifier: Apache-2.0
"""A tiny random policy and what it is ranked on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.families.family import Family
from vla_drop_ros.families.registry import family
from vla_drop_ros.policies.calibration import calibrate, Calibration
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.weights import Weights


@pytest.fixture(scope='session')
def tiny_pair(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., Any],
              ) -> tuple[Path, Path]:
    """Return folders of a tiny policy and of a tiny vision-language model of the same shape."""
    folder = tmp_path_factory.mktemp('pair')
    write_tiny(folder / 'base', family='paligemma', scale=0.25)
    write_tiny(folder / 'policy')
    return folder / 'policy', folder / 'base'


@pytest.fixture(scope='session')
def tiny_policy(tiny_pair: tuple[Path, Path]) -> Any:
    """Return the tiny policy, not warmed up."""
    model, manifest = load_checkpoint(tiny_pair[0])
    return assemble_policy(model, manifest, tiny_pair[0])


@pytest.fixture(scope='session')
def calibration(tiny_policy: Any, tiny_dataset: Path) -> Calibration:
    """Return twelve samples in three batches, two flow draws each."""
    return calibrate(tiny_policy, Dataset(tiny_dataset), 12, seed=3, batch_size=4)


@pytest.fixture
def pi0() -> Family:
    """Return the family of the tiny policy."""
    return family('pi0')


@pytest.fixture
def subject(tiny_pair: tuple[Path, Path], calibration: Calibration,
            tiny_policy: Any) -> Subject:
    """Return the tiny policy as criteria see it, with its base."""
    policy, base = tiny_pair
    vlm, pi0 = family('paligemma'), family('pi0')
    return Subject(
        pi0, tiny_policy.model, calibration.batches, Weights(policy, pi0.module_name),
        (vlm, vlm.sites(vlm.read_config(base)), Weights(base, vlm.module_name)))
