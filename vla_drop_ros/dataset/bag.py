# SPDX-License-Identifier: Apache-2.0
"""Messages out of a rosbag2 recording (MCAP or SQLite), without ROS."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from vla_drop_ros.errors import DatasetError, MissingDependencyError

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
JOINT_STATE = 'sensor_msgs/msg/JointState'
POSE = 'geometry_msgs/msg/PoseStamped'
TWIST = 'geometry_msgs/msg/TwistStamped'
NUMBERS = 'std_msgs/msg/Float64MultiArray'
STRING = 'std_msgs/msg/String'
READABLE = (IMAGE, COMPRESSED_IMAGE, JOINT_STATE, POSE, TWIST, NUMBERS, STRING)
"""What ``Bag.read`` gives: standard messages, defined alike in every ROS 2."""


class Received(NamedTuple):
    """A message with its topic, in the order in which the recorder received it."""

    topic: str
    message: Any


class Wanted(NamedTuple):
    """The types that will do for a topic, the one to record first, and what else helps."""

    kinds: tuple[str, ...]
    otherwise: str = ''


class Bag:
    """A recording, open while inside ``with``.

    Attributes:
        path: folder with metadata.yaml, or one .mcap or .db3 file.
        topics: topic -> message type, such as ``sensor_msgs/msg/Image``.
        counts: topic -> number of messages.

    """

    def __init__(self, path: str | Path) -> None:
        """Take the path; nothing is read before ``with``."""
        self.path = Path(path)
        self.topics: Mapping[str, str] = {}
        self.counts: Mapping[str, int] = {}
        self._reader: Any = None

    def __enter__(self) -> 'Bag':
        """Open the recording.

        Raises:
            DatasetError: there is none, or it is damaged.
            MissingDependencyError: the package rosbags is not installed.

        """
        try:
            from rosbags.rosbag2 import Reader, ReaderError
            from rosbags.typesys import get_typestore, Stores
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                'reading bags needs the package rosbags: pip install rosbags') from error
        self._failure = ReaderError
        self._types = get_typestore(Stores.LATEST)
        if not self.path.exists():
            raise DatasetError(f'bag {str(self.path)!r} does not exist; give the folder that '
                               '`ros2 bag record` wrote, or its .mcap file')
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except FileNotFoundError:
            raise DatasetError(self._without_metadata()) from None
        except (ReaderError, OSError) as error:
            raise DatasetError(f'{str(self.path)!r} cannot be read as a bag: {error} Give the '
                               'folder that `ros2 bag record` wrote, or its .mcap or .db3 file; a '
                               'recording that was cut off is mended by `ros2 bag reindex` (MCAP: '
                               'mcap recover)') from error
        self.topics = {name: '' if topic.msgtype is None else topic.msgtype
                       for name, topic in self._reader.topics.items()}
        self.counts = {name: topic.msgcount for name, topic in self._reader.topics.items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Close the recording."""
        self._reader.close()

    def require(self, wanted: Mapping[str, Wanted]) -> None:
        """Refuse a recording that lacks a topic, or has it with another type, naming them all.

        Raises:
            DatasetError: the wanted topics, and what there is.

        """
        problems = []
        for topic, (kinds, otherwise) in wanted.items():
            found = self.topics.get(topic)
            if self.counts.get(topic) and found in kinds:
                continue
            problem = f'{topic} ({kinds[0]}) is missing'
            if found is not None and found not in kinds:
                problem = f'{topic} is {found or "of several types"}, not {" or ".join(kinds)}'
            elif found is not None:
                problem = f'{topic} has no messages'
            problems.append(problem + (f' ({otherwise})' if otherwise else ''))
        if problems:
            there = [f'{name} ({kind or "several types"}, {self.counts[name]})'
                     for name, kind in sorted(self.topics.items())]
            raise DatasetError(
                f'bag {str(self.path)!r} is not one of this robot: {"; ".join(problems)}. It '
                f'has: {", ".join(there) or "nothing"}. Record these topics, correct the topics '
                'in the robot contract, or say with --namespace where they were recorded')

    def read(self, topics: Collection[str]) -> Iterator[Received]:
        """Yield the messages of some topics in the order in which they were received.

        Raises:
            DatasetError: a type is not in ``READABLE``, or the recording is damaged.

        """
        connections = [connection for connection in self._reader.connections
                       if connection.topic in topics]
        for connection in connections:
            if connection.msgtype not in READABLE:
                raise DatasetError(f'bag {str(self.path)!r}: {connection.topic} is of type '
                                   f'{connection.msgtype}; valid: {", ".join(READABLE)}')
        expected, seen = sum(connection.msgcount for connection in connections), 0
        if not expected:
            return
        try:
            for connection, _, data in self._reader.messages(connections):
                yield Received(connection.topic, self._decoded(data, connection))
                seen += 1
        except (self._failure, OSError) as error:
            raise DatasetError(self._damaged(str(error))) from error
        if seen != expected:
            raise DatasetError(self._damaged(f'{seen} of {expected} messages are readable'))

    def _decoded(self, data: bytes, connection: Any) -> Any:
        from rosbags.serde import SerdeError
        try:
            return self._types.deserialize_cdr(data, connection.msgtype)
        except (SerdeError, ValueError, IndexError) as error:
            raise DatasetError(self._damaged(
                f'a message on {connection.topic} is no {connection.msgtype} ({error})')
            ) from error

    def _damaged(self, what: str) -> str:
        return (f'bag {str(self.path)!r} is damaged: {what}; mend it with `mcap recover`, or '
                'leave it out')

    def _without_metadata(self) -> str:
        files = sorted(path.name for ending in ('*.mcap', '*.db3')
                       for path in self.path.glob(ending))
        return (f'{str(self.path)!r} is no bag: metadata.yaml is missing'
                + (f'. It holds {files}: give such a file, or run `ros2 bag reindex` on the folder'
                   if files else '; give the folder that `ros2 bag record` wrote, or its .mcap '
                                 'file'))
