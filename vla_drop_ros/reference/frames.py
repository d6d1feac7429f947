# SPDX-License-Identifier: Apache-2.0
"""Frames: camera pictures of a state and the state itself, in files that are read by mapping.

One format for still scenes, demonstrations and states that a policy visited. Labels are not
stored: questions and expert actions are computed from the state when a batch is drawn, so one
frame serves every instruction that makes sense in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from vla_drop_ros.simulation.environment import PickPlaceEnvironment, POLICY_CAMERAS
from vla_drop_ros.simulation.layout import draw_layout, Layout, TRAINED
from vla_drop_ros.simulation.scene import BIN_CENTERS, MAX_WIDTH, OBJECT_SIZE, OBJECT_SLOTS
from vla_drop_ros.simulation.tasks import COLOR_NAMES, GOALS, KIND_NAMES, Task
from vla_drop_ros.types import FloatArray, ImageArray

IMAGE_SIZE = 80
STATE = np.dtype([
    ('ee', 'f4', 3), ('width', 'f4'), ('objects', 'f4', (OBJECT_SLOTS, 3)),
    ('kinds', 'i1', OBJECT_SLOTS), ('colors', 'i1', OBJECT_SLOTS),
    # The task in force when the frame was taken, and the object that the hand is busy with.
    ('goal', 'i1'), ('target', 'i1'), ('reference', 'i1'), ('busy', 'i1'),
    # Where objects, tool, left bin, right bin appear: column, row in [0, 1], per camera.
    ('seen', 'f4', (len(POLICY_CAMERAS), OBJECT_SLOTS + 3, 2)),
])


@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures, RGB uint8, shape (F, C, H, W, 3), and states, shape (F,)."""

    images: ImageArray
    states: np.ndarray

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.states)


def read(folder: Path) -> list[Frames]:
    """Map every finished shard of a folder, in order of name."""
    shards = [path.with_name(path.name.replace('.states.', '.images.'))
              for path in sorted(folder.glob('*.states.npy'))]
    return [Frames(np.load(path, mmap_mode='r'),
                   np.load(path.with_name(path.name.replace('.images.', '.states.'))))
            for path in shards]


def write(folder: Path, name: str, images: Iterable[ImageArray], states: np.ndarray) -> None:
    """Write a shard; the state file comes last and marks it finished."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f'{name}.images.npy', np.asarray(images))
    np.save(folder / f'{name}.states.npy', states)


def snapshot(environment: PickPlaceEnvironment, task: Task, busy: int) -> np.void:
    """Return the state of the scene as a record of ``STATE``."""
    record = np.zeros((), STATE)
    objects = environment.objects
    record['ee'], record['width'] = environment.ee_position, environment.gripper_width
    record['objects'] = environment.object_positions
    record['kinds'] = [KIND_NAMES.index(thing.kind) for thing in objects]
    record['colors'] = [COLOR_NAMES.index(thing.color) for thing in objects]
    record['goal'], record['target'] = GOALS.index(task.goal), task.target
    record['reference'] = task.target if task.reference is None else task.reference
    record['busy'] = busy
    points = np.concatenate([environment.object_positions, environment.ee_position[None],
                             [[*BIN_CENTERS[side], 0.0] for side in ('left', 'right')]])
    record['seen'] = [environment.project(camera, points) for camera in POLICY_CAMERAS]
    return cast(np.void, record[()])


def look(environment: PickPlaceEnvironment) -> ImageArray:
    """Return the policy's pictures, shape (C, H, W, 3)."""
    return np.stack([environment.render(camera) for camera in POLICY_CAMERAS])


def _near_goal(layout: Layout, positions: FloatArray, held: int, rng: np.random.Generator,
               ) -> FloatArray:
    """Return a point above a bin, another object, or a place beside one, funnel-shaped."""
    choice = rng.integers(4)
    other = positions[(held + 1 + rng.integers(2)) % OBJECT_SLOTS]
    if choice < 2:
        base = np.array([*BIN_CENTERS[('left', 'right')[choice]], 0.055])
    elif choice == 2:
        base = other + [0.0, 0.0, OBJECT_SIZE + 0.003]
    else:
        base = other + [rng.choice([-0.068, 0.068]), 0.0, 0.002]
    rise = rng.choice([0.0, rng.uniform(0, 0.11)])
    spread = 0.006 + 0.35 * rise
    return base + [*rng.normal(0, spread, 2), rise + abs(rng.normal(0, 0.006))]


def pose_still(environment: PickPlaceEnvironment, seed: int) -> int:
    """Put the cell into a random state that an episode could pass through; return what is busy.

    Hand far away, coming down on an object, closing on it, carrying it, or just having let go.
    """
    rng = np.random.default_rng([seed, 11])
    layout = draw_layout(seed, variant=str(rng.choice(list(TRAINED), p=[.3, .2, .2, .3])))
    environment.furnish(layout)
    positions = layout.positions[:OBJECT_SLOTS]
    busy = int(rng.integers(OBJECT_SLOTS))
    kind = rng.choice(['far', 'funnel', 'grasp', 'carry', 'place', 'done'],
                      p=[.22, .26, .12, .16, .16, .08])
    point = np.array([rng.uniform(.29, .66), rng.uniform(-.28, .28), rng.uniform(.06, .29)])
    width = MAX_WIDTH if rng.random() < 0.85 else rng.uniform(0.0, MAX_WIDTH)
    offset = np.array([*rng.normal(0, .004, 2), rng.normal(-.003, .004)])
    if kind == 'funnel':
        rise = rng.uniform(0, 0.12)
        point = positions[busy] + [*rng.normal(0, 0.006 + 0.3 * rise, 2), rise]
    elif kind == 'grasp':
        point = positions[busy] - offset
        width = rng.choice([MAX_WIDTH, rng.uniform(.044, MAX_WIDTH), rng.normal(.043, .0004)])
    elif kind in ('carry', 'place', 'done'):
        goal = _near_goal(layout, positions, busy, rng)
        if kind == 'carry':
            goal = np.array([point[0], point[1], rng.uniform(.022, .20)])
            if rng.random() < 0.4:
                goal[:2] = positions[busy, :2] + rng.normal(0, .004, 2)
        elif kind == 'done':
            goal[2] = _rest_height(positions, busy, goal)
        environment.place_object(busy, goal, rng.uniform(-.05, .05))
        point = goal - offset
        width = rng.normal(.043, .0004)
        if kind == 'done':
            width = rng.uniform(.043, MAX_WIDTH)
            if rng.random() < 0.5:
                point, width = point + [*rng.normal(0, .01, 2), rng.uniform(0, .2)], MAX_WIDTH
    point = np.clip(point, [.27, -.31, .014], [.68, .31, .32])
    environment.place_arm(environment.solve(point), float(np.clip(width, 0, MAX_WIDTH)), point)
    return busy


def _rest_height(positions: FloatArray, busy: int, goal: FloatArray) -> float:
    """Return the height at which an object rests at ``goal``: table, bin floor, or an object."""
    others = np.delete(positions, busy, axis=0)
    on_other = np.linalg.norm(others[:, :2] - goal[:2], axis=1) < 0.022
    if on_other.any():
        return float(others[on_other][0, 2] + OBJECT_SIZE)
    return OBJECT_SIZE / 2 + (0.004 if abs(goal[1]) > 0.17 else 0.0)


def render_stills(folder: Path, shard: int, size: int, kind: str = 'still') -> None:
    """Render shard number ``shard`` of ``size`` still scenes; its seeds follow from the number."""
    environment = PickPlaceEnvironment(IMAGE_SIZE)
    images = np.empty((size, len(POLICY_CAMERAS), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    states = np.empty(size, STATE)
    for index in range(size):
        busy = pose_still(environment, TRAIN_SEED + shard * size + index)
        states[index] = snapshot(environment, environment.task, busy)
        images[index] = look(environment)
    environment.close()
    write(folder, f'{kind}-{shard:04d}', images, states)


# Held-out evaluation uses seeds below this; training never does.
TRAIN_SEED = 1_000_000
