# SPDX-License-Identifier: Apache-2.0
"""A front survives its file, and its points become plans that say where they come from."""

from pathlib import Path

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.front import Front, Point
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan

WHOLE = Point(Plan(), 0.2, 0.01, {'latency': 0.01, 'parameters': 9.0})
POINT = Point(Plan({'vision': {'whole': (1,)}}), 0.3, 0.02, {'latency': 0.008, 'parameters': 8.0},
              fresh=(0.35, 0.03))
FRONT = Front({'sha256': 'ab' * 32, 'name': 'tiny'}, Layout({}), {'seed': 3}, 7, False, WHOLE,
              (WHOLE, POINT))


def test_survives_a_file(tmp_path: Path) -> None:
    """All of it, and nothing is left beside."""
    FRONT.save(tmp_path / 'front.json')
    assert Front.load(tmp_path / 'front.json') == FRONT
    assert len(list(tmp_path.iterdir())) == 1


def test_a_point_becomes_a_plan() -> None:
    """For that checkpoint, with what was foretold, compared with the whole model."""
    plan = FRONT.plan(1)
    assert plan.blocks == POINT.plan.blocks and plan.checkpoint == 'ab' * 32
    assert plan.origin['before'] == WHOLE.cost and plan.origin['predicted'] == POINT.cost
    assert plan.origin['criterion'] == {
        'name': 'search', 'seed': 3, 'error': 0.3, 'fresh': (0.35, 0.03)}
    for number in (-1, 2):
        with pytest.raises(PlanError, match='points 0 to 1'):
            FRONT.plan(number)


def test_the_best_estimate_is_the_fresh_one() -> None:
    """Until there is one, the other."""
    assert POINT.best_estimate == (0.35, 0.03) and WHOLE.best_estimate == (0.2, 0.01)


@pytest.mark.parametrize('text', ['', '[]', '{"format": 1}', '{"format": 2}', 'no json'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    """With the command that writes one."""
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(PlanError, match='is no front.*--search'):
        Front.load(tmp_path / 'x.json')
    with pytest.raises(PlanError, match='is no front'):
        Front.load(tmp_path / 'nowhere.json')
