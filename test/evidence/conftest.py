# SPDX-License-Identifier: Apache-2.0
"""A few rows with made-up outcomes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.evidence.report import PROXIES
from vla_drop_ros.evidence.results import Outcomes, Results
from vla_drop_ros.evidence.rows import Row
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranking import Ranking


def outcomes(rate: float, scenes: int = 120, seed: int = 0) -> Outcomes:
    """Return episodes that succeed at about this rate."""
    rng = np.random.default_rng(seed)
    good = (rng.random(scenes) < rate).astype(float)
    return Outcomes(np.arange(scenes), good, rng.integers(8, 92, scenes), 1.0 - good)


def unit(key: str, parameters: int, found: Outcomes, error: float) -> dict[str, Any]:
    """Return the record of a unit."""
    return {'unit': key, 'parameters': {'language': parameters}, 'flops': 10 * parameters,
            'commit': 'abcdef012', 'proxies': dict.fromkeys(PROXIES, error),
            'episodes nominal/own': found.to_dict()}


@pytest.fixture(scope='session')
def ranking(ranking_file: Path) -> Ranking:
    """Return a ranking of the tiny policy by every criterion."""
    return Ranking.load(ranking_file)


@pytest.fixture
def rows() -> list[Row]:
    """Return the two baselines and a pruned row of three seeds."""
    half = Plan({'language': {'keep-kv': (1, 3)}}, dead=True)
    return [Row('modules', 'baseline, as shipped', Plan(dead=True), episodes=120),
            Row('modules', 'baseline, trained on', Plan(dead=True), 'main', (0, 1, 2), 120),
            Row('modules', 'language half', half, 'main', (0, 1, 2), 120, headline=True)]


@pytest.fixture
def results(rows: list[Row], tmp_path: Path) -> Results:
    """Return a file of their outcomes: the half loses about 20 points."""
    found = Results(tmp_path / 'evidence' / 'units.jsonl')
    for row, size, rate in zip(rows, (100, 100, 80), (0.95, 0.97, 0.75), strict=True):
        for number, one in enumerate(row.units()):
            found.add(unit(one.key, size, outcomes(rate, seed=number), 1.0 - rate))
    half = next(rows[2].units())
    found.add(unit(half.pruned, 80, outcomes(0.1, seed=9), 0.9))
    found.add({'unit': half.pruned, 'timing': {'chunk_ms': 5.0, 'chunk_speedup': 1.5,
                                               'step_ms': 90.0, 'step_speedup': 1.3}})
    return found
