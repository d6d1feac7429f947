# SPDX-License-Identifier: Apache-2.0
"""Tasks are complete, and their words say which one it is."""

import numpy as np
import pytest

from vla_drop_ros.errors import TaskError
from vla_drop_ros.simulation.tasks import (
    GOALS,
    instruction,
    noun,
    PHRASES,
    possible_tasks,
    RELATIONS,
    SceneObject,
    Task,
)

THINGS = (SceneObject('cube', 'red'), SceneObject('cylinder', 'blue'),
          SceneObject('cube', 'green'))


def test_every_task_of_a_scene_is_listed_once() -> None:
    """Three objects: 3 tasks for each bin, and 6 ordered pairs for each relation."""
    tasks = possible_tasks(3)
    assert len(tasks) == len(set(tasks)) == 2 * 3 + 2 * 6
    assert {task.goal for task in tasks} == set(GOALS)


def test_different_tasks_have_different_words() -> None:
    """Within a phrasing, no two tasks of a scene are said alike."""
    said = [instruction(task, THINGS) for task in possible_tasks(3)]
    assert len(set(said)) == len(said)


def test_every_phrasing_names_what_it_is_about() -> None:
    """Every phrase has room for the object, and for the other object where there is one."""
    for goal, phrases in PHRASES.items():
        assert len(phrases) >= 3
        for phrase in phrases:
            assert '{o}' in phrase
            assert ('{r}' in phrase) == (goal in RELATIONS)


def test_phrasings_vary_with_the_generator() -> None:
    """With a generator all phrasings occur, and an object is sometimes named by colour only."""
    rng = np.random.default_rng(0)
    said = {instruction(Task('left_bin', 0), THINGS, rng) for _ in range(100)}
    assert len(said) == 2 * len(PHRASES['left_bin'])
    assert {noun(THINGS[0], rng) for _ in range(30)} == {'red cube', 'red object'}


@pytest.mark.parametrize(('fields', 'message'), [
    (('juggle', 0), 'left_bin'), (('on_top', 0), 'reference object None'),
    (('left_bin', 0, 1), 'the others take none'), (('beside', 1, 1), 'beside itself')])
def test_tasks_that_make_no_sense_are_refused(fields: tuple[str, int], message: str) -> None:
    """An unknown goal, a relation to nothing and an object beside itself name the fix."""
    with pytest.raises(TaskError, match=message):
        Task(*fields)
