# SPDX-License-Identifier: Apache-2.0
"""The cell repeats bit for bit, and success means released, still and at the goal."""

from collections.abc import Iterator

import numpy as np
import pytest

from vla_drop_ros.errors import SimulationError, TaskError
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import (
    CONTROL_PERIOD,
    PickPlaceEnvironment,
    POLICY_CAMERAS,
)
from vla_drop_ros.simulation.layout import draw_layout
from vla_drop_ros.simulation.scene import BIN_CENTERS, COLORS, MAX_WIDTH, OBJECT_SIZE
from vla_drop_ros.simulation.tasks import GOALS, RELATIONS
from vla_drop_ros.types import FloatArray, ImageArray

AWAY = np.array([0.32, 0.0, 0.30])
REST = OBJECT_SIZE / 2


@pytest.fixture(scope='module')
def cell() -> Iterator[PickPlaceEnvironment]:
    """Return one cell for all tests; each sets up its own scene."""
    made = PickPlaceEnvironment()
    yield made
    made.close()


def run(cell: PickPlaceEnvironment, seed: int, steps: int = 20) -> FloatArray:
    """Return all positions and velocities after steps of the expert."""
    cell.restore(draw_layout(seed, variant='hard'))
    for _ in range(steps):
        delta, width = expert.act(cell.states())
        cell.set_target(cell.ee_position + delta[0], float(width[0]))
        cell.advance(CONTROL_PERIOD)
    return np.concatenate([cell._data.qpos, cell._data.qvel])


def settle(cell: PickPlaceEnvironment, goal: str, at: FloatArray | None = None,
           hand: FloatArray = AWAY, width: float = MAX_WIDTH, index: int | None = None) -> None:
    """Put an object (the target) at the goal, the hand somewhere, and wait half a second."""
    task = cell.task
    place = finished(cell, goal) if at is None else at
    cell.place_object(task.target if index is None else index, place)
    cell.place_arm(cell.solve(hand), width, hand)
    cell.set_target(hand, 0.0 if width < MAX_WIDTH else width)
    cell.advance(0.5)


def finished(cell: PickPlaceEnvironment, goal: str) -> FloatArray:
    """Return where the target rests when the task is done."""
    if goal not in RELATIONS:
        return np.array([*BIN_CENTERS[goal.removesuffix('_bin')], REST + 0.004])
    assert cell.task.reference is not None
    reference = cell.object_positions[cell.task.reference]
    if goal == 'on_top':
        return reference + [0.0, 0.0, OBJECT_SIZE]
    return expert.beside_spot(cell.states())[0]


def test_same_seed_same_physics(cell: PickPlaceEnvironment) -> None:
    """After 20 steps every number is the same, in a used cell and in a fresh one."""
    first = run(cell, 3)
    assert not np.array_equal(first, run(cell, 4))
    np.testing.assert_array_equal(first, run(cell, 3))
    np.testing.assert_array_equal(first, run(PickPlaceEnvironment(), 3))


def test_same_seed_same_pictures(cell: PickPlaceEnvironment) -> None:
    """A reset shows the same observation again, to the pixel; another variant looks different."""
    first, other, again = (cell.reset(2, variant=variant)
                           for variant in ('lighting', 'nominal', 'lighting'))
    for camera in POLICY_CAMERAS:
        np.testing.assert_array_equal(first.images[camera], again.images[camera])
        assert (first.images[camera] != other.images[camera]).any()
    np.testing.assert_array_equal(first.state, again.state)
    assert first.instruction == again.instruction == cell.instruction


def test_time_goes_on(cell: PickPlaceEnvironment) -> None:
    """A reset does not turn the clock back, and time counts what was simulated."""
    cell.restore(draw_layout(0))
    before = cell.time
    cell.advance(0.1)
    cell.restore(draw_layout(1))
    assert cell.time == pytest.approx(before + 0.1)


@pytest.mark.parametrize('goal', GOALS)
def test_resting_at_the_goal_is_success(cell: PickPlaceEnvironment, goal: str) -> None:
    """The object at its goal, still, the hand away: success, and only after it is there."""
    cell.restore(draw_layout(5, goal))
    assert (cell.success, cell.moved_object) == (False, None)
    settle(cell, goal)
    assert (cell.success, cell.moved_object) == (True, cell.objects[cell.task.target].name)


@pytest.mark.parametrize('goal', GOALS)
def test_held_at_the_goal_is_no_success(cell: PickPlaceEnvironment, goal: str) -> None:
    """The same place with the fingers closed on the object does not count; released it does."""
    cell.restore(draw_layout(5, goal))
    place = finished(cell, goal)
    settle(cell, goal, hand=place, width=OBJECT_SIZE)
    assert expert.at_goal(cell.states())[0] and not cell.success
    cell.set_target(place, MAX_WIDTH)
    cell.advance(0.4)
    cell.set_target(place + [0.0, 0.0, 0.12], MAX_WIDTH)
    cell.advance(0.8)
    assert cell.success


def test_sliding_through_the_goal_is_no_success(cell: PickPlaceEnvironment) -> None:
    """An object that moves while it passes its goal does not count until it lies still."""
    cell.restore(draw_layout(5, 'left_bin'))
    settle(cell, 'left_bin')
    speed = cell._data.qvel[cell._model.joint(f'object{cell.task.target}').dofadr[0]:]
    speed[1] = 0.3
    cell.advance(0.02)
    assert expert.at_goal(cell.states())[0] and not cell.success
    cell.advance(0.5)
    assert cell.success


def test_the_wrong_place_and_the_wrong_object_do_not_count(cell: PickPlaceEnvironment) -> None:
    """The other bin, or another object in the right bin, is no success, and is told."""
    layout = draw_layout(5, 'left_bin')
    cell.restore(layout)
    settle(cell, 'left_bin', at=finished(cell, 'right_bin'))
    assert not cell.success
    cell.restore(layout)
    other = (cell.task.target + 1) % 3
    settle(cell, 'left_bin', index=other)
    assert not cell.success
    assert cell.moved_object == cell.objects[other].name


def test_a_grasp_holds_by_friction(cell: PickPlaceEnvironment) -> None:
    """Closed fingers carry the object up; opened, it falls: nothing is attached."""
    cell.restore(draw_layout(5))
    target = cell.task.target
    spot = cell.object_positions[target]
    settle(cell, 'left_bin', at=spot, hand=spot, width=OBJECT_SIZE)
    for rise in (0.05, 0.10, 0.15):
        cell.set_target(spot + [0.0, 0.0, rise], 0.0)
        cell.advance(0.3)
    assert cell.object_positions[target, 2] > 0.12
    assert cell.gripper_width == pytest.approx(OBJECT_SIZE, abs=0.004)
    cell.set_target(spot + [0.0, 0.0, 0.15], MAX_WIDTH)
    cell.advance(0.8)
    assert cell.object_positions[target, 2] < 0.04


def test_the_state_is_what_the_joints_say(cell: PickPlaceEnvironment) -> None:
    """The policy's state is the tool centre point and the sum of the finger positions."""
    cell.restore(draw_layout(6))
    cell.set_target(cell.ee_position, 0.03)
    cell.advance(0.5)
    joints = dict(zip(cell.joint_names, cell.joint_positions, strict=True))
    width = joints['finger_joint1'] + joints['finger_joint2']
    np.testing.assert_allclose(cell.state, [*cell.ee_position, width])
    assert width == pytest.approx(0.03, abs=0.002)
    assert cell.joint_velocities.shape == cell.joint_positions.shape == (9,)


def shown(image: ImageArray, at: FloatArray) -> str:
    """Return the name of the colour that the pixel at (column, row) in [0, 1] is closest to."""
    column, row = (at * image.shape[0]).astype(int)
    pixel = image[row, column] / np.linalg.norm(image[row, column])
    return max(COLORS, key=lambda name: pixel @ COLORS[name] / np.linalg.norm(COLORS[name]))


@pytest.mark.parametrize('seed', range(4))
def test_projection_lands_on_the_object(cell: PickPlaceEnvironment, seed: int) -> None:
    """The pixel at the projection of an object's centre has the object's colour."""
    cell.restore(draw_layout(seed))
    hand = {'front': np.array([0.30, -0.30, 0.30]),
            'wrist': cell.object_positions[0] + [-0.10, 0.0, 0.18]}
    for camera, point in hand.items():
        cell.place_arm(cell.solve(point), MAX_WIDTH, point)
        image = cell.render(camera)
        seen = cell.project(camera, cell.object_positions)
        inside = [index for index in range(3) if (abs(seen[index] - 0.5) < 0.48).all()]
        assert 0 in inside
        for index in inside:
            assert shown(image, seen[index]) == cell.objects[index].color, camera


def test_bad_input_names_what_is_valid(cell: PickPlaceEnvironment) -> None:
    """Unknown task, variant and camera list the valid ones; a target must be finite."""
    for task in cell.tasks_available():
        with pytest.raises(TaskError, match=task):
            cell.reset(0, task='juggle')
    for variant in cell.variants_available():
        with pytest.raises(TaskError, match=variant):
            cell.reset(0, variant='dark')
    with pytest.raises(SimulationError, match='front, studio, wrist'):
        cell.render('back')
    for position, width in ((np.array([0.4, np.nan, 0.2]), 0.04), (AWAY, np.inf)):
        with pytest.raises(SimulationError, match='finite'):
            cell.set_target(position, width)


def test_the_width_is_kept_to_what_the_gripper_can(cell: PickPlaceEnvironment) -> None:
    """A command wider than the gripper opens it as far as it goes."""
    cell.restore(draw_layout(0))
    cell.set_target(cell.ee_position, 0.5)
    cell.advance(0.3)
    assert cell.gripper_width <= MAX_WIDTH + 1e-3
