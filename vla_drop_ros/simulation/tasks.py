# SPDX-License-Identifier: Apache-2.0
"""What can be asked for, in words and in geometry."""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.errors import TaskError, unknown
from vla_drop_ros.simulation.scene import COLORS, KINDS

GOALS = ('left_bin', 'right_bin', 'on_top', 'beside')
RELATIONS = ('on_top', 'beside')
PHRASES = {
    'left_bin': ('put the {o} in the left bin', 'place the {o} into the left bin',
                 'move the {o} to the left bin', 'drop the {o} in the bin on the left'),
    'right_bin': ('put the {o} in the right bin', 'place the {o} into the right bin',
                  'move the {o} to the right bin', 'drop the {o} in the bin on the right'),
    'on_top': ('put the {o} on top of the {r}', 'stack the {o} on the {r}',
               'place the {o} onto the {r}', 'set the {o} on the {r}'),
    'beside': ('put the {o} next to the {r}', 'place the {o} beside the {r}',
               'move the {o} next to the {r}', 'set the {o} down beside the {r}'),
}
# Of the same words, in no phrasing that training has.
PARAPHRASES = {
    'left_bin': ('drop the {o} into the left bin', 'set the {o} in the bin on the left',
                 'move the {o} into the bin on the left', 'put the {o} into the left bin'),
    'right_bin': ('drop the {o} into the right bin', 'set the {o} in the bin on the right',
                  'move the {o} into the bin on the right', 'put the {o} into the right bin'),
    'on_top': ('place the {o} on top of the {r}', 'stack the {o} onto the {r}',
               'set the {o} down on top of the {r}', 'move the {o} onto the {r}'),
    'beside': ('put the {o} beside the {r}', 'set the {o} next to the {r}',
               'drop the {o} beside the {r}', 'place the {o} down next to the {r}'),
}
COLOR_NAMES = tuple(COLORS)
KIND_NAMES = tuple(KINDS)


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A nameable object: its kind and colour."""

    kind: str
    color: str

    @property
    def name(self) -> str:
        """Return for instance 'red cube'."""
        return f'{self.color} {self.kind}'


@dataclass(frozen=True, slots=True)
class Task:
    """Move object ``target`` to ``goal``; relations need a ``reference`` object (indices)."""

    goal: str
    target: int
    reference: int | None = None

    def __post_init__(self) -> None:
        """Refuse goals that do not exist and relations to nothing."""
        if self.goal not in GOALS:
            raise TaskError(unknown('task', self.goal, GOALS))
        if (self.reference is not None) != (self.goal in RELATIONS):
            raise TaskError(f'task {self.goal!r} with reference object {self.reference}: '
                            f'{", ".join(RELATIONS)} need one, the others take none')
        if self.reference == self.target:
            raise TaskError('an object cannot be put on or beside itself')


def noun(thing: SceneObject, rng: np.random.Generator | None = None) -> str:
    """Name an object; with ``rng`` one time in four without its kind ('red object')."""
    if rng is not None and rng.random() < 0.25:
        return f'{thing.color} object'
    return thing.name


def instruction(task: Task, objects: tuple[SceneObject, ...],
                rng: np.random.Generator | None = None) -> str:
    """Say the task in words: the first phrasing, or with ``rng`` any of them."""
    phrases = PHRASES[task.goal]
    phrase = phrases[0] if rng is None else phrases[rng.integers(len(phrases))]
    reference = '' if task.reference is None else noun(objects[task.reference], rng)
    return phrase.format(o=noun(objects[task.target], rng), r=reference)


def paraphrase(task: Task, objects: tuple[SceneObject, ...], rng: np.random.Generator) -> str:
    """Say the task in one of the ``PARAPHRASES``."""
    phrases = PARAPHRASES[task.goal]
    reference = '' if task.reference is None else noun(objects[task.reference])
    return phrases[int(rng.integers(len(phrases)))].format(
        o=noun(objects[task.target]), r=reference)


def possible_tasks(object_count: int) -> list[Task]:
    """List every task of a scene with that many nameable objects."""
    return [Task(goal, target, reference)
            for goal in GOALS for target in range(object_count)
            for reference in (range(object_count) if goal in RELATIONS else (None,))
            if reference != target]
