# SPDX-License-Identifier: Apache-2.0
"""What commands and arm did after a fault, from what the listener kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.drill.motion import NUMBER_ERROR
from bench.drill.watch import CommandWatch, Sample

SPEED_WINDOW = 0.1       # [s] over which the speed of the arm is taken


@dataclass(frozen=True, slots=True)
class Reaction:
    """What commands and arm did after a fault; in [rad] where joints are commanded.

    Attributes:
        commands: how many came.
        stop_wall: from the fault to the last command that differs from the one before, wall [s].
        stop_node: the same by the stamps of the commands, [s].
        held_wall: from the fault to the first command that stands still or repeats a measured
            pose, wall [s]; infinite without one.
        last_wall: from the fault to the last command of all, [s]; 0 without one.
        commanded: largest distance of a command from the last one before the fault, [m].
        until_held: the same up to the command of ``held_wall``, [m].
        physical: largest distance of the arm from where it was at the fault, [m].
        fastest: largest speed of the arm over ``SPEED_WINDOW``, [m/s].
        before: speed of the commanded target in the moment before the fault, [m/s].
        ends_safely: whether the last command up to then is the safety action.

    """

    commands: int
    stop_wall: float
    stop_node: float
    held_wall: float
    last_wall: float
    commanded: float
    until_held: float
    physical: float
    fastest: float
    before: float
    ends_safely: bool


def reaction(watch: CommandWatch, wall: float, node: float, until: float) -> Reaction:
    """Return what happened between a fault at ``wall`` (node time ``node``) and ``until``, [s]."""
    before = [one for one in watch.commands if one.wall <= wall]
    after = [one for one in watch.commands if wall < one.wall <= until]
    stop_wall = stop_node = commanded = until_held = 0.0
    held_wall = np.inf
    last = start = before[-1] if before else None
    safe = True
    for one in after:
        safe = watch.is_safe(one, last)
        if watch.moved(one, last):
            stop_wall, stop_node = one.wall - wall, watch.time(one) - node
        if held_wall == np.inf and (stop_wall != one.wall - wall or watch.repeats_measured(one)):
            held_wall = one.wall - wall
        if start is not None:
            commanded = max(commanded, float(np.linalg.norm(one.position - start.position)))
        if held_wall == np.inf or held_wall == one.wall - wall:
            until_held = commanded
        last = one
    speed = 0.0
    if len(before) > 4 and watch.time(before[-1]) > watch.time(before[-5]):
        speed = float(np.linalg.norm(before[-1].position - before[-5].position)) / (
            watch.time(before[-1]) - watch.time(before[-5]))
    truth = [one for one in watch.truth if wall - 1.0 < one.wall <= until]
    return Reaction(
        len(after), stop_wall, stop_node, held_wall, after[-1].wall - wall if after else 0.0,
        commanded, until_held, _spread(truth, wall), _fastest(truth, wall), speed,
        safe)


def apart(truth: Sequence[Sample], first: tuple[float, float],
          second: tuple[float, float]) -> float:
    """Return how far the arm was, all through a span of stamps, from anywhere in an earlier one.

    Args:
        truth: where it was.
        first: begin and end of the earlier span, [s].
        second: of the later one, [s].

    Returns:
        The smallest distance, [m]; 0 where it was not heard in both.

    """
    before, after = (np.array([one.position for one in truth if begin <= one.stamp <= end])
                     for begin, end in (first, second))
    if not len(before) or not len(after):
        return 0.0
    return float(np.linalg.norm(after[:, None] - before[None], axis=2).min())


def _spread(truth: Sequence[Sample], wall: float) -> float:
    """Return how far the arm came from where it was at ``wall``, [m]."""
    start = next((one for one in reversed(truth) if one.wall <= wall), None)
    if start is None:
        return 0.0
    return max((float(np.linalg.norm(one.position - start.position)) for one in truth
                if one.wall > wall), default=0.0)


def _fastest(truth: Sequence[Sample], wall: float) -> float:
    """Return the largest speed of the arm after ``wall``, by the stamps, [m/s]."""
    after = [one for one in truth if one.wall > wall]
    fastest, first = 0.0, 0
    for last, one in enumerate(after):
        while one.stamp - after[first].stamp > SPEED_WINDOW + NUMBER_ERROR:
            first += 1
        took = one.stamp - after[first].stamp
        if last > first and took > SPEED_WINDOW / 2:
            fastest = max(fastest, float(
                np.linalg.norm(one.position - after[first].position)) / took)
    return fastest
