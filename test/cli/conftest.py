# SPDX-License-Identifier: Apache-2.0
"""A ranking of the tiny policy, made by the command that makes rankings."""

from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main


@pytest.fixture(scope='session')
def ranking_file(tiny_pair: tuple[Path, Path], tiny_dataset: Path,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ranking by every criterion, with costs and latency."""
    path = tmp_path_factory.mktemp('ranked') / 'ranking.json'
    policy, base = tiny_pair
    assert main(['rank', str(policy), '--data', str(tiny_dataset), '--base', str(base),
                 '--samples', '12', '--batch-size', '6', '-o', str(path)]) == 0
    return path
