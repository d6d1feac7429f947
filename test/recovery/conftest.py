# SPDX-License-Identifier: Apache-2.0
"""A tiny policy without its second language block, and what its recovery is made of."""

from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.plan import Plan


@pytest.fixture(scope='session')
def pruned(tmp_path_factory: pytest.TempPathFactory, tiny_pair: tuple[Path, Path]) -> Path:
    """Return the folder of the tiny policy without its language block 1 and what read it."""
    folder = tmp_path_factory.mktemp('pruned') / 'pruned'
    drop_checkpoint(tiny_pair[0], folder, Plan({'language': {'tied': (1,)}}, dead=True))
    return folder


def policy_of(folder: Path) -> Any:
    """Return the policy of a folder, not warmed up."""
    model, manifest = load_checkpoint(folder)
    return assemble_policy(model, manifest, folder)


@pytest.fixture
def policy(pruned: Path) -> Any:
    """Return a fresh pruned policy that the test may train."""
    return policy_of(pruned)


@pytest.fixture
def dataset(tiny_dataset: Path) -> Dataset:
    """Return the random demonstrations."""
    return Dataset(tiny_dataset)
