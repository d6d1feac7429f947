# SPDX-License-Identifier: Apache-2.0
"""When the policy is asked for the next chunk, and why not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vla_drop_ros.runtime.observation_sync import ObservationSync, reads_joints, Snapshot
from vla_drop_ros.types import ActionSpec

Payload = TypeVar('Payload')

NO_INSTRUCTION = 'no instruction yet (publish a std_msgs/String on the topic instruction)'
PAUSED = 'paused by an empty instruction (publish another one on the topic instruction)'


@dataclass(frozen=True, slots=True)
class Request(Generic[Payload]):
    """What one inference is about.

    Attributes:
        snapshot: what the robot saw.
        instruction: what it was asked to do then.
        episode: counts instructions and activations; a chunk of an older one must be dropped.

    """

    snapshot: Snapshot[Payload]
    instruction: str
    episode: int


class Replanner(Generic[Payload]):
    """Turns the newest observation and instruction into requests, one every replan period."""

    def __init__(self, sync: ObservationSync[Payload], period: float) -> None:
        """Ask every ``period`` seconds of capture time; 0: after the executed steps of a chunk."""
        self.problems: tuple[str, ...] = ()
        self.episode = 0
        self._sync = sync
        self._period = period
        self._instruction: str | None = None
        self._last_stamp = float('-inf')

    @property
    def instruction(self) -> str:
        """Return what the robot is asked to do; empty when nothing."""
        return self._instruction or ''

    @property
    def waiting(self) -> str:
        """Return why nothing is asked of the policy although nothing is broken, or ''."""
        if self._instruction is None:
            return NO_INSTRUCTION
        return '' if self._instruction else PAUSED

    def instruct(self, text: str) -> bool:
        """Take a new instruction, empty to stop; return whether it asks for motion."""
        self._instruction = text.strip()
        self.restart()
        return bool(self._instruction)

    def restart(self) -> None:
        """Begin a new episode: requests are due at once, older chunks are void."""
        self.episode += 1
        self._last_stamp = float('-inf')

    def observe(self, now: float, cameras: Iterable[str],
                state_names: Iterable[str]) -> Snapshot[Payload] | None:
        """Return what a policy with these inputs would see at ``now`` [s]; note the problems."""
        snapshot, self.problems = self._sync.join(now, cameras, reads_joints(state_names))
        return snapshot

    def request(self, now: float, spec: ActionSpec, cameras: Iterable[str],
                state_names: Iterable[str]) -> Request[Payload] | None:
        """Return the request that is due at ``now`` [s], or None."""
        period = self._period or spec.executed_steps * spec.period
        if not self._instruction or now - self._last_stamp < period:
            return None
        snapshot = self.observe(now, cameras, state_names)
        if snapshot is None or snapshot.stamp <= self._last_stamp:
            return None
        self._last_stamp = snapshot.stamp
        return Request(snapshot, self._instruction, self.episode)
