# SPDX-License-Identifier: Apache-2.0
"""What a policy must know to continue the chunk in force instead of starting afresh.

Real-time chunking (Black et al. 2025, arXiv 2506.07339): while the policy thinks, the robot goes
on with the old chunk, so the new one should begin with what will have been executed when it takes
over, and agree with the rest of the old one the less, the later. How many steps will have been
executed is what the gate measured, from the capture of an observation to the first command of its
chunk; the time that inference takes says too little.

Displacements count from where the robot is measured at a stamp, and an arm is measured behind what
it is commanded. So what will be executed is not the old displacements, but the way from where the
arm is now to where they lead: the first step of the prefix makes up for the lag.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
import threading

import numpy as np

from vla_drop_ros.runtime import rotation
from vla_drop_ros.types import (
    ActionChunk,
    ActionPrefix,
    ActionSpec,
    FloatArray,
    GRIPPER_NAME,
    ROTATION_NAMES,
)

_ROUNDING = 1e-6  # of a step: stamps are sums of floating-point numbers


class ChunkMemory:
    """The chunk in force and the delays so far. May be called from several threads.

    After a start nothing is known: the first chunk has no prefix, and until a delay is known every
    step that the chunk in force still covers counts as frozen. The same holds where the delay is
    longer than what is left of the chunk: then the arm waits at the end of it for the new one, and
    no prefix can bridge that; ask for chunks earlier.
    """

    def __init__(self, window: int = 32, quantile: float = 0.95) -> None:
        """Judge by the last delays.

        Args:
            window: delays remembered.
            quantile: share of them that the assumed delay covers, > 0, <= 1. An underestimate lets
                the new chunk contradict what has been executed already, an overestimate only makes
                the robot answer later.

        """
        self._quantile = quantile
        self._delays: deque[float] = deque(maxlen=window)
        self._chunk: ActionChunk | None = None
        self._start: FloatArray | None = None
        self._seen: tuple[float, FloatArray | None] | None = None
        self._cold = True
        self._lock = threading.Lock()

    def remember(self, chunk: ActionChunk) -> None:
        """Take a chunk that was published; one that the gate will refuse changes nothing."""
        with self._lock:
            if np.isfinite(chunk.actions).all() and (
                    self._chunk is None or chunk.stamp > self._chunk.stamp):
                seen = self._seen
                self._start = seen[1] if seen and seen[0] == chunk.stamp else None
                self._chunk = chunk

    def restart(self) -> None:
        """Forget everything: a new instruction, a pause, another policy."""
        with self._lock:
            self._chunk = self._start = self._seen = None
            self._delays.clear()
            self._cold = True

    def add_delay(self, seconds: float) -> None:
        """Take the time from a capture to the first command of its chunk, as the gate measured it.

        The first after a restart is left out: it holds warm-up that will not come again. What is
        no duration is left out, too.
        """
        with self._lock:
            if not (np.isfinite(seconds) and seconds >= 0):
                return
            if self._cold:
                self._cold = False
            else:
                self._delays.append(seconds)

    def delay(self, period: float) -> int | None:
        """Return the steps of ``period`` [s] that pass before a chunk takes over, or None."""
        with self._lock:
            return self._steps(period)

    def prefix(self, stamp: float, spec: ActionSpec,
               here: FloatArray | None = None) -> ActionPrefix | None:
        """Return what the chunk in force says from ``stamp`` [s] on, on the steps of ``spec``.

        Displacements are those of the path between the new steps' ends, poses those on it, a
        gripper width that in force in the middle of the step. Only steps that the chunk in force
        covers whole are returned.

        Args:
            stamp: of the new observation, [s].
            spec: of the policy that is about to see it.
            here: where the robot is measured at the stamp, as an absolute action would say it,
                shape (len(spec.names),); the gripper's value is not used. Displacements then begin
                there, if it was given for the observation of the chunk in force, too; else on the
                path of that chunk.

        Returns:
            None where nothing is left to continue: no chunk, one that ends within the first step,
            one of a later observation, or one in another action language.

        """
        with self._lock:
            chunk, start, delay = self._chunk, self._start, self._steps(spec.period)
            self._seen = (stamp, here)
        if chunk is None or stamp < chunk.stamp - _ROUNDING * spec.period or (
                chunk.spec.names, chunk.spec.frame, chunk.spec.reference) != (
                spec.names, spec.frame, spec.reference):
            return None
        left = chunk.stamp + chunk.spec.period * len(chunk.actions) - stamp
        count = min(spec.chunk_length, int(np.floor(left / spec.period + _ROUNDING)))
        if count < 1:
            return None
        # in steps of the old chunk, so that neither stamp's size costs digits
        knots = (stamp - chunk.stamp + spec.period * np.arange(count + 1)) / chunk.spec.period
        frozen = count if delay is None else min(count, max(1, delay))
        actions = _resampled(chunk, np.clip(knots, 0.0, len(chunk.actions)), start, here)
        return ActionPrefix(actions, frozen)

    def _steps(self, period: float) -> int | None:
        if not self._delays:
            return None
        assumed = np.quantile(np.array(self._delays), self._quantile, method='higher')
        return ceil(float(assumed) / period - _ROUNDING)


def _resampled(chunk: ActionChunk, knots: FloatArray, start: FloatArray | None,
               here: FloatArray | None) -> FloatArray:
    """Return the actions between ``knots``, which count steps of the chunk, shape (n, A).

    Displacements begin at ``here``, the chunk's at ``start``; without both, on the chunk's path.
    """
    actions, names = chunk.actions, chunk.spec.names
    delta = chunk.spec.reference == 'delta'
    found = np.empty((len(knots) - 1, len(names)))
    for column, name in enumerate(names):
        if name == GRIPPER_NAME:
            step = np.floor((knots[:-1] + knots[1:]) / 2 + _ROUNDING).astype(int)
            found[:, column] = actions[np.minimum(step, len(actions) - 1), column]
        elif name in ROTATION_NAMES:
            continue
        elif delta:
            path = np.concatenate([[0.0], np.cumsum(actions[:, column])])
            places = np.interp(knots, np.arange(len(path)), path)
            if start is not None and here is not None:
                places[0] = here[column] - start[column]
            found[:, column] = np.diff(places)
        else:  # step i is where the arm is at its end, which is knot i + 1
            found[:, column] = np.interp(
                knots[1:], np.arange(1, len(actions) + 1), actions[:, column])
    if any(name in ROTATION_NAMES for name in names):
        turning = [column for column, name in enumerate(names) if name in ROTATION_NAMES]
        found[:, turning] = _turns(chunk, knots, start, here)[
            :, [ROTATION_NAMES.index(names[column]) for column in turning]]
    return found


def _turns(chunk: ActionChunk, knots: FloatArray, start: FloatArray | None,
           here: FloatArray | None) -> FloatArray:
    """Return the rotation vectors between ``knots``, or at their ends, [rad], shape (n, 3)."""
    names, delta = chunk.spec.names, chunk.spec.reference == 'delta'
    begun = None if start is None or here is None else (start, here)
    first = np.zeros(3) if begun is None else _vector(names, begun[0])
    turns = [rotation.from_vector(_vector(names, action)) for action in chunk.actions]
    path = [rotation.from_vector(first) if delta else turns[0]]
    for turn in turns:
        path.append(rotation.multiply(turn, path[-1]) if delta else turn)
    whole = np.minimum(np.floor(knots + _ROUNDING).astype(int), len(turns) - 1)
    poses = [rotation.turned(path[i], path[i + 1], float(np.clip(knot - i, 0.0, 1.0)))
             for i, knot in zip(whole, knots, strict=True)]
    if begun is not None:
        poses[0] = rotation.from_vector(_vector(names, begun[1]))
    return np.array([
        rotation.between(begin, end) if delta else rotation.to_vector(end)
        for begin, end in pairwise(poses)])


def _vector(names: Sequence[str], action: FloatArray) -> FloatArray:
    """Return the rotation vector of an action [rad], shape (3,); what it does not name is zero."""
    vector = np.zeros(3)
    for column, name in enumerate(names):
        if name in ROTATION_NAMES:
            vector[ROTATION_NAMES.index(name)] = action[column]
    return vector
