# SPDX-License-Identifier: Apache-2.0
"""Rows: what the issue asks for is there, equal plans are run once, and a file keeps them."""

from typing import Any

import pytest

from vla_drop_ros.evidence.rows import all_rows, Row, Unit
from vla_drop_ros.pruning.plan import Plan


@pytest.fixture
def found(ranking: Any) -> list[Row]:
    """Return the rows of a ranking."""
    return all_rows(ranking)


def test_headlines_have_three_seeds_and_200_episodes(found: list[Row]) -> None:
    """All but what is not trained at all, which has one of each."""
    headlines = [row for row in found if row.headline]
    assert {'baseline, as shipped', 'language half, odd dropped', 'vision half, odd dropped',
            'language 2 left, endpoints', 'action 2 left, endpoints'} <= {
                row.name for row in headlines}
    assert all(row.episodes >= 200 and (len(row.seeds) == 3 or not row.recipe)
               for row in headlines)
    assert all(row.episodes >= 100 for row in found)


def test_every_criterion_has_two_depths(found: list[Row], ranking: Any) -> None:
    """Half and two left, recovered by the same recipe."""
    rows = [row for row in found if row.section == 'criteria']
    scored = [name for name, one in ranking.criteria.items() if 'block' in one.units]
    assert len(rows) == 2 * len(scored) and {row.recipe for row in rows} == {'short'}


def test_equal_plans_are_one_unit() -> None:
    """What a model is decides its name, not who chose it."""
    one, other = (Row('criteria', name, Plan({'language': {'keep-kv': (1, 3)}}, dead=True,
                                             origin={'criterion': name}), 'short')
                  for name in ('uniform', 'cka'))
    assert [unit.key for unit in one.units()] == [unit.key for unit in other.units()]
    assert Unit(one.plan, 'main', 0).key != Unit(one.plan, 'main', 1).key
    assert Unit(one.plan, 'main', 0).pruned == Unit(one.plan, '', 0).key


def test_a_file_keeps_rows(found: list[Row]) -> None:
    """The same rows and units when read again."""
    for row in found:
        again = Row.from_dict(row.to_dict())
        assert again.to_dict() == row.to_dict()
        assert [unit.key for unit in again.units()] == [unit.key for unit in row.units()]
