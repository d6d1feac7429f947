# SPDX-License-Identifier: Apache-2.0
"""How chunks follow each other on the robot: beside the policy, in turns with it, or continued.

- ``asynchronous``: the robot goes on with the last chunk while the policy thinks; the new one
  takes over at the step that is due then.
- ``synchronous``: the robot stands still while the policy thinks, then executes so many steps as
  the checkpoint says, and only then the policy looks again.
- ``real_time_chunking``: asynchronous, and the policy is told what the robot will do meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vla_drop_ros.errors import ContractError, ObservationError, unknown
from vla_drop_ros.robot_contract import GRIPPER_STATE_NAME, RobotContract
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.observation_sync import Snapshot, state_vector
from vla_drop_ros.runtime.real_time_chunking import ChunkMemory
from vla_drop_ros.types import (
    ActionChunk,
    ActionSpec,
    FloatArray,
    GRIPPER_NAME,
    JOINT_PREFIX,
    Observation,
    ROTATION_NAMES,
)

EXECUTIONS = ('asynchronous', 'synchronous', 'real_time_chunking')
SHORTEST_STILL = 1e-3
"""Shortest time of standing still that is sent, [s]: times in a chunk must increase."""


@dataclass(frozen=True, slots=True)
class TimedActions:
    """A chunk as it is sent.

    Attributes:
        stamp: capture time, [s].
        times: end of each step after the stamp, [s], shape (n,).
        actions: shape (n, len(spec.names)), units of ``spec``.
        spec: the action language.

    """

    stamp: float
    times: FloatArray
    actions: FloatArray
    spec: ActionSpec

    @property
    def end(self) -> float:
        """Return when the last step ends, [s]."""
        return float(self.stamp + self.times[-1])


class Execution:
    """One way of executing chunks; used by the inference thread, but for ``add_delay``."""

    def __init__(self, mode: str, contract: RobotContract) -> None:
        """Execute on a robot.

        Raises:
            ContractError: there is no such mode.

        """
        if mode not in EXECUTIONS:
            raise ContractError(unknown('execution', mode, EXECUTIONS))
        self.mode = mode
        self._contract = contract
        self._memory = ChunkMemory()
        self._episode: tuple[int, str] | None = None
        self._width: float | None = None

    def state_names(self, spec: ActionSpec, names: Sequence[str]) -> tuple[str, ...]:
        """Return the state values that an observation must offer: the policy's, and ours."""
        if self.mode == 'asynchronous':
            return tuple(names)
        return (*names, *(_measured_name(name) for name in spec.names
                          if name not in ROTATION_NAMES))

    def begin(self, episode: int, checkpoint: str) -> None:
        """Forget what came before, if the episode or the checkpoint is another one."""
        if (episode, checkpoint) != self._episode:
            self._episode, self._width = (episode, checkpoint), None
            self._memory.restart()

    def prepared(self, observation: Observation, spec: ActionSpec,
                 snapshot: Snapshot[Any]) -> Observation:
        """Return the observation with what the policy needs to know about the chunk in force.

        Raises:
            ObservationError: where the robot is in the snapshot is not known.

        """
        if self.mode != 'real_time_chunking':
            return observation
        here = np.array([0.0 if name == GRIPPER_NAME else self._measured(name, snapshot)
                         for name in spec.names])
        return replace(observation, prefix=self._memory.prefix(observation.stamp, spec, here))

    def timed(self, chunk: ActionChunk, snapshot: Snapshot[Any], now: float) -> TimedActions:
        """Return what is sent at ``now`` [s] of a chunk made from a snapshot.

        Raises:
            ObservationError: where the robot is when it stands still is not known.

        """
        spec = chunk.spec
        times = step_ends(chunk)
        if self.mode != 'synchronous':
            return TimedActions(chunk.stamp, times, chunk.actions, spec)
        lead = max(now - chunk.stamp, SHORTEST_STILL)
        still = self._still(spec, snapshot)
        steps = spec.executed_steps
        return TimedActions(chunk.stamp, np.concatenate([[lead], lead + times[:steps]]),
                            np.concatenate([still[None], chunk.actions[:steps]]), spec)

    def sent(self, chunk: ActionChunk) -> None:
        """Take note of a chunk that was published."""
        self._memory.remember(chunk)
        if GRIPPER_NAME in chunk.spec.names:
            last = min(chunk.spec.executed_steps, len(chunk.actions)) - 1
            self._width = float(chunk.actions[last, chunk.spec.names.index(GRIPPER_NAME)])

    def add_delay(self, seconds: float) -> None:
        """Take the time from capture to the first command, [s], as the gate measured it."""
        self._memory.add_delay(seconds)

    def _still(self, spec: ActionSpec, snapshot: Snapshot[Any]) -> FloatArray:
        """Return the action that keeps the robot where it is, shape (len(spec.names),)."""
        still = np.zeros(len(spec.names))
        for column, name in enumerate(spec.names):
            if name == GRIPPER_NAME and self._width is not None:
                still[column] = self._width  # not the measured one: it must not let go
            elif name == GRIPPER_NAME or spec.reference == 'absolute':
                still[column] = self._measured(name, snapshot)
        return still

    def _measured(self, name: str, snapshot: Snapshot[Any]) -> float:
        if name in ROTATION_NAMES:
            if snapshot.pose is None:
                raise ObservationError(f'action {name!r}: add state.pose to the robot contract')
            vector = rotation.to_vector(snapshot.pose.quaternion)
            return float(vector[ROTATION_NAMES.index(name)])
        return float(state_vector(snapshot, [_measured_name(name)], self._contract)[0])


def step_ends(chunk: ActionChunk) -> FloatArray:
    """Return when each step of a chunk ends after its stamp, [s], shape (chunk_length,)."""
    return np.arange(1, len(chunk.actions) + 1, dtype=np.float64) * chunk.spec.period


def _measured_name(action: str) -> str:
    """Return the state value that tells where an action's coordinate is now."""
    if action == GRIPPER_NAME:
        return GRIPPER_STATE_NAME
    return action if action.startswith(JOINT_PREFIX) else f'ee.{action}'
