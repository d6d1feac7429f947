# SPDX-License-Identifier: Apache-2.0
"""A scripted expert that is a function of what can be seen: no clock, no hidden phase.

Every rule looks only at positions and the opening width, so a label can be computed for any state
that a policy visits (DAgger) and for states that no demonstration contains. All arrays are
batched: B states, N nameable objects.
"""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.simulation.scene import BIN_CENTERS, BIN_HALF, MAX_WIDTH, OBJECT_SIZE
from vla_drop_ros.simulation.tasks import GOALS
from vla_drop_ros.types import FloatArray

LEFT, RIGHT, ON_TOP, BESIDE = range(len(GOALS))
STEP = 0.04          # largest move a control period, [m]
GAIN = 0.7
ALIGNED = 0.010      # horizontal error at which it goes straight down, [m]
FUNNEL = 4.0         # rise of the target height per metre of horizontal error
CLEARANCE = 0.10     # height above the target while far from it, [m]
BESIDE_GAP = 0.068   # distance between centres for 'beside', [m]
RETREAT = 0.22       # height to which it withdraws when done, [m]
HELD_WIDTH = (0.036, 0.052)
_BINS = np.array([BIN_CENTERS['left'], BIN_CENTERS['right']])


@dataclass(frozen=True, slots=True)
class States:
    """A batch of states.

    Attributes:
        ee: tool centre point in base_link, [m], shape (B, 3).
        width: opening between the fingers, [m], shape (B,).
        objects: centres of the nameable objects, [m], shape (B, N, 3).
        goal: index into GOALS, shape (B,).
        target: index of the object to move, shape (B,).
        reference: index of the object it is related to (any index for bins), shape (B,).

    """

    ee: FloatArray
    width: FloatArray
    objects: FloatArray
    goal: np.ndarray
    target: np.ndarray
    reference: np.ndarray

    @property
    def target_position(self) -> FloatArray:
        """Return the centre of the object to move, shape (B, 3)."""
        return self.objects[np.arange(len(self.ee)), self.target]

    @property
    def reference_position(self) -> FloatArray:
        """Return the centre of the reference object, shape (B, 3)."""
        return self.objects[np.arange(len(self.ee)), self.reference]


def is_held(states: States) -> np.ndarray:
    """Tell whether the target is between closed fingers, shape (B,)."""
    offset = states.target_position - states.ee
    low, high = HELD_WIDTH
    return ((np.hypot(offset[:, 0], offset[:, 1]) < 0.022) & (np.abs(offset[:, 2]) < 0.022)
            & (states.width > low) & (states.width < high))


def beside_spot(states: States) -> FloatArray:
    """Return where 'beside' puts the target: before or behind the reference, shape (B, 3).

    The side on which the object already is, unless a third object or the edge of the reachable
    table is in the way; before or behind, since the fingers open to the left and right.
    """
    reference, target = states.reference_position, states.target_position
    side = np.where(target[:, 0] >= reference[:, 0], 1.0, -1.0)

    def spot(sign: FloatArray) -> FloatArray:
        place = reference.copy()
        place[:, 0] += sign * BESIDE_GAP
        place[:, 2] = OBJECT_SIZE / 2
        return place

    def blocked(place: FloatArray) -> np.ndarray:
        distance = np.linalg.norm(states.objects[:, :, :2] - place[:, None, :2], axis=2)
        rows = np.arange(len(place))
        distance[rows, states.target] = np.inf
        distance[rows, states.reference] = np.inf
        return (distance.min(1) < 0.058) | (place[:, 0] < 0.29) | (place[:, 0] > 0.65)

    first, second = spot(side), spot(-side)
    switch = blocked(first) & ~blocked(second)
    return np.where(switch[:, None], second, first)


def goal_position(states: States) -> FloatArray:
    """Return where the centre of the target is released, [m], shape (B, 3)."""
    bins = np.concatenate([_BINS[np.minimum(states.goal, 1)],
                           np.full((len(states.ee), 1), 0.055)], axis=1)
    top = states.reference_position + np.array([0.0, 0.0, OBJECT_SIZE + 0.003])
    place = np.where((states.goal == ON_TOP)[:, None], top, bins)
    return np.where((states.goal == BESIDE)[:, None],
                    beside_spot(states) + np.array([0.0, 0.0, 0.002]), place)


def at_goal(states: States) -> np.ndarray:
    """Tell whether the target rests where it should, as far as positions tell, shape (B,)."""
    target, reference = states.target_position, states.reference_position
    offset = target[:, :2] - _BINS[np.minimum(states.goal, 1)]
    in_bin = ((np.abs(offset[:, 0]) < BIN_HALF[0] - 0.012)
              & (np.abs(offset[:, 1]) < BIN_HALF[1] - 0.012) & (target[:, 2] < 0.05))
    gap = np.linalg.norm(target[:, :2] - reference[:, :2], axis=1)
    rise = target[:, 2] - reference[:, 2]
    stacked = (gap < 0.024) & (np.abs(rise - OBJECT_SIZE) < 0.010)
    adjacent = (gap > 0.040) & (gap < 0.095) & (np.abs(rise) < 0.012) & (target[:, 2] < 0.035)
    return np.where(states.goal <= RIGHT, in_bin,
                    np.where(states.goal == ON_TOP, stacked, adjacent))


def act(states: States) -> tuple[FloatArray, FloatArray]:
    """Return displacement for one control period [m] (B, 3) and commanded width [m] (B,)."""
    held, done = is_held(states), at_goal(states)
    target = states.target_position
    goal = goal_position(states)
    done &= ~held
    # What must move where: the hand to the object, or the held object to its goal.
    error = np.where(held[:, None], goal - target, target - states.ee)
    distance = np.hypot(error[:, 0], error[:, 1])
    aligned = np.where(held & (states.goal <= RIGHT), 0.025, ALIGNED)
    rise = np.clip((distance - aligned) * FUNNEL, 0.0, CLEARANCE)
    vertical = error[:, 2] + rise
    delta = np.empty_like(states.ee)
    delta[:, :2] = GAIN * error[:, :2]
    # Sideways only as far as the height is safe: never drag through a neighbour.
    free = np.clip(1.0 - vertical / 0.04, 0.0, 1.0)
    scale = np.minimum(1.0, STEP / np.maximum(GAIN * distance, 1e-9)) * free
    delta[:, :2] *= scale[:, None]
    delta[:, 2] = np.clip(GAIN * vertical, -STEP, STEP)
    ready = (distance < aligned) & (np.abs(error[:, 2]) < 0.007)
    close = np.where(held, ~ready, ready)
    delta[ready] = 0.0
    # Let go, wait until the fingers are clear, then withdraw straight up.
    delta[done] = 0.0
    delta[done, 2] = (np.clip(GAIN * (RETREAT - states.ee[:, 2]), -STEP, STEP)
                      * (states.width > 0.062))[done]
    width = np.where(close & ~done, 0.0, MAX_WIDTH)
    return delta, width


def chunk(states: States, steps: int) -> tuple[FloatArray, FloatArray]:
    """Roll the expert out kinematically: displacements (B, steps, 3) and widths (B, steps).

    The hand follows at once, fingers move 2.5 cm a period and stop at the object, a held object
    moves with the hand, a released one drops onto what is below its goal.
    """
    ee, width, objects = states.ee.copy(), states.width.copy(), states.objects.copy()
    rows = np.arange(len(ee))
    deltas, widths = np.empty((len(ee), steps, 3)), np.empty((len(ee), steps))
    for step in range(steps):
        now = States(ee, width, objects, states.goal, states.target, states.reference)
        delta, command = act(now)
        deltas[:, step], widths[:, step] = delta, command
        held = is_held(now)
        offset = np.abs(now.target_position - ee)
        between = (offset[:, 0] < 0.02) & (offset[:, 1] < 0.03) & (offset[:, 2] < 0.025)
        width = width + np.clip(command - width, -0.025, 0.025)
        width = np.where(between, np.maximum(width, OBJECT_SIZE - 0.0005), width)
        carried = held & (width < HELD_WIDTH[1])
        dropped = held & ~carried
        ee = ee + delta
        objects = objects.copy()
        objects[rows[carried], states.target[carried]] += delta[carried]
        floor = np.where(states.goal == ON_TOP, goal_position(now)[:, 2] - 0.003,
                         np.where(states.goal <= RIGHT, 0.026, OBJECT_SIZE / 2))
        objects[rows[dropped], states.target[dropped], 2] = floor[dropped]
    return deltas, widths
