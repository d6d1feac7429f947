# SPDX-License-Identifier: Apache-2.0
"""Processes that a benchmark starts, and how both sides talk: one JSON object a line.

A process of a benchmark runs a module of this folder. Its settings are its argument, it tells on
its standard output, is asked on its standard input, and ends when that is closed: so it never
outlives the benchmark, however that ends.
"""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
import json
import os
from pathlib import Path
import queue
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

from vla_drop_ros.errors import VlaDropError

ROOT = Path(__file__).resolve().parents[1]
KEPT_LINES = 20
Told = dict[str, Any]


class Child:
    """A started process, alive inside a ``with`` block."""

    def __init__(self, module: str, settings: Mapping[str, Any],
                 environment: Mapping[str, str | None] | None = None) -> None:
        """Start it.

        Args:
            module: what to run, for instance ``bench.robot``.
            settings: what it is told to do.
            environment: variables beside those of this process; None removes one.

        """
        self.module = module
        self._told: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        changed = {**os.environ, **(environment or {})}
        paths = [str(ROOT), *filter(None, [changed.get('PYTHONPATH')])]
        self._process = subprocess.Popen(
            [sys.executable, '-m', module, json.dumps(settings)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={name: value for name, value in changed.items() if value is not None}
            | {'PYTHONPATH': os.pathsep.join(paths)})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> 'Child':
        """Return it, running already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End it: politely, then by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it may have ended already
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def ask(self, **question: Any) -> None:
        """Send one object."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # what it said last is in the error that ``expect`` raises

    def expect(self, key: str, timeout: float = 60.0) -> Any:
        """Return the value of ``key`` in the next object that has it; see ``expect_all``."""
        return self.expect_all(key, timeout=timeout)[key]

    def expect_all(self, *keys: str, timeout: float = 60.0) -> Told:
        """Return the next object that has all these keys.

        Raises:
            VlaDropError: it ended, or told nothing of the kind within ``timeout`` [s].

        """
        while True:
            try:
                told = self._told.get(timeout=timeout)
            except queue.Empty:
                raise self._failure(f'told no {", ".join(keys)} within {timeout:.0f} s') from None
            if told is None:
                raise self._failure('ended')
            if all(key in told for key in keys):
                return told

    def _failure(self, what: str) -> VlaDropError:
        said = '\n'.join(f'    {line}' for line in self._lines) or '    (nothing)'
        return VlaDropError(f'{self.module} {what}; its last lines:\n{said}')

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{'):
                self._told.put(json.loads(line))
            else:
                self._lines.append(line.rstrip())
        self._told.put(None)


class Bench:
    """The benchmark, as one of its processes sees it.

    Attributes:
        settings: what this process is to do.
        ended: set when the benchmark has closed the connection.

    """

    def __init__(self) -> None:
        """Begin to listen."""
        self.settings: dict[str, Any] = json.loads(sys.argv[1])
        self.ended = threading.Event()
        self._asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, **values: Any) -> None:
        """Send one object."""
        print(json.dumps(values), flush=True)

    def asked(self) -> dict[str, Any] | None:
        """Return the next question, None at the end."""
        return self._asked.get()

    @property
    def is_asked(self) -> bool:
        """Say whether a question waits, or the end has come."""
        return not self._asked.empty()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._asked.put(json.loads(line))
        self.ended.set()
        self._asked.put(None)
