# SPDX-License-Identifier: Apache-2.0
"""Draw a scene from a seed: objects, poses, task, light and camera jitter."""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.errors import TaskError, unknown
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.scene import (
    COLORS,
    DISTRACTOR_COLORS,
    DISTRACTOR_KINDS,
    DISTRACTOR_SLOTS,
    KINDS,
    OBJECT_SIZE,
    OBJECT_SLOTS,
    TABLE_X,
    TABLE_Y,
)
from vla_drop_ros.simulation.tasks import GOALS, instruction, RELATIONS, SceneObject, Task
from vla_drop_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class Variant:
    """How far a scene strays from the nominal one.

    Attributes:
        distractors: chance of each distractor to be on the table.
        light: spread of light and table colour, relative.
        camera: spread of the camera pose, [m] and, times 1.5, [rad].
        start: how much wider than in training the hand's start is spread, as a factor.

    """

    distractors: float
    light: float
    camera: float
    start: float = 1.0


VARIANTS = {
    'nominal': Variant(distractors=0.0, light=0.10, camera=0.003),
    'distractors': Variant(distractors=1.0, light=0.10, camera=0.003),
    'lighting': Variant(distractors=0.0, light=0.40, camera=0.003),
    'hard': Variant(distractors=1.0, light=0.40, camera=0.008),
    # Further out than anything in training, to see what breaks.
    'camera': Variant(distractors=0.0, light=0.10, camera=0.016),
    'start': Variant(distractors=0.0, light=0.10, camera=0.003, start=1.8),
}
TRAINED = ('nominal', 'distractors', 'lighting', 'hard')  # what the reference has seen
MIN_GAP = 0.098      # between centres of objects, [m]
DISTRACTOR_GAP = 0.100


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawn scene: everything that a seed decides.

    Attributes:
        objects: the nameable objects.
        positions: their centres and those of the distractors present, [m], shape (N + D, 3).
        yaws: rotation about z, [rad], shape (N + D,).
        distractors: (kind index, colour index) of each distractor present.
        start: where the tool centre point begins, [m].
        task: what is to be done, and its words.
        light: diffuse, ambient (each RGB), direction (3); table: RGB.
        camera_shift, camera_turn: per policy camera, [m] and [rad], shape (2, 3).

    """

    objects: tuple[SceneObject, ...]
    positions: FloatArray
    yaws: FloatArray
    distractors: tuple[tuple[int, int], ...]
    start: FloatArray
    task: Task
    instruction: str
    diffuse: FloatArray
    ambient: FloatArray
    direction: FloatArray
    table: FloatArray
    camera_shift: FloatArray
    camera_turn: FloatArray


def _place(rng: np.random.Generator, count: int, distractors: int) -> FloatArray:
    while True:
        spots: list[FloatArray] = []
        for index in range(count + distractors):
            gap = MIN_GAP if index < count else DISTRACTOR_GAP
            for _ in range(60):
                spot = np.array([rng.uniform(*TABLE_X), rng.uniform(*TABLE_Y)])
                if all(np.linalg.norm(spot - other) > gap for other in spots):
                    spots.append(spot)
                    break
        if len(spots) == count + distractors:
            return np.array(spots)


def _draw_task(rng: np.random.Generator, goal: str | None) -> Task:
    chosen = goal or GOALS[rng.integers(len(GOALS))]
    first, second = rng.permutation(OBJECT_SLOTS)[:2]
    return Task(chosen, int(first), int(second) if chosen in RELATIONS else None)


def _feasible(task: Task, positions: FloatArray) -> bool:
    """A relation must not hold at the start already, and its place must be free."""
    if task.goal not in RELATIONS:
        return True
    batch = expert.States(np.zeros((1, 3)), np.array([0.08]), positions[None, :OBJECT_SLOTS],
                          np.array([GOALS.index(task.goal)]), np.array([task.target]),
                          np.array([task.reference]))
    if task.goal == 'on_top':
        return True
    spot = expert.beside_spot(batch)[0]
    others = [p for i, p in enumerate(positions) if i not in (task.target, task.reference)]
    clear = all(np.linalg.norm(spot[:2] - other[:2]) > 0.062 for other in others)
    return clear and 0.30 < spot[0] < 0.64 and not bool(expert.at_goal(batch)[0])


def _start(rng: np.random.Generator, factor: float) -> FloatArray:
    """Return where the hand begins, [m]; wider sideways only, the height stays above all."""
    low, high = np.array([[0.36, -0.12, 0.16], [0.52, 0.12, 0.27]])
    point: FloatArray = low + (high - low) * rng.random(3)
    if factor == 1.0:  # exactly: a contact may hang on the last bit
        return point
    middle = (low + high) / 2
    return middle + (point - middle) * np.array([factor, factor, 1.0])


def draw_layout(seed: int, goal: str | None = None, variant: str = 'nominal') -> Layout:
    """Draw the scene of a seed; the same arguments give the same scene.

    Raises:
        TaskError: unknown goal or variant.

    """
    if goal is not None and goal not in GOALS:
        raise TaskError(unknown('task', goal, GOALS))
    if variant not in VARIANTS:
        raise TaskError(unknown('variant', variant, VARIANTS))
    spread = VARIANTS[variant]
    rng = np.random.default_rng([seed, 7])
    colors = rng.permutation(len(COLORS))[:OBJECT_SLOTS]
    kinds = rng.integers(len(KINDS), size=OBJECT_SLOTS)
    objects = tuple(SceneObject(tuple(KINDS)[k], tuple(COLORS)[c])
                    for k, c in zip(kinds, colors, strict=True))
    extra = int((rng.random(DISTRACTOR_SLOTS) < spread.distractors).sum())
    distractors = tuple((int(rng.integers(len(DISTRACTOR_KINDS))),
                         int(rng.integers(len(DISTRACTOR_COLORS)))) for _ in range(extra))
    task = _draw_task(rng, goal)
    while True:
        flat = _place(rng, OBJECT_SLOTS, extra)
        heights = [OBJECT_SIZE / 2] * OBJECT_SLOTS + [
            0.0 for _ in range(extra)]
        positions = np.column_stack([flat, heights])
        if _feasible(task, positions):
            break
    for slot, (kind, _) in enumerate(distractors):
        shape = DISTRACTOR_KINDS[kind]
        positions[OBJECT_SLOTS + slot, 2] = shape.size[2 if shape.geom_type == 6 else 1]
    light = spread.light
    return Layout(
        objects=objects, positions=positions,
        yaws=rng.uniform(-0.05, 0.05, OBJECT_SLOTS + extra), distractors=distractors,
        start=_start(rng, spread.start),
        task=task, instruction=instruction(task, objects, rng),
        diffuse=0.55 * (1 + light * rng.uniform(-1, 1)) * (
            1 + 0.4 * light * rng.uniform(-1, 1, 3)),
        ambient=0.35 * (1 + light * rng.uniform(-1, 1)) * (
            1 + 0.4 * light * rng.uniform(-1, 1, 3)),
        direction=np.array([-0.1, -0.3, -1.0]) + light * rng.uniform(-1, 1, 3) * [1.5, 1.5, 0.0],
        table=np.clip(np.array([0.72, 0.70, 0.66]) * (1 + 0.5 * light * rng.uniform(-1, 1, 3)),
                      0, 1),
        camera_shift=rng.normal(0, spread.camera, (2, 3)),
        camera_turn=rng.normal(0, 1.5 * spread.camera, (2, 3)))
