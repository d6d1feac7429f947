# SPDX-License-Identifier: Apache-2.0
"""Questions and answers about a frame, made from its state; the same words as instructions."""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.reference.frames import IMAGE_SIZE
from vla_drop_ros.reference.model import location, PATCH, THINGS
from vla_drop_ros.simulation.scene import BIN_CENTERS, OBJECT_SLOTS
from vla_drop_ros.simulation.tasks import (
    COLOR_NAMES,
    GOALS,
    instruction,
    KIND_NAMES,
    noun,
    RELATIONS,
    SceneObject,
    Task,
)

# Placing on and beside needs more precision than a bin does, and so more practice.
GOAL_SHARES = {'left_bin': 0.15, 'right_bin': 0.15, 'on_top': 0.4, 'beside': 0.3}
EE, LEFT_BIN, RIGHT_BIN = OBJECT_SLOTS, OBJECT_SLOTS + 1, OBJECT_SLOTS + 2


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, the words that answer it, and what it points at.

    Attributes:
        prompt, answer: words.
        task: the task it states, if it is an instruction.
        points: indices into the record's ``seen`` of the object meant and the place meant, or -1.

    """

    prompt: str
    answer: str
    task: Task | None
    points: tuple[int, int]


def objects_of(state: np.void) -> tuple[SceneObject, ...]:
    """Return the nameable objects of a frame."""
    return tuple(SceneObject(KIND_NAMES[kind], COLOR_NAMES[color])
                 for kind, color in zip(state['kinds'], state['colors'], strict=True))


def place_of(task: Task) -> int:
    """Return the index into ``seen`` of where a task leads."""
    if task.goal in RELATIONS:
        return int(task.reference or 0)
    return LEFT_BIN if task.goal == 'left_bin' else RIGHT_BIN


def draw_goal(rng: np.random.Generator) -> str:
    """Draw a goal after ``GOAL_SHARES``."""
    return str(rng.choice(list(GOAL_SHARES), p=list(GOAL_SHARES.values())))


def draw_task(state: np.void, rng: np.random.Generator, keep: float, busy: float) -> Task:
    """Draw a task: the frame's own with chance ``keep``, else any; about the busy object."""
    if rng.random() < keep:
        goal = GOALS[state['goal']]
        return Task(goal, int(state['target']),
                    int(state['reference']) if goal in RELATIONS else None)
    goal = draw_goal(rng)
    target = int(state['busy']) if rng.random() < busy else int(rng.integers(OBJECT_SLOTS))
    reference = int(rng.choice([i for i in range(OBJECT_SLOTS) if i != target]))
    return Task(goal, target, reference if goal in RELATIONS else None)


def instruct(state: np.void, task: Task, rng: np.random.Generator) -> Question:
    """State a task; the answer says where the object and its place are in the front picture."""
    points = (task.target, place_of(task))
    answer = ' '.join(location(float(value)) for index in points
                      for value in state['seen'][0, index])
    return Question(instruction(task, objects_of(state), rng), answer, task, points)


def ask(state: np.void, rng: np.random.Generator) -> Question:
    """Ask about one object, a relation, the gripper or the whole scene."""
    things = objects_of(state)
    first, second = (int(index) for index in rng.permutation(OBJECT_SLOTS)[:2])
    kind = rng.choice(['point', 'relation', 'holding', 'closest', 'describe'],
                      p=[.4, .2, .1, .15, .15])
    if kind == 'point':
        answer = ' '.join(location(float(value)) for value in state['seen'][0, first])
        return Question(f'point to the {noun(things[first], rng)}', answer, None, (first, -1))
    if kind == 'relation':
        side = str(rng.choice(['left', 'right']))
        left = state['objects'][first, 1] > state['objects'][second, 1]
        answer = 'yes' if left == (side == 'left') else 'no'
        return Question(f'is the {noun(things[first], rng)} {side} of the '
                        f'{noun(things[second], rng)}', answer, None, (first, second))
    distance = np.linalg.norm(state['objects'] - state['ee'], axis=1)
    if kind == 'holding':
        held = distance.min() < 0.022 and 0.036 < state['width'] < 0.052
        answer = things[int(distance.argmin())].name if held else 'nothing'
        return Question('what is the gripper holding', answer, None, (-1, -1))
    if kind == 'closest':
        return Question('what object is closest to the gripper',
                        things[int(distance.argmin())].name, None, (int(distance.argmin()), -1))
    order = np.argsort(-state['objects'][:, 1])
    return Question('describe', ' '.join(things[int(i)].name for i in order), None, (-1, -1))


def things(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return in which patch each colour and the tool appear in each picture, -1 if out of it.

    Returns:
        indices, shape (F, C, THINGS), and offsets inside the patch in [-0.5, 0.5], (..., 2).

    """
    count, cameras = len(states), states['seen'].shape[1]
    places = np.full((count, cameras, THINGS, 2), -1.0)
    rows = np.arange(count)
    for slot in range(OBJECT_SLOTS):
        places[rows, :, states['colors'][:, slot]] = states['seen'][:, :, slot]
    places[:, :, -1] = states['seen'][:, :, EE]
    return _cells(places, np.ones(places.shape[:-1], bool))


def positions(states: np.ndarray) -> np.ndarray:
    """Return objects, tool, left bin, right bin, from each camera's view, decimetres.

    The front camera stands still: where things are in base_link. The wrist camera moves with the
    tool: where they are from the tool. Shape (F, C, OBJECT_SLOTS + 3, 3).
    """
    bins = np.broadcast_to([[*BIN_CENTERS[side], 0.0] for side in ('left', 'right')],
                           (len(states), 2, 3))
    points = np.concatenate([states['objects'], states['ee'][:, None], bins], axis=1)
    return 10.0 * np.stack([points - [0.47, 0.0, 0.1], points - states['ee'][:, None]], axis=1)


def thing_positions(states: np.ndarray) -> np.ndarray:
    """Return ``positions`` of each colour and the tool, 0 if absent, (F, C, THINGS, 3)."""
    known = positions(states)
    places = np.zeros((*known.shape[:2], THINGS, 3))
    rows = np.arange(len(states))
    for slot in range(OBJECT_SLOTS):
        places[rows, :, states['colors'][:, slot]] = known[:, :, slot]
    places[:, :, -1] = known[:, :, EE]
    return places


def _cells(seen: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grid = IMAGE_SIZE // PATCH
    cell = np.floor(seen * grid)
    inside = ((cell >= 0) & (cell < grid)).all(-1) & wanted
    index = np.where(inside, cell[..., 1] * grid + cell[..., 0], -1).astype(np.int64)
    return index, np.where(inside[..., None], seen * grid - cell - 0.5, 0.0)


def patches(state: np.void, points: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the patch index of each point in each picture, -1 if out of it, and offsets.

    Returns:
        indices, shape (C, 2), and offsets inside the patch in [-0.5, 0.5], shape (C, 2, 2).

    """
    return _cells(state['seen'][:, list(points)], np.asarray(points) >= 0)
