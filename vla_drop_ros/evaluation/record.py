# SPDX-License-Identifier: Apache-2.0
"""A file of finished episodes, one JSON line each, on disk before the next one counts.

Opened again it knows what is done, so that a run that was killed goes on where it ended.
"""

from collections.abc import Mapping
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from vla_drop_ros.errors import EvaluationError

Key = tuple[str, int, str, str]  # checkpoint identity, seed, variant, probe
NAMES = ('checkpoint', 'seed', 'variant', 'probe')
TYPES = (str, int, str, str)


class Record:
    """Finished episodes by (checkpoint identity, seed, variant, probe); one writer at a time."""

    def __init__(self, path: str | Path) -> None:
        """Create the file, or go on with an existing one; a torn last line is cut off.

        Args:
            path: of the file; its folder is created.

        Raises:
            EvaluationError: another process writes to it, or a whole line is no episode.
            OSError: the file cannot be read and written.

        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open('a+b', buffering=0)
        try:
            self._lock()
            self._results = self._read()
            self._sync_folder()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvaluationError(
                f'{self.path} is being written by another process; wait until it has finished, '
                'or give this run another file') from None

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> dict[Key, dict[str, Any]]:
        """Return what is there; cut off what follows the last whole line."""
        self._file.seek(0)
        *lines, torn = self._file.read().split(b'\n')
        results: dict[Key, dict[str, Any]] = {}
        for number, line in enumerate(lines, start=1):
            key, result = self._parse(number, line)
            results.setdefault(key, result)
        if torn:
            self._file.truncate(sum(len(line) + 1 for line in lines))
            os.fsync(self._file.fileno())
        return results

    def _parse(self, number: int, line: bytes) -> tuple[Key, dict[str, Any]]:
        try:
            data = json.loads(line)
            checkpoint, seed, variant, probe = key = tuple(data[name] for name in NAMES)
            result = data['result']
            if not all(map(isinstance, (*key, result), (*TYPES, dict))):
                raise TypeError('a value of another type')
        except (ValueError, TypeError, KeyError) as error:
            raise EvaluationError(
                f'{self.path}, line {number} is no episode ({error!r}); it was damaged or is '
                'another kind of file: give another file, or remove the line') from error
        return (checkpoint, seed, variant, probe), result

    def __contains__(self, key: Key) -> bool:
        return key in self._results

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return self._results[key]

    def add(self, key: Key, result: Mapping[str, Any]) -> None:
        """Append an episode; it is on disk when this returns.

        After an error the file is as it was before.

        Args:
            key: of the episode; one that is there already is a ValueError.
            result: plain JSON types.

        """
        if key in self._results:
            raise ValueError(f'{key} is in {self.path} already')
        line = json.dumps({**dict(zip(NAMES, key, strict=True)), 'result': dict(result)})
        left = line.encode() + b'\n'
        end = self._file.seek(0, os.SEEK_END)
        try:
            while left:
                left = left[self._file.write(left):]
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(end)
            raise
        self._results[key] = json.loads(line)['result']

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def __enter__(self) -> 'Record':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
