# SPDX-License-Identifier: Apache-2.0
"""What a policy would have seen, by the code that shows it to one live.

``RobotInputs`` and ``Replanner`` are those of the policy node. Live, a snapshot is taken at the
next tick of a timer; here when the state has passed the capture time of its images, so that
nothing depends on when a pose arrived.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vla_drop_ros.dataset.bag import Received
from vla_drop_ros.dataset.robot_topics import RobotTopics, StampClock
from vla_drop_ros.robot_contract import latency_of, RobotContract
from vla_drop_ros.runtime.observation_sync import Snapshot
from vla_drop_ros.runtime.replanning import Replanner
from vla_drop_ros.runtime.robot_inputs import RobotInputs, stamp_of
from vla_drop_ros.runtime.watchdog import kind

Fault = tuple[float, str]
"""When nothing could be joined, [s], and why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An instant at which everything was there.

    Attributes:
        snapshot: images not decoded, pose and joints.
        instruction: what the robot was asked to do.
        faults: what went wrong since the instant before.

    """

    snapshot: Snapshot[Any]
    instruction: str
    faults: tuple[Fault, ...]

    @property
    def stamp(self) -> float:
        """Capture time, [s]."""
        return self.snapshot.stamp


class Replay:
    """Plays a recording into the inputs of a policy.

    Attributes:
        inputs: turns what is seen into observations.
        faults: what went wrong since the last instant that was yielded.

    """

    def __init__(self, contract: RobotContract, topics: RobotTopics, cameras: Collection[str],
                 state_names: Sequence[str], task: str | None = None) -> None:
        """Get ready.

        Args:
            contract: how the streams are joined.
            topics: where they are.
            cameras: camera keys that the policy sees.
            state_names: state values that it reads.
            task: the instruction, for a recording without one.

        """
        self.inputs = RobotInputs(contract)
        self.faults: list[Fault] = []
        self._topics, self._cameras, self._names = topics, tuple(cameras), tuple(state_names)
        self._replanner: Replanner[Any] = Replanner(self.inputs.sync, 0.0)
        if task is not None:
            self._replanner.instruct(task)
        self._clock = StampClock()
        self._latencies = {
            topic: latency_of(stream) for topic, stream in (
                (topics.pose, contract.pose), (topics.joints, contract.joints)) if topic}
        self._state = dict.fromkeys(self._latencies, float('-inf'))

    def play(self, messages: Iterable[Received]) -> Iterator[Seen]:
        """Yield every instant at which all could be joined, in order of its capture time."""
        pending: Seen | None = None
        for topic, message in messages:
            # Before the message is taken: the one that settles it still belongs to it.
            done = pending is None or topic not in self._state or self._settled(pending)
            self._take(topic, message)
            if done and topic not in self._topics.cameras:
                continue
            snapshot = self._look()
            if snapshot is None:
                continue
            if pending is not None and snapshot.stamp <= pending.stamp:
                if snapshot.stamp == pending.stamp:
                    pending = replace(pending, snapshot=snapshot)
                continue
            if pending is not None:
                yield pending
            pending = Seen(snapshot, self._replanner.instruction, tuple(self.faults))
            self.faults.clear()
        if pending is not None:
            yield pending

    def _take(self, topic: str, message: Any) -> None:
        topics = self._topics
        self._clock.advance(message)
        if topic in topics.cameras:
            self.inputs.add_image(topics.cameras[topic], message)
        elif topic == topics.instruction:
            self._replanner.instruct(message.data)
        elif topic == topics.pose:
            self.inputs.add_pose(message)
        elif topic == topics.joints:
            self.inputs.add_joints(message)
        if topic in self._state:
            self._state[topic] = max(self._state[topic],
                                     stamp_of(message) - self._latencies[topic])

    def _settled(self, seen: Seen) -> bool:
        """Say whether a later state could still be interpolated with."""
        return all(stamp >= seen.stamp for stamp in self._state.values())

    def _look(self) -> Snapshot[Any] | None:
        """Return what can be joined now; note why nothing can."""
        now, problem = self._clock.now, self._replanner.waiting
        if not problem:
            snapshot = self._replanner.observe(now, self._cameras, self._names)
            if snapshot is not None:
                return snapshot
            problem = '; '.join(kind(problem) for problem in self._replanner.problems)
        self.faults.append((now, kind(problem)))
        return None
