# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of the simulator's expert, also from states that something else got into.

A recording from the start shows only how it goes well. Where a policy, or a wandering hand, has
driven before and the expert takes over, the recording shows how to get back: HG-DAgger
(arXiv 1810.02890) with the expert in the place of the person. What came before is not recorded.

An action is the displacement that the hand made until the next frame, so that those of a chunk add
up to the way that was taken, and the gripper's width as it was commanded.
"""

from collections.abc import Collection, Sequence

import numpy as np

from vla_drop_ros.dataset.writer import DatasetWriter
from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.policies.policy import Policy
from vla_drop_ros.reference.rollouts import execute
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.simulation.tasks import COLOR_NAMES, GOALS
from vla_drop_ros.types import Observation

MAX_STEPS = 90
DRIVEN_STEPS = 30
WANDER = 0.012  # standard deviation of what is added to the expert's displacement, [m]

Pair = tuple[str, str]


def pairs(texts: Sequence[str]) -> frozenset[Pair]:
    """Return (colour, goal) of texts such as ``red:left_bin``.

    Raises:
        VlaDropError: no such colour or goal.

    """
    found = set()
    for text in texts:
        color, _, goal = text.partition(':')
        for what, word, known in (('colour', color, COLOR_NAMES), ('goal', goal, GOALS)):
            if word not in known:
                raise VlaDropError(f'{text!r}: {unknown(what, word, known)} Write for instance '
                                   f'{COLOR_NAMES[0]}:{GOALS[0]}')
        found.add((color, goal))
    return frozenset(found)


def asked(environment: PickPlaceEnvironment) -> Pair:
    """Return colour of the object to move and goal of the scene."""
    task = environment.task
    return environment.objects[task.target].color, task.goal


def demonstrate(environment: PickPlaceEnvironment, writer: DatasetWriter, seed: int,
                variants: Sequence[str], drivers: Sequence[Policy | None],
                without: Collection[Pair] = ()) -> int:
    """Record the episode of a seed; return its frames, 0 if there is none to keep.

    Args:
        environment: the cell.
        writer: gets the frames.
        seed: of the scene and of everything drawn here.
        variants: one is drawn.
        drivers: what may drive first, each as often as the expert alone: a policy, or None for
            the expert with a random displacement added.
        without: (colour, goal) that are not recorded.

    """
    rng = np.random.default_rng([seed, 23])
    environment.reset(seed, variant=variants[int(rng.integers(len(variants)))])
    if asked(environment) in without:
        return 0
    turn = int(rng.integers(len(drivers) + 1))
    if turn:
        _drive(environment, drivers[turn - 1], rng, int(rng.integers(1, DRIVEN_STEPS + 1)))
    steps, task = 0, environment.task
    while steps < MAX_STEPS and not environment.succeeded(task):
        seen = environment.observation()
        deltas, widths = expert.act(environment.states(task))
        execute(environment, np.append(deltas[0], widths[0])[None])
        # What the hand did, not what it was told: the arm lags behind, the expert tells it anew
        # from where it is, and displacements so told would add up to more than the way taken.
        done = environment.ee_position - seen.state[:3]
        writer.add(seen.images, seen.state, np.append(done, widths[0]))
        steps += 1
    if steps and environment.succeeded(task):
        writer.end_episode(environment.instruction)
        return steps
    writer.abandon()
    return 0


def _drive(environment: PickPlaceEnvironment, driver: Policy | None, rng: np.random.Generator,
           steps: int) -> None:
    """Let something else move the arm for a while, or until it is done."""
    task, words = environment.task, environment.instruction
    if driver is not None:
        driver.reset()
    while steps > 0 and not environment.succeeded(task):
        if driver is None:
            deltas, widths = expert.act(environment.states(task))
            moved = deltas[0] + rng.normal(0, WANDER, 3)
            execute(environment, np.append(moved, widths[0])[None])
            steps -= 1
            continue
        now = environment.observation()
        chunk = driver.infer(Observation(now.stamp, now.images, now.state, words))
        taken = min(steps, driver.spec.executed_steps)
        execute(environment, chunk.actions[:taken])
        steps -= taken
