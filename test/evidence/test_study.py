# SPDX-License-Identifier: Apache-2.0
"""Units are run once, from pruning to episodes; what is finished stays finished."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('mujoco')

from vla_drop_ros.evidence import study  # noqa: E402 - MuJoCo may be absent
from vla_drop_ros.evidence.results import Results  # noqa: E402
from vla_drop_ros.evidence.rows import Row  # noqa: E402
from vla_drop_ros.pruning.plan import Plan  # noqa: E402

PLAN = Plan({'language': {'keep-kv': (1, 2)}}, dead=True)
ROWS = [Row('modules', 'one', PLAN, 'main', (0, 1), 200, (('nominal', 'own'), ('hard', 'swap'))),
        Row('criteria', 'the same', PLAN, 'main', (0,), 100)]


@pytest.fixture
def places(tiny_pair: tuple[Path, Path], tiny_dataset: Path, tmp_path: Path) -> study.Places:
    """Return places with the tiny policy as the baseline."""
    return study.Places(tiny_pair[0], tiny_dataset, tiny_dataset, tmp_path / 'work',
                        tmp_path / 'units.jsonl')


def test_rows_share_units_and_the_larger_demand_wins(places: study.Places) -> None:
    """Two recoveries and one zero-shot model; probes beside the first only for the first seed."""
    found = study.tasks(ROWS, places, 50)
    assert [len(task.episodes) for task in found] == [2, 1, 1]
    assert [len(task.episodes['nominal', 'own']) for task in found] == [200, 200, 50]
    assert len(found[0].episodes['hard', 'swap']) == 100
    assert found[2].unit.key == found[0].unit.pruned and not found[2].unit.recipe
    assert all(len(seeds) == 3 for task in study.tasks(ROWS, places, 50, limit=3)
               for seeds in task.episodes.values())


def test_a_unit_goes_from_pruning_to_episodes(places: study.Places) -> None:
    """Sizes, proxies, how it was trained and the outcomes; more episodes go on, none repeats."""
    tasks = study.tasks([replace(ROWS[0], seeds=(0,))], places, 1, steps=2, limit=1)
    assert list(study.run(tasks, 1)) == [task.unit.key for task in tasks]
    results = Results(places.results)
    assert all(study.is_done(task, results) for task in tasks)
    record = results.units[tasks[0].unit.key]
    assert record['recipe']['steps'] == 2 and record['proxies']['fidelity_error'] > 0
    assert record['flops'] > 0 and sum(record['parameters'].values()) > 0
    outcomes = results.outcomes(tasks[0].unit.key, 'nominal/own')
    assert outcomes is not None and outcomes.seeds.tolist() == [0]
    size = places.results.stat().st_size
    list(study.run(tasks, 1))
    assert places.results.stat().st_size == size


def test_rows_are_kept_for_other_machines(tmp_path: Path, ranking: Any) -> None:
    """A file that exists decides; the ranking is not looked at."""
    ranking.save(tmp_path / 'ranking.json')
    first = study.rows_of(tmp_path / 'rows.json', tmp_path / 'ranking.json')
    again = study.rows_of(tmp_path / 'rows.json', tmp_path / 'nowhere.json')
    assert [row.to_dict() for row in first] == [row.to_dict() for row in again] and first
