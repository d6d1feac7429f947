# SPDX-License-Identifier: Apache-2.0
"""The search finds a front that controls do not beat, and goes on where it stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import PlanError, RankingError
from vla_drop_ros.policies.calibration import calibrate
from vla_drop_ros.pruning.cost import count_units
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.layout import StackLayout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.pruning.ranking import Ranking
from vla_drop_ros.pruning.search import _moves, Search

FOREVER = 1e9
Start = Callable[..., Search]


@pytest.fixture
def start(subject: Subject, tiny_policy: Any, tiny_dataset: Path, tmp_path: Path) -> Start:
    """Return a maker of searches over the same tiny policy, data and store."""
    held = calibrate(tiny_policy, Dataset(tiny_dataset), 4, seed=8, draws=1)
    units = {name: dict.fromkeys(('block', 'tied', 'attention', 'mlp'), 1e-3)
             for name in subject.layout.stacks}
    layout = replace(subject.layout, stacks={
        name: replace(stack, modes=stack.modes[:2 if name == 'language' else 1])
        for name, stack in subject.layout.stacks.items()})
    ranking = Ranking(
        {'path': 'x', 'name': 'x', 'sha256': 'ab' * 32, 'family': 'pi0'}, layout,
        rank(subject, ('gateprobe',)),
        costs={**count_units(subject, tiny_policy.example_inputs()[0]),
               'latency': {'total': 0.02, 'units': units}})

    def make(seed: int = 0, **changes: Any) -> Search:
        fields: dict[str, Any] = {
            'subject': subject, 'batch': held.batches[0], 'executed': 2, 'ranking': ranking,
            'criterion': 'gateprobe', 'beam': 1, 'store': tmp_path / 'front.jsonl',
            'identity': {'seed': seed}}
        return Search(**{**fields, **changes})

    return make


def test_the_front_is_what_nothing_beats(start: Start) -> None:
    """Along it latency falls and error rises; every other point is beaten by one of it."""
    search = start()
    assert search.run(FOREVER)
    front = search.front()
    assert len(search.points) > 20 and len(front) > 2
    latencies = [point.cost['latency'] for point in front]
    errors = [point.error for point in front]
    assert latencies == sorted(latencies, reverse=True) and errors == sorted(errors)
    for point in search.points.values():
        assert any(best.error <= point.error and best.cost['latency'] <= point.cost['latency']
                   for best in front)
    assert any(point.control for point in search.points.values())


def test_errors_are_those_of_a_real_drop(start: Start) -> None:
    """Mean absolute difference of the executed steps, from the same noise."""
    search, plan = start(), Plan({'language': {'tied': (1,)}})
    point = search.evaluate(plan)
    assert point is not None
    with dropped(search.subject.family, search.subject.model, plan):
        actions = search.subject.family.act(
            search.subject.model, search.batch.inputs, search.batch.noise[:, 0])
    off = (actions - search.batch.actions)[:, :2].abs() * search.batch.weights[:, :2]
    expected = off.sum((1, 2)) / search.batch.weights[:, :2].sum((1, 2)).clamp(min=1)
    assert point.error == pytest.approx(float(expected.mean()))
    assert point.cost['latency'] == pytest.approx(0.019)


def test_the_front_is_confirmed_on_fresh_frames(
        start: Start, tiny_policy: Any, tiny_dataset: Path) -> None:
    """Each of its plans is evaluated once more, on frames that did not choose it."""
    search = start()
    search.run(FOREVER)
    fresh = calibrate(tiny_policy, Dataset(tiny_dataset), 4, seed=9, draws=1).batches[0]
    shares: list[float] = []
    front = search.confirmed(fresh, True, shares.append)
    assert [point.plan for point in front.points] == [point.plan for point in search.front()]
    assert front.whole.plan.is_empty and front.evaluated == len(search.points)
    assert shares[-1] == 1.0 and len(shares) == len(front.points) + 1
    again = start(store=search.store.with_name('other.jsonl'), batch=fresh)
    for point in (front.whole, *front.points):
        other = again.evaluate(point.plan)
        assert other is not None and point.fresh is not None
        assert point.fresh[0] == pytest.approx(other.error)
        assert point.fresh[0] != pytest.approx(point.error)


def test_it_goes_on_where_it_stopped(start: Start) -> None:
    """What was evaluated is not evaluated again, and the result is that of one long run."""
    short = start()
    assert not short.run(0.0)
    assert [point.plan for point in short.points.values()] == [Plan()]
    for plan in (Plan(), Plan({'vision': {'whole': (1,)}})):
        short.evaluate(plan)
    again = start()
    assert set(again.points) == set(short.points) and len(again.points) >= 2
    assert again.run(FOREVER)
    count = len(again.store.read_text().splitlines())
    last = start()
    assert last.run(FOREVER)
    assert [point.to_dict() for point in last.front()] == [
        point.to_dict() for point in again.front()]
    assert len(last.store.read_text().splitlines()) == count


def test_a_torn_line_is_dropped(start: Start) -> None:
    """The power may go while a line is written."""
    search = start()
    search.evaluate(Plan())
    with search.store.open('a') as file:
        file.write('{"plan": {"form')
    assert len(start().points) == 1
    assert start().evaluate(Plan({'vision': {'whole': (1,)}})) is not None
    assert len(start().points) == 2


def test_another_search_is_not_continued(start: Start) -> None:
    """Other data, checkpoint or seed: refused, and nothing is overwritten."""
    start().evaluate(Plan())
    with pytest.raises(PlanError, match='belongs to another search'):
        start(seed=1)
    assert len(start().points) == 1


def test_illegal_plans_are_no_points(start: Start) -> None:
    """A constraint that forbids a plan keeps it off the front."""
    search = start()
    assert search.evaluate(Plan({'language': {'whole': (1,)}})) is None
    assert search.points == {}


def test_latency_must_have_been_measured(start: Start) -> None:
    """A ranking without timing gives no front."""
    ranking = start().ranking
    with pytest.raises(RankingError, match='--no-latency'):
        start(ranking=Ranking(ranking.checkpoint, ranking.layout, ranking.criteria))


def test_roles_go_in_whole_periods() -> None:
    """Neighbours that follow each other's roles go together, parts one by one."""
    stack = StackLayout(4, ('self', 'cross') * 2, ('tied',), 'x', {}, (), ())
    assert _moves(stack, 'tied', set(), set()) == [(0, 1), (1, 2), (2, 3)]
    assert _moves(stack, 'tied', {1, 2}, {1, 2}) == [(0, 3)]
    assert _moves(stack, 'mha', set(), {2}) == [(0,), (1,), (3,)]


def test_model_is_whole_afterwards(start: Start) -> None:
    """A search leaves no trace on the model."""
    search = start()
    family, model = search.subject.family, search.subject.model
    before = family.act(model, *family.fixed_inputs(model, 2, 1))
    search.run(1.0)
    assert torch.equal(family.act(model, *family.fixed_inputs(model, 2, 1)), before)
    assert np.isfinite([point.error for point in search.points.values()]).all()
