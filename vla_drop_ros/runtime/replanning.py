# SPDX-License-Identifier: Apache-2.0
"""When the policy is asked for the next chunk, and why not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vla_drop_ros.runtime.instruction import instruction_fault
from vla_drop_ros.runtime.observation_sync import ObservationSync, reads_joints, Snapshot
from vla_drop_ros.runtime.pose import SET_BACK
from vla_drop_ros.types import ActionSpec

Payload = TypeVar('Payload')

NO_INSTRUCTION = 'no instruction yet (publish a std_msgs/String on the topic instruction)'
PAUSED = 'paused by an empty instruction (publish another one on the topic instruction)'

EARLY = 0.95
"""Share of the period after which an image will do: frames do not come by the millisecond."""


@dataclass(frozen=True, slots=True)
class Request(Generic[Payload]):
    """What one inference is about.

    Attributes:
        snapshot: what the robot saw.
        instruction: what it was asked to do then.
        episode: counts instructions, activations and pauses; a chunk of an older one must be
            dropped.
        period: wanted time until the next request, [s].

    """

    snapshot: Snapshot[Payload]
    instruction: str
    episode: int
    period: float


class Replanner(Generic[Payload]):
    """Turns the newest observation and instruction into requests, one every replan period."""

    def __init__(self, sync: ObservationSync[Payload], period: float,
                 watch: Callable[[float], str] = lambda now: '') -> None:
        """Ask every ``period`` seconds of capture time; 0: after the executed steps of a chunk.

        ``watch`` returns why nobody may be obeyed at a time [s], or ''.
        """
        self.problems: tuple[str, ...] = ()
        self._watch = watch
        self._unwatched = False
        self.episode = 0
        self._sync = sync
        self._period = period
        self._instruction: str | None = None
        self._refused = ''
        self._broken = False
        self._last_stamp = self._not_before = float('-inf')

    @property
    def instruction(self) -> str:
        """Return what the robot is asked to do; empty when nothing."""
        return self._instruction or ''

    @property
    def refused(self) -> str:
        """Return why the newest instruction was not taken, or ''."""
        return self._refused

    @property
    def waiting(self) -> str:
        """Return why nothing is asked of the policy although nothing is broken, or ''."""
        if self._refused:
            return f'paused: {self._refused}'
        if self._instruction is None:
            return NO_INSTRUCTION
        return '' if self._instruction else PAUSED

    def instruct(self, text: str) -> bool:
        """Take a new instruction, empty to stop; return whether it asks for motion.

        One that cannot be taken stops, too: the robot must not go on with what nobody wants now.
        """
        text = text.strip()
        self._refused = instruction_fault(text)
        self._instruction = '' if self._refused else text
        self.restart()
        return bool(self._instruction)

    def restart(self) -> None:
        """Begin a new episode: requests are due at once, older chunks are void."""
        self.episode += 1
        self._broken = False
        self._last_stamp = self._not_before = float('-inf')

    def hold_off(self, until: float) -> None:
        """Ask about nothing that was captured before ``until`` [s]: the robot still executes."""
        self._not_before = until

    def observe(self, now: float, cameras: Iterable[str],
                state_names: Iterable[str]) -> Snapshot[Payload] | None:
        """Return what a policy with these inputs would see at ``now`` [s]; note the problems."""
        snapshot, problems = self._sync.join(now, cameras, reads_joints(state_names))
        fault = self._watch(now)
        self._unwatched = bool(fault)
        self.problems = (fault, *problems) if fault else problems
        return None if fault else snapshot

    def breaks(self, now: float, cameras: Iterable[str], state_names: Iterable[str]) -> bool:
        """Look at the streams; say whether the robot must pause now because one has just broken.

        A new episode begins then, so that a chunk that is being made is void, and requests are due
        as soon as the streams are back.
        """
        self.observe(now, cameras, state_names)
        before, self._broken = self._broken, self._sync.broken or self._unwatched
        if not self._instruction or before or not self._broken:
            return False
        self.restart()
        self._broken = True
        return True

    def request(self, now: float, spec: ActionSpec, cameras: Iterable[str],
                state_names: Iterable[str]) -> Request[Payload] | None:
        """Return the request that is due at ``now`` [s], or None."""
        period = self._period or spec.executed_steps * spec.period
        if now < self._last_stamp - SET_BACK:
            self.restart()
        # Of capture time: by the time of asking, old images would make the policy ask too early.
        due = max(self._last_stamp + EARLY * period, self._not_before)
        if not self._instruction or now < due:
            return None
        snapshot = self.observe(now, cameras, state_names)
        if snapshot is None or snapshot.stamp < due or snapshot.stamp <= self._last_stamp:
            return None
        self._last_stamp = snapshot.stamp
        return Request(snapshot, self._instruction, self.episode, period)
