# SPDX-License-Identifier: Apache-2.0
"""One rosbag2 recording a trial (MCAP), written by a thread of its own; no ROS.

A recording that was killed leaves the folder with its .mcap file and without metadata.yaml. All
but the last megabyte or so is in the file, which has no end; ``torn_bag.mend`` gives it one. A
later recording of the same trial goes into another folder and touches nothing of the first.
"""

from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
import os
from pathlib import Path
import re
import shutil
import threading
from typing import Any, NamedTuple

from vla_drop_ros.errors import TrialError, VlaDropError
from vla_drop_ros.trials.message_definitions import define, message_types
from vla_drop_ros.trials.torn_bag import mend

BAGS = 'bags'
"""Folder of the recordings in the folder of a study."""

CODE = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,31}')
QUEUE = 256 * 2**20  # [bytes] that may wait for the disk
SPARE = 16 * 2**20  # [bytes] left on the disk: room for the index, and for the log of the study
MENDING = 64 * 2**10  # [bytes] that the metadata of a recording takes, and more
LOOK = 2**20  # [bytes] written between two looks at the disk
OLD_METADATA = ('humble', 'iron')  # these do not read the quality of service of version 9
FOREVER = (9223372036, 854775807)  # [s], [ns], as `ros2 bag record` writes it


class Offer(NamedTuple):
    """What a publisher offers: replayed, the topic offers the same."""

    reliable: bool
    latched: bool


class Topic(NamedTuple):
    """A topic as it is recorded.

    Attributes:
        name: fully qualified.
        kind: type, such as ``sensor_msgs/msg/Image``.
        offers: of its publishers.

    """

    name: str
    kind: str
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class BagReport:
    """What became of a recording.

    Attributes:
        code: of the trial.
        uri: folder of the recording, relative to the folder of the study; '' without one.
        sha256: of the .mcap file, '' without one.
        messages: topic -> messages in the file.
        lost: topic -> messages that came and are not in the file.
        start: when the first message was received, [ns]; 0 without messages.
        end: when the last one was, [ns].
        problem: why the recording is not whole; '' when it is.

    """

    code: str
    uri: str
    sha256: str
    messages: Mapping[str, int]
    lost: Mapping[str, int]
    start: int
    end: int
    problem: str


class BagWriter:
    """Takes messages from one thread, and never makes it wait; writes them in another."""

    def __init__(self, study: Path, code: str, distro: str = '', *, queue: int = QUEUE,
                 spare: int = SPARE) -> None:
        """Make the folder ``bags/<code>``, or ``bags/<code>-2`` and so on, and begin.

        Args:
            study: folder of the study.
            code: of the trial.
            distro: ROS distribution that defines the messages, '' where there is none.
            queue: [bytes] that may wait; what does not fit is lost, and counted.
            spare: [bytes] on the disk at which the recording ends.

        Raises:
            TrialError: the code cannot be a folder, or the folder cannot be made.
            MissingDependencyError: the package rosbags is not installed.

        """
        self.code, self._distro = code, distro
        self._limit, self._spare = queue, spare
        self._types = message_types(distro)
        self._writer = self._create(study)
        self._connections: dict[str, Any] = {}
        self._messages: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._span = (0, 0)
        self._problem, self._torn = '', False
        self._unseen = 0  # [bytes] since the last look at the disk
        self._waiting: deque[tuple[Topic, int, bytes]] = deque()
        self._queued, self._done = 0, False
        self._changed = threading.Condition()
        self._report: BagReport | None = None
        self.written = 0
        """Bytes of messages that are in the file."""
        self._thread = threading.Thread(target=self._work, name=f'bag {code}', daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        """Return the folder, relative to the folder of the study."""
        return f'{BAGS}/{self._writer.path.name}'

    @property
    def lost(self) -> int:
        """Return how many messages were lost so far."""
        with self._changed:
            return self._lost.total()

    @property
    def report(self) -> BagReport | None:
        """Return what became of the recording, None while it is written."""
        return self._report

    def write(self, topic: Topic, stamp: int, data: bytes) -> None:
        """Record a message; returns at once.

        Args:
            topic: where it came.
            stamp: when it was received, [ns].
            data: the message as it is on the wire (CDR with its header).

        """
        with self._changed:
            if self._done or self._queued + len(data) > self._limit:
                self._lost[topic.name] += 1
                return
            self._waiting.append((topic, stamp, data))
            self._queued += len(data)
            self._changed.notify()

    def lose(self, topic: str, messages: int) -> None:
        """Count messages that were lost on their way here."""
        with self._changed:
            self._lost[topic] += messages

    def finish(self) -> None:
        """Take no more messages; ``report`` follows when all are written."""
        with self._changed:
            self._done = True
            self._changed.notify()

    def close(self) -> BagReport:
        """Finish, wait until all is written, and return what became of it."""
        self.finish()
        self._thread.join()
        assert self._report is not None
        return self._report

    def _create(self, study: Path) -> Any:
        if not CODE.fullmatch(self.code):
            raise TrialError(f'{self.code[:40]!r} is no code of a trial: a recording is named by '
                             'up to 32 letters, digits, - and _')
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
        number = 1
        while True:
            name = self.code if number == 1 else f'{self.code}-{number}'
            try:
                writer = Writer(study / BAGS / name, storage_plugin=StoragePlugin.MCAP,
                                version=8 if self._distro in OLD_METADATA else 9)
                writer.open()
                return writer
            except WriterError:  # it exists: of a run before, or of another trial of the name
                number += 1
            except OSError as error:
                raise TrialError(f'no recording in {study / BAGS}: {error.strerror}; make room, '
                                 'or make the folder writable') from error

    def _work(self) -> None:
        """Write what comes until the end; after a failure, only count."""
        try:
            while (item := self._take()) is not None:
                self._put(*item)
            self._end()
        except (OSError, VlaDropError) as error:
            self._problem = self._problem or str(error)
        except BaseException as error:
            self._problem = f'{type(error).__name__}: {error}'
            raise
        finally:
            self.finish()
            self._report = BagReport(
                self.code, self.uri, self._digest(), dict(self._messages), dict(+self._lost),
                *self._span, self._problem or self._unknown())

    def _take(self) -> tuple[Topic, int, bytes] | None:
        """Wait for a message; return None after the last."""
        with self._changed:
            while not self._waiting and not self._done:
                self._changed.wait()
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._queued -= len(item[2])
            return item

    def _put(self, topic: Topic, stamp: int, data: bytes) -> None:
        if not self._problem:
            try:
                connection = self._connection(topic)
                if connection is not None and self._has_room(len(data)):
                    self._writer.write(connection, stamp, data)
                    self._count(topic.name, stamp, len(data))
                    return
            except OSError as error:
                self._fail(error)
        self.lose(topic.name, 1)

    def _connection(self, topic: Topic) -> Any:
        """Return the channel of a topic, None where nothing defines its type."""
        if topic.name not in self._connections:
            self._connections[topic.name] = self._writer.add_connection(
                topic.name, topic.kind, typestore=self._types,
                offered_qos_profiles=[_offered(offer) for offer in topic.offers]
            ) if define(self._types, topic.kind) else None
        return self._connections[topic.name]

    def _has_room(self, size: int) -> bool:
        self._unseen += size
        if self._unseen >= LOOK:
            self._unseen = 0
            free = shutil.disk_usage(self._writer.path).free
            if free < self._spare:
                self._problem = f'the disk is full: {free / 2**20:.0f} MB are left'
        return not self._problem

    def _count(self, name: str, stamp: int, size: int) -> None:
        first, last = self._span if self._messages else (stamp, stamp)
        self._span = min(first, stamp), max(last, stamp)
        self._messages[name] += 1
        self.written += size

    def _fail(self, error: OSError) -> None:
        """Write no more; what is written whole will be readable."""
        self._problem = self._problem or f'the disk takes no more: {error.strerror}'
        self._torn = True
        with suppress(OSError):
            self._writer.abort()

    def _end(self) -> None:
        """Write index and metadata; nobody is told before they are on the disk."""
        if not self._torn:
            try:
                self._writer.close()
            except OSError as error:
                self._fail(error)
        folder, metadata = self._writer.path, self._writer.metapath
        if self._torn:
            left = mend(folder, self._distro, MENDING)
            for topic, messages in self._messages.items():
                self.lose(topic, messages - left.messages.get(topic, 0))
            self._messages, self._span = Counter(left.messages), left.span
        else:  # rosbags names itself as the distribution
            text = metadata.read_text(encoding='utf-8')
            metadata.write_text(text.replace(
                'ros_distro: rosbags', f'ros_distro: {self._distro or "unknown"}'),
                encoding='utf-8')
        for path in (*folder.iterdir(), folder, folder.parent):
            _sync(path)

    def _unknown(self) -> str:
        names = sorted(name for name, channel in self._connections.items() if channel is None)
        return (f'no .msg file defines the type of {", ".join(names)}; install its package or '
                'leave it out') if names else ''

    def _digest(self) -> str:
        digest = sha256()
        try:
            with open(self._writer.path / f'{self._writer.path.name}.mcap', 'rb') as file:
                while block := file.read(LOOK):
                    digest.update(block)
        except OSError:
            return ''
        return digest.hexdigest()


def _offered(offer: Offer) -> Any:
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )
    forever = QosTime(*FOREVER)
    return Qos(
        QosHistory.UNKNOWN, 0,  # publishers do not tell
        QosReliability.RELIABLE if offer.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if offer.latched else QosDurability.VOLATILE,
        forever, forever, QosLiveliness.AUTOMATIC, forever, False)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
