# SPDX-License-Identifier: Apache-2.0
"""Questions about a state made by hand have the answers that a person would give."""

import re
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.policies.prompt import UNKNOWN_ID, word_ids
from vla_drop_ros.reference import questions
from vla_drop_ros.reference.frames import STATE
from vla_drop_ros.reference.model import location, LOCATION_BINS, PATCHES, vocabulary
from vla_drop_ros.simulation.tasks import COLOR_NAMES, GOALS, KIND_NAMES, possible_tasks, Task

NAMES = ('red cube', 'blue cylinder', 'green cube')
GRID = 5


@pytest.fixture
def state() -> Any:
    """Return a scene: red cube on the left, green cube in the middle, blue cylinder right."""
    record = np.zeros((), STATE)
    record['ee'], record['width'] = [0.45, 0.02, 0.05], 0.08
    record['objects'] = [[0.40, 0.09, 0.022], [0.50, -0.08, 0.022], [0.45, 0.01, 0.022]]
    record['kinds'] = [KIND_NAMES.index(name.split()[1]) for name in NAMES]
    record['colors'] = [COLOR_NAMES.index(name.split()[0]) for name in NAMES]
    record['goal'], record['target'], record['reference'] = GOALS.index('on_top'), 0, 1
    record['busy'] = 2
    # Objects, tool, left bin, right bin; in the hand's own camera some are out of the picture.
    record['seen'] = [
        [[0.9125, 0.11], [0.1, 0.5], [0.5, 0.3], [0.55, 0.25], [0.99, 0.6], [0.01, 0.6]],
        [[1.4, 0.1], [0.1, -2.0], [0.5, 0.9], [0.5, 0.99], [3.0, 0.0], [-3.0, 0.0]]]
    return record[()]


def asked(state: Any, pattern: str, draws: int = 300) -> list[tuple[re.Match[str], str]]:
    """Return every distinct question that fits the pattern, with its answer."""
    rng = np.random.default_rng(1)
    found = [questions.ask(state, rng) for _ in range(draws)]
    matches = [(re.fullmatch(pattern, one.prompt), one.answer) for one in found]
    result = {match[0]: (match, answer) for match, answer in matches if match}
    assert result
    return list(result.values())


def index_of(words: str) -> int:
    """Return the object that 'red cube' or 'red object' means."""
    return next(i for i, name in enumerate(NAMES) if name.split()[0] == words.split()[0])


def test_relations_are_the_robots(state: Any) -> None:
    """Left is the robot's left, +y: the red cube is left of all others, the blue right of all."""
    order = [0, 2, 1]
    seen = asked(state, r'is the (\w+ \w+) (left|right) of the (\w+ \w+)')
    for match, answer in seen:
        left = order.index(index_of(match[1])) < order.index(index_of(match[3]))
        assert answer == ('yes' if left == (match[2] == 'left') else 'no'), match[0]
    assert {answer for _, answer in seen} == {'yes', 'no'}


def test_pointing_says_where_in_the_front_picture(state: Any) -> None:
    """The answer is the column and the row of the object named, as words."""
    for match, answer in asked(state, r'point to the (\w+ \w+)'):
        column, row = state['seen'][0, index_of(match[1])]
        assert answer == f'loc{int(column * 40):02d} loc{int(row * 40):02d}'


def test_scene_questions(state: Any) -> None:
    """The closest object, an empty gripper, and all objects from left to right."""
    assert [a for _, a in asked(state, 'what object is closest to the gripper')] == ['green cube']
    assert [a for _, a in asked(state, 'what is the gripper holding')] == ['nothing']
    assert [a for _, a in asked(state, 'describe')] == ['red cube green cube blue cylinder']


def test_a_held_object_is_named(state: Any) -> None:
    """Fingers closed around an object hold it; open around it they hold nothing."""
    state['ee'] = state['objects'][1]
    for width, answer in ((0.0435, 'blue cylinder'), (0.08, 'nothing')):
        state['width'] = width
        assert [a for _, a in asked(state, 'what is the gripper holding')] == [answer]


def test_an_instruction_locates_object_and_place(state: Any) -> None:
    """The answer to an instruction points at the object, then at the bin or the other object."""
    rng = np.random.default_rng(0)
    for task in possible_tasks(3):
        question = questions.instruct(state, task, rng)
        place = {'left_bin': 4, 'right_bin': 5}.get(task.goal, task.reference)
        assert question.points == (task.target, place)
        assert question.task == task
        spots = [*state['seen'][0, task.target], *state['seen'][0, place]]
        assert question.answer == ' '.join(location(float(value)) for value in spots)
        assert NAMES[task.target].split()[0] in question.prompt


def test_no_word_is_unknown(state: Any) -> None:
    """Every word of every question, instruction and answer is in the vocabulary."""
    tokenizer, rng = vocabulary(), np.random.default_rng(2)
    tasks = possible_tasks(3)
    for index in range(300):
        question = questions.ask(state, rng) if index % 2 else questions.instruct(
            state, tasks[index % len(tasks)], rng)
        for text in (question.prompt, question.answer):
            assert UNKNOWN_ID not in word_ids(tokenizer, text), text


def test_tasks_drawn(state: Any) -> None:
    """The frame's own task is kept with its chance; else the busy object is preferred."""
    rng = np.random.default_rng(3)
    assert questions.draw_task(state, rng, 1.0, 0.0) == Task('on_top', 0, 1)
    busy = [questions.draw_task(state, rng, 0.0, 1.0) for _ in range(100)]
    assert {task.target for task in busy} == {2}
    assert {task.goal for task in busy} == set(GOALS)
    free = {questions.draw_task(state, rng, 0.0, 0.0) for _ in range(500)}
    assert free == set(possible_tasks(3))


def test_locations_are_words() -> None:
    """A coordinate becomes one of the location words; what is out of the picture, the edge."""
    assert location(0.0) == location(-3.0) == 'loc00'
    assert location(0.5) == 'loc20'
    assert location(1.0) == location(7.0) == f'loc{LOCATION_BINS - 1}'


def test_patches(state: Any) -> None:
    """A point is in the patch of its row and column, offset from the middle; outside is -1."""
    index, offset = questions.patches(state, (0, 2))
    np.testing.assert_array_equal(index, [[0 * GRID + 4, 1 * GRID + 2], [-1, 4 * GRID + 2]])
    np.testing.assert_allclose(offset[0], [[0.0625, 0.05], [0.0, 0.0]], atol=1e-6)
    index, _ = questions.patches(state, (1, -1))
    np.testing.assert_array_equal(index, [[2 * GRID + 0, -1], [-1, -1]])
    assert PATCHES == GRID ** 2


def test_things_are_found_by_colour(state: Any) -> None:
    """Each colour is in the patch of the object that has it; an absent colour is nowhere."""
    index, _ = questions.things(np.array([state]))
    front = dict(zip((*COLOR_NAMES, 'tool'), index[0, 0], strict=True))
    assert front == {'red': 4, 'green': 7, 'blue': 10, 'yellow': -1, 'tool': 7}
    places = questions.thing_positions(np.array([state]))[0]
    red = COLOR_NAMES.index('red')
    # Decimetres: in base_link from the front, from the tool in the hand's own camera.
    np.testing.assert_allclose(places[0, red], [-0.7, 0.9, -0.78], atol=1e-5)
    np.testing.assert_allclose(places[1, red], [-0.5, 0.7, -0.28], atol=1e-5)
    np.testing.assert_array_equal(places[:, COLOR_NAMES.index('yellow')], 0.0)
