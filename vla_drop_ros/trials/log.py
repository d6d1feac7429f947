# SPDX-License-Identifier: Apache-2.0
"""Append-only log of a study: one event a line, on disk before anyone is told it happened.

Every line is a JSON object with ``sequence``, ``previous`` (sha256 of the line before, without
its newline; zeros on the first), ``wall`` (UTC), ``kind`` and ``data``. The chain shows an edited,
removed or reordered line; it is no signature, since whoever can rewrite the whole file can rewrite
the chain. A power cut can tear only the last line; opening for append moves the torn bytes to
``<log>.torn`` and says so in a ``repaired`` event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
import fcntl
from hashlib import sha256
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from vla_drop_ros.errors import TrialError

FIRST = '0' * 64
FIELDS = {'sequence', 'previous', 'wall', 'kind', 'data'}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log."""

    sequence: int
    previous: str
    wall: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogContents:
    """What a log says.

    Attributes:
        events: every complete line, its chain checked.
        tip: sha256 of the last complete line, zeros where there is none.
        torn: bytes after the last complete line; not empty after a crash while writing.

    """

    events: tuple[Event, ...]
    tip: str
    torn: bytes


def parse_line(path: Path, number: int, line: bytes, sequence: int, previous: str) -> Event:
    """Return the event on a complete line.

    Args:
        path: file, for the message.
        number: line in the file, from 1, for the message.
        line: without its newline.
        sequence: place in the chain, from 0, that it must have.
        previous: sha256 of the line before in the chain, zeros for the first.

    Raises:
        TrialError: the line is damaged or moved.

    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TrialError(f'{path}, line {number}: not JSON ({error}); the log was damaged, '
                         'restore it from a copy or start a new one') from error
    if (not isinstance(data, dict) or set(data) != FIELDS or not isinstance(data['data'], dict)
            or not isinstance(data['kind'], str) or not isinstance(data['wall'], str)):
        raise TrialError(f'{path}, line {number}: not an event of a trial log')
    if data['sequence'] != sequence or data['previous'] != previous:
        raise TrialError(f'{path}, line {number}: does not follow the line before; a line was '
                         'edited, removed or moved, so the log proves nothing any more')
    return Event(**data)


def read_log(path: str | Path) -> LogContents:
    """Read a log and check its chain.

    A torn last line is reported in ``torn`` and is no error; anything else that does not fit is a
    TrialError which names the line.
    """
    path = Path(path)
    *lines, torn = read_lines(path)
    events: list[Event] = []
    tip = FIRST
    for number, line in enumerate(lines, start=1):
        events.append(parse_line(path, number, line, number - 1, tip))
        tip = sha256(line).hexdigest()
    return LogContents(tuple(events), tip, torn)


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a log without newlines; the last is torn, or empty.

    Raises:
        TrialError: the file cannot be read.

    """
    try:
        return path.read_bytes().split(b'\n')
    except OSError as error:
        raise TrialError(f'cannot read the trial log {path}: {error.strerror}') from error


class TrialLog:
    """Appends events; ``append`` returns only when the line is on disk.

    After an error the log stays at its last complete line and can be appended to again.
    """

    def __init__(self, path: str | Path, resume: bool = False) -> None:
        """Create the log, or open an existing one to go on where it ended.

        Args:
            path: file; its folder is created. An existing file is never overwritten.
            resume: go on with an existing log. Without it an existing file is a TrialError.

        """
        self.path = Path(path)
        advice = f'cannot write the trial log {self.path}: {{}}; choose a folder you can write'
        mode = os.O_RDWR | os.O_CREAT | os.O_APPEND | (0 if resume else os.O_EXCL)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrialError(advice.format(error.strerror)) from error
        try:
            self._file = os.open(self.path, mode, 0o644)
            self._sync_folder()
        except FileExistsError as error:
            raise TrialError(f'{self.path} exists and is never overwritten; resume it '
                             '(resume: true) or choose another file') from error
        except OSError as error:
            raise TrialError(advice.format(error.strerror)) from error
        try:
            self._go_on()
        except BaseException:
            self.close()
            raise

    def _go_on(self) -> None:
        """Take the only writer's place and go on after the last complete line."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrialError(f'{self.path} is being written by another process; stop that one '
                             'or choose another file') from error
        contents = read_log(self.path)
        self._sequence, self._tip = len(contents.events), contents.tip
        if contents.torn:
            try:
                self._repair(contents.torn)
            except OSError as error:
                raise TrialError(f'cannot repair {self.path}: {error.strerror}; its last line is '
                                 'torn, all before is safe: make room and resume') from error
            self.append('repaired', {'torn_bytes': len(contents.torn)})

    def _repair(self, torn: bytes) -> None:
        with open(self.path.with_name(self.path.name + '.torn'), 'ab') as aside:
            aside.write(torn + b'\n')
            aside.flush()
            os.fsync(aside.fileno())
        os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))
        os.fsync(self._file)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Append one event and return it once it is on disk.

        Raises:
            TrialError: the disk is full or cannot be written; nothing of the event is kept.

        """
        wall = datetime.now(timezone.utc).isoformat(timespec='milliseconds')
        event = Event(self._sequence, self._tip, wall, kind, dict(data))
        line = json.dumps({'sequence': event.sequence, 'previous': event.previous,
                           'wall': event.wall, 'kind': kind, 'data': event.data},
                          ensure_ascii=False, allow_nan=False).encode(
                              errors='backslashreplace')  # half a surrogate, as JSON writes it
        before = os.fstat(self._file).st_size
        try:
            self._write_all(line + b'\n')
            os.fsync(self._file)
        except BaseException as error:  # an interrupt too: half a line would break the chain
            os.ftruncate(self._file, before)
            if not isinstance(error, OSError):
                raise
            raise TrialError(f'cannot append to {self.path}: {error.strerror}; what is in it is '
                             'safe: make room and resume') from error
        self._sequence += 1
        self._tip = sha256(line).hexdigest()
        return event

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data):]

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> 'TrialLog':
        """Return the log itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Close the file."""
        self.close()
