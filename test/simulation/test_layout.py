# SPDX-License-Identifier: Apache-2.0
"""What a seed decides: scenes that repeat, can be solved, and vary as the variant says."""

from dataclasses import astuple

import numpy as np
import pytest

from vla_drop_ros.errors import TaskError
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.layout import draw_layout, Layout, MIN_GAP, VARIANTS
from vla_drop_ros.simulation.scene import DISTRACTOR_SLOTS, OBJECT_SLOTS, TABLE_X, TABLE_Y
from vla_drop_ros.simulation.tasks import GOALS

SEEDS = range(40)


def same(one: Layout, other: Layout) -> bool:
    """Tell whether two layouts agree in every number and word."""
    return all(np.array_equal(a, b) for a, b in zip(astuple(one), astuple(other), strict=True))


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_same_seed_is_the_same_scene(variant: str) -> None:
    """A seed decides everything, and another seed decides otherwise."""
    first = draw_layout(11, variant=variant)
    assert same(first, draw_layout(11, variant=variant))
    assert not same(first, draw_layout(12, variant=variant))


@pytest.mark.parametrize('variant', VARIANTS)
def test_objects_stand_apart_on_the_table(variant: str) -> None:
    """Between any two nameable objects the hand has room, and all of them are in reach."""
    for seed in SEEDS:
        spots = draw_layout(seed, variant=variant).positions[:OBJECT_SLOTS, :2]
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=2)[np.triu_indices(3, 1)]
        assert gaps.min() > MIN_GAP
        assert ((spots >= [TABLE_X[0], TABLE_Y[0]]) & (spots <= [TABLE_X[1], TABLE_Y[1]])).all()


def test_a_colour_names_one_object() -> None:
    """No two nameable objects share a colour: 'the red object' is never ambiguous."""
    for seed in SEEDS:
        colors = [thing.color for thing in draw_layout(seed).objects]
        assert len(set(colors)) == OBJECT_SLOTS


def test_the_seed_alone_chooses_among_all_goals() -> None:
    """Without a given task all goals, objects and kinds occur."""
    layouts = [draw_layout(seed) for seed in SEEDS]
    assert {layout.task.goal for layout in layouts} == set(GOALS)
    assert {layout.task.target for layout in layouts} == set(range(OBJECT_SLOTS))
    assert {thing.kind for layout in layouts for thing in layout.objects} == {'cube', 'cylinder'}


@pytest.mark.parametrize('goal', GOALS)
def test_the_task_asked_for_is_open(goal: str) -> None:
    """A given task is the one set up, and nothing is done yet at the start."""
    for seed in SEEDS:
        layout = draw_layout(seed, goal)
        assert layout.task.goal == goal
        assert layout.objects[layout.task.target].color in layout.instruction
        assert not expert.at_goal(expert.States(
            np.zeros((1, 3)), np.array([0.08]), layout.positions[None, :OBJECT_SLOTS],
            np.array([GOALS.index(goal)]), np.array([layout.task.target]),
            np.array([layout.task.reference or 0])))[0]


def test_distractors_come_with_their_variants() -> None:
    """'distractors' and 'hard' put two more things on the table, the others none."""
    for variant in VARIANTS:
        wanted = DISTRACTOR_SLOTS if variant in ('distractors', 'hard') else 0
        assert {len(draw_layout(seed, variant=variant).distractors) for seed in SEEDS} == {wanted}


def test_a_wider_start_changes_nothing_else() -> None:
    """'start' begins further to the sides, up to 1.8 times, in the scene of the same seed."""
    usual = [draw_layout(seed) for seed in SEEDS]
    wide = [draw_layout(seed, variant='start') for seed in SEEDS]
    assert all(np.array_equal(one.positions, other.positions)
               for one, other in zip(usual, wide, strict=True))
    assert np.ptp([one.start[1] for one in wide]) == pytest.approx(
        1.8 * np.ptp([one.start[1] for one in usual]))
    assert all(one.start[2] == other.start[2] for one, other in zip(usual, wide, strict=True))


def test_light_and_camera_stray_as_far_as_the_variant_says() -> None:
    """Light varies more under 'lighting', the camera pose more under 'hard'."""
    def spread(variant: str) -> tuple[float, float]:
        layouts = [draw_layout(seed, variant=variant) for seed in SEEDS]
        return (float(np.std([layout.diffuse for layout in layouts])),
                float(np.std([layout.camera_shift for layout in layouts])))

    nominal, lighting, hard = (spread(variant) for variant in ('nominal', 'lighting', 'hard'))
    assert lighting[0] > 2 * nominal[0]
    assert hard[1] > 2 * nominal[1] == pytest.approx(2 * lighting[1])


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'goal': 'left'}, "Did you mean 'left_bin'"), ({'variant': 'dark'}, 'nominal')])
def test_unknown_names_are_refused(arguments: dict[str, str], message: str) -> None:
    """An unknown task or variant is answered with the valid ones."""
    with pytest.raises(TaskError, match=message):
        draw_layout(0, **arguments)
