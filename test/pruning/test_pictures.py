# SPDX-License-Identifier: Apache-2.0
"""Pictures are drawn from whatever a ranking holds: much, little, or next to nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from vla_drop_ros.pruning.cost import count_units
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.front import Front, Point
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.pictures import block_columns, draw_front, draw_plan, draw_ranking
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.pruning.ranking import Ranking
from vla_drop_ros.pruning.solver import Request, solve


@pytest.fixture
def ranking(subject: Subject, tiny_policy: Any) -> Ranking:
    """Return a ranking with an oracle, a criterion, a control and widths."""
    names = ('leave-one-out', 'gateprobe', 'cka', 'divergence', 'wanda', 'random')
    return Ranking({'path': 'x', 'name': 'tiny', 'sha256': 'ab' * 32, 'family': 'pi0'},
                   subject.layout, rank(subject, names, probes=True),
                   {'samples': 12, 'dataset': 'd', 'draws': 2},
                   costs=count_units(subject, tiny_policy.example_inputs()[0]))


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture that has more than one colour."""
    image = cv2.imread(str(path))
    assert image is not None and image.std() > 5
    return image.shape[1], image.shape[0]


def test_a_row_a_criterion_a_column_a_stack(ranking: Ranking, tmp_path: Path) -> None:
    """The more criteria, the higher the picture."""
    assert block_columns(ranking) == [('vision', 'block'), ('language', 'tied'),
                                      ('language', 'block'), ('action', 'block')]
    draw_ranking(tmp_path / 'all.png', ranking)
    few = replace(ranking, criteria={'cka': ranking.criteria['cka']})
    draw_ranking(tmp_path / 'few.png', few)
    assert size(tmp_path / 'all.png')[1] > 2 * size(tmp_path / 'few.png')[1]


@pytest.mark.parametrize('names', [('wanda',), ('random',), ('divergence',)])
def test_little_is_enough(ranking: Ranking, tmp_path: Path, names: tuple[str, ...]) -> None:
    """Only widths, only a control, only stacks that the base has."""
    draw_ranking(tmp_path / 'r.png', replace(
        ranking, criteria={name: ranking.criteria[name] for name in names}, calibration=None))
    size(tmp_path / 'r.png')


def test_plans_are_drawn_with_and_without_scores(ranking: Ranking, tmp_path: Path) -> None:
    """What goes is marked, and the cost stands beside the budget."""
    plan = solve(ranking, Request('gateprobe', budget={'params': 0.8}))
    draw_plan(tmp_path / 'budget.png', plan, ranking.layout, ranking)
    named = Plan({'language': {'keep-kv': (1,)}, 'vision': {'mlp': (0,)}},
                 channels={'action': {0: (1, 2)}})
    draw_plan(tmp_path / 'named.png', named, ranking.layout, None)
    assert size(tmp_path / 'budget.png')[0] > size(tmp_path / 'named.png')[0]


def test_a_front_is_drawn_over_what_was_tried(tmp_path: Path) -> None:
    """With its controls and the whole model."""
    points = [Point(Plan(), 0.2, 0.01, {'latency': 0.01}),
              Point(Plan({'vision': {'whole': (1,)}}), 0.3, 0.02, {'latency': 0.008}),
              Point(Plan({'vision': {'whole': (2,)}}), 0.5, 0.02, {'latency': 0.008}, True)]
    front = Front({'name': 'tiny'}, Layout({}), {}, 3, True, points[0], tuple(points[:2]))
    draw_front(tmp_path / 'front.png', front, points)
    size(tmp_path / 'front.png')
