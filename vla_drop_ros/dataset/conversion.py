# SPDX-License-Identifier: Apache-2.0
"""Recordings of a robot as a LeRobot dataset, whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from vla_drop_ros.dataset.actions import Actions, COMMANDS, NoActionError
from vla_drop_ros.dataset.bag import Bag, Received
from vla_drop_ros.dataset.frame_grid import Frame, FrameGrid
from vla_drop_ros.dataset.replay import Replay
from vla_drop_ros.dataset.robot_topics import find_topics
from vla_drop_ros.dataset.writer import DatasetWriter
from vla_drop_ros.errors import DatasetError, ObservationError
from vla_drop_ros.robot_contract import GRIPPER_STATE_NAME, POSE_STATE_NAMES, RobotContract
from vla_drop_ros.runtime.observation_sync import reads_joints
from vla_drop_ros.runtime.watchdog import kind
from vla_drop_ros.types import FloatArray, GRIPPER_NAME, Observation, ROTATION_NAMES

FPS = 10
_REPORTED = 64  # messages between two reports of progress


@dataclass(frozen=True, slots=True)
class Layout:
    """What a dataset is to hold.

    Attributes:
        cameras: camera keys.
        state_names: numbers of a state, in the words of the robot contract.
        action_names: numbers of an action, as in ``ActionSpec``.
        frame: frame of the actions.
        reference: ``delta`` or ``absolute``.
        fps: frames a second, [Hz].
        actions: ``commands`` or ``measured``, what the actions are made of.
        task: the instruction, for recordings without one.
        namespace: of the robot's nodes in the recordings.
        sizes: camera key -> (height, width) that pictures must have; those not named may have any.

    """

    cameras: tuple[str, ...]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    frame: str
    reference: Literal['delta', 'absolute']
    fps: int = FPS
    actions: str = COMMANDS
    task: str | None = None
    namespace: str = ''
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def state_names_for(action_names: Sequence[str]) -> tuple[str, ...]:
    """Return the state values that say where what the actions move is."""
    turns = any(name in ROTATION_NAMES for name in action_names)
    return (*POSE_STATE_NAMES[:7 if turns else 3],
            *((GRIPPER_STATE_NAME,) if GRIPPER_NAME in action_names else ()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written.

    Attributes:
        episodes: number of episodes.
        frames: frames in all of them.
        left_out: reason -> frames that are not in the dataset.

    """

    episodes: int
    frames: int
    left_out: Mapping[str, int]


def convert(bags: Sequence[str | Path], contract: RobotContract, layout: Layout,
            folder: str | Path, watch: Callable[[float], None] = lambda _: None) -> Outcome:
    """Write a dataset of recordings; each is one episode or, with gaps in it, several.

    Args:
        bags: folders, or .mcap or .db3 files.
        contract: the robot that they are of.
        layout: what the dataset is to hold.
        folder: must not exist.
        watch: hears now and then how many of the bags are done, with fractions.

    Raises:
        DatasetError: a bag cannot be read, is of another robot, or gives no frame.
        MissingDependencyError: the package rosbags is not installed.

    """
    if Path(folder).exists():
        raise DatasetError(f'{str(folder)!r} exists already; choose another folder')
    episodes = _Episodes(folder, contract, layout)
    try:
        for index, path in enumerate(bags):
            _convert_one(path, contract, layout, episodes, partial(_report, watch, index))
        episodes.close()
    except BaseException:
        episodes.discard()
        raise
    return Outcome(episodes.count, episodes.frames, dict(episodes.left_out))


def observe(replay: Replay, frame: Frame, state_names: Sequence[str]) -> Observation:
    """Return the observation of a frame, as the policy node makes it.

    Raises:
        ObservationError: an image cannot be decoded, or a state value is not there.

    """
    return replay.inputs.observation(frame.seen.snapshot, state_names, frame.seen.instruction)


def _convert_one(path: str | Path, contract: RobotContract, layout: Layout,
                 episodes: '_Episodes', watch: Callable[[float], None]) -> None:
    """Write the episodes of one recording: once over its commands, once over its images."""
    commanded = layout.actions == COMMANDS
    gripper = GRIPPER_NAME in layout.action_names
    with Bag(path) as bag:
        topics = find_topics(
            bag, contract, layout.cameras, namespace=layout.namespace,
            joints=reads_joints(layout.state_names) or (gripper and not commanded),
            instruction=layout.task is None, command=commanded, gripper=gripper and commanded)
        actions = Actions(contract, layout.action_names, layout.reference, layout.actions)
        actions.read(bag.read(topics.motion), topics)
        replay = Replay(contract, topics, layout.cameras, layout.state_names, layout.task)
        grid, before, left_out = FrameGrid(1.0 / layout.fps), episodes.frames, Counter[str]()
        total = sum(bag.counts[topic] for topic in topics.inputs)
        messages = _watched(bag.read(topics.inputs), total, watch)
        for frame in grid.pick(replay.play(messages), replay.faults):
            if frame.first:
                episodes.end()
            try:
                seen = observe(replay, frame, layout.state_names)
                action = actions.action(frame.seen.stamp, frame.end)
            except (ObservationError, NoActionError) as error:
                left_out[kind(str(error))] += 1
                episodes.end()
                continue
            episodes.add(seen, action)
        episodes.end()
        left_out.update(grid.left_out)
        if episodes.frames == before:
            raise DatasetError(f'bag {str(path)!r} gives no frame: {in_words(left_out)}')
        episodes.left_out.update(left_out)


def in_words(left_out: Mapping[str, int]) -> str:
    """Return how many frames were left out for which reason, the most frequent first."""
    ranked = sorted(left_out.items(), key=lambda entry: (-entry[1], entry[0]))
    return '; '.join(f'{count} x {reason}' for reason, count in ranked) or 'no image in it'


def _report(watch: Callable[[float], None], done: int, share: float) -> None:
    watch(done + share)


def _watched(messages: Iterable[Received], total: int,
             watch: Callable[[float], None]) -> Iterator[Received]:
    for index, received in enumerate(messages):
        if index % _REPORTED == 0:
            watch(index / max(total, 1))
        yield received


class _Episodes:
    """Writes frames; the size of the pictures shows with the first of them."""

    def __init__(self, folder: str | Path, contract: RobotContract, layout: Layout) -> None:
        self.count = self.frames = 0
        self.left_out: Counter[str] = Counter()
        self._folder, self._contract, self._layout = folder, contract, layout
        self._writer: DatasetWriter | None = None
        self._instruction = ''

    def add(self, seen: Observation, action: FloatArray) -> None:
        """Add a frame to the open episode, or begin one."""
        if self._writer is None:
            self._writer = self._begin(seen)
        self._writer.add(seen.images, seen.state, action)
        self._instruction = seen.instruction
        self.frames += 1

    def end(self) -> None:
        """End the open episode, if there is one."""
        if self._writer is not None and self._instruction:
            self._writer.end_episode(self._instruction)
            self.count += 1
        self._instruction = ''

    def close(self) -> None:
        """Give the folder its name."""
        if self._writer is not None:
            self._writer.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.discard()

    def _begin(self, seen: Observation) -> DatasetWriter:
        layout = self._layout
        sizes = {key: layout.sizes.get(key, (image.shape[0], image.shape[1]))
                 for key, image in seen.images.items()}
        return DatasetWriter(
            self._folder, layout.fps, sizes, layout.state_names, layout.action_names,
            {'frame': layout.frame, 'reference': layout.reference, 'period': 1.0 / layout.fps,
             'actions': layout.actions}, self._contract.robot)
