# SPDX-License-Identifier: Apache-2.0
"""The expert solves scenes, and it is a function of the state alone."""

import numpy as np
import pytest

from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import CONTROL_PERIOD, PickPlaceEnvironment
from vla_drop_ros.simulation.layout import draw_layout, VARIANTS
from vla_drop_ros.simulation.scene import MAX_WIDTH, OBJECT_SIZE
from vla_drop_ros.simulation.tasks import GOALS
from vla_drop_ros.types import FloatArray

REST = OBJECT_SIZE / 2
# Three objects at rest; number 0 is the one to move, number 1 the reference.
TABLE = np.array([[0.45, 0.0, REST], [0.55, 0.05, REST], [0.38, -0.08, REST]])


@pytest.fixture(scope='module')
def cell() -> PickPlaceEnvironment:
    """Return one cell for all tests; nothing is rendered."""
    return PickPlaceEnvironment()


def states(ee: FloatArray | list[float], width: float = MAX_WIDTH, goal: str = 'left_bin',
           objects: FloatArray = TABLE) -> expert.States:
    """Return a batch of one."""
    return expert.States(np.asarray(ee, float)[None], np.array([width]), objects[None],
                         np.array([GOALS.index(goal)]), np.array([0]), np.array([1]))


def scattered(count: int) -> expert.States:
    """Return random states all over the workspace, every third hand at its object."""
    rng = np.random.default_rng(4)
    objects = rng.uniform([0.33, -0.1, 0.02], [0.61, 0.1, 0.05], (count, 3, 3))
    ee = rng.uniform([0.29, -0.28, 0.02], [0.65, 0.28, 0.3], (count, 3))
    ee[::3] = objects[::3, 0] + rng.normal(0, 0.004, (len(ee[::3]), 3))
    return expert.States(ee, rng.uniform(0.0, MAX_WIDTH, count), objects,
                         rng.integers(4, size=count), np.zeros(count, int), np.ones(count, int))


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(12))
def test_solves_scenes_of_every_goal(cell: PickPlaceEnvironment, seed: int) -> None:
    """Twelve scenes, three of each goal, three of each variant, in 9 simulated seconds."""
    goal = GOALS[seed % 4]
    cell.restore(draw_layout(seed, goal, list(VARIANTS)[seed // 3]))
    for _ in range(90):
        delta, width = expert.act(cell.states())
        cell.set_target(cell.ee_position + delta[0], float(width[0]))
        cell.advance(CONTROL_PERIOD)
        if cell.success:
            break
    assert cell.success, cell.instruction
    assert cell.moved_object == cell.objects[cell.task.target].name


def test_a_chunk_begins_with_what_it_would_do_now() -> None:
    """Step 0 of a chunk is the answer of ``act``, in every state and for every goal."""
    batch = scattered(300)
    delta, width = expert.act(batch)
    deltas, widths = expert.chunk(batch, 5)
    np.testing.assert_array_equal(deltas[:, 0], delta)
    np.testing.assert_array_equal(widths[:, 0], width)


def test_a_chunk_foresees_physics(cell: PickPlaceEnvironment) -> None:
    """Played open loop, the hand ends four steps less than a step behind what was foreseen."""
    for seed in range(4):
        cell.restore(draw_layout(seed))
        for _ in range(6):
            deltas, widths = expert.chunk(cell.states(), 4)
            target = cell.ee_position
            for delta, width in zip(deltas[0], widths[0], strict=True):
                target = target + delta
                cell.set_target(target, float(width))
                cell.advance(CONTROL_PERIOD)
            assert np.linalg.norm(cell.ee_position - target) < 0.8 * expert.STEP


def test_a_batch_is_its_rows() -> None:
    """No state in a batch influences the answer for another, and no input is changed."""
    batch = scattered(20)
    before = batch.ee.copy(), batch.objects.copy(), batch.width.copy()
    deltas, widths = expert.chunk(batch, 3)
    for i in range(20):
        row = expert.States(batch.ee[i:i + 1], batch.width[i:i + 1], batch.objects[i:i + 1],
                            batch.goal[i:i + 1], batch.target[i:i + 1], batch.reference[i:i + 1])
        np.testing.assert_allclose(expert.chunk(row, 3)[0][0], deltas[i], atol=1e-12)
        np.testing.assert_array_equal(expert.chunk(row, 3)[1][0], widths[i])
    for old, now in zip(before, (batch.ee, batch.objects, batch.width), strict=True):
        np.testing.assert_array_equal(old, now)


def test_steps_are_bounded() -> None:
    """No displacement is larger than STEP, level or upright; widths are open or shut."""
    deltas, widths = expert.chunk(scattered(300), 8)
    assert np.hypot(deltas[..., 0], deltas[..., 1]).max() <= expert.STEP + 1e-9
    assert np.abs(deltas[..., 2]).max() <= expert.STEP + 1e-9
    assert set(np.unique(widths)) == {0.0, MAX_WIDTH}


def test_low_and_far_it_rises_before_it_travels() -> None:
    """A hand beside its object, among the others, goes up and not through them."""
    delta, width = expert.act(states([0.38, 0.09, REST]))
    assert delta[0, 2] > 0.02 and np.hypot(*delta[0, :2]) < 1e-6
    assert width[0] == MAX_WIDTH


def test_it_closes_only_around_the_object() -> None:
    """Above the object the fingers stay open; at its centre the hand stops and closes."""
    delta, width = expert.act(states([0.45, 0.0, REST + 0.02]))
    assert delta[0, 2] < 0 and width[0] == MAX_WIDTH
    delta, width = expert.act(states(TABLE[0]))
    assert width[0] == 0.0
    np.testing.assert_array_equal(delta[0], 0.0)


@pytest.mark.parametrize('goal', GOALS)
def test_it_lets_go_at_the_goal_and_withdraws(goal: str) -> None:
    """A held object at its goal is released; once the fingers are clear the hand goes up."""
    place = expert.goal_position(states(TABLE[0], 0.043, goal))[0]
    moved = np.array([place, *TABLE[1:]])
    assert expert.is_held(states(place, 0.043, goal, moved))[0]
    assert expert.act(states(place, 0.043, goal, moved))[1][0] == MAX_WIDTH
    rest = place - [0, 0, 0.03 if goal.endswith('bin') else 0.002]
    moved = np.array([rest, *TABLE[1:]])
    assert expert.at_goal(states(place, 0.08, goal, moved))[0]
    delta, width = expert.act(states(place, 0.08, goal, moved))
    assert delta[0, 2] > 0.0 and width[0] == MAX_WIDTH
    np.testing.assert_array_equal(delta[0, :2], 0.0)
    # Fingers still around the object: wait.
    np.testing.assert_array_equal(expert.act(states(place, 0.055, goal, moved))[0][0], 0.0)


def test_beside_avoids_what_is_in_the_way() -> None:
    """Beside means the near side of the reference, or the far side if a third object is there."""
    spot = expert.beside_spot(states(TABLE[0], goal='beside'))[0]
    np.testing.assert_allclose(spot, [0.55 - expert.BESIDE_GAP, 0.05, REST])
    blocked = TABLE.copy()
    blocked[2] = [0.55 - expert.BESIDE_GAP, 0.07, REST]
    spot = expert.beside_spot(states(TABLE[0], goal='beside', objects=blocked))[0]
    np.testing.assert_allclose(spot, [0.55 + expert.BESIDE_GAP, 0.05, REST])
