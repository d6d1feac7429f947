# SPDX-License-Identifier: Apache-2.0
"""The bags of a study as the trial node hears of them: each is read before it is logged."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
import queue
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.bag_entries import check_file, placed, read_entry, unreported
from vla_drop_ros.trials.study_session import StudySession

RECORDER = 'bag_recorder'
WAITING = 50  # entries that wait to be read; more are refused
PATIENCE = 5.0  # [s] that the end of the node waits for the last bag
GONE = 'the bag recorder is gone: trials are not recorded'
Answer = tuple[dict[str, Any], str]


class StudyBags:
    """A thread reads the files, the executor's thread logs; nobody waits.

    Bags of a session before this one that its trial node did not hear of are logged, too.
    """

    def __init__(self, node: Node, session: StudySession, folder: Path,
                 refuse: Callable[[str], None]) -> None:
        """Listen to the recorder and to how it is.

        Args:
            node: of the trials.
            session: takes what is true.
            folder: of the study.
            refuse: told what was claimed and is not so.

        """
        self._session, self._folder, self._refuse = session, folder, refuse
        self._me = f'{node.get_namespace().rstrip("/")}/{RECORDER}'.lstrip('/')
        self._told = ''  # what the recorder says of itself when it is in trouble
        self._claims: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._read: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=self._check, args=[tuple(session.attempts)], name='bags', daemon=True)
        self._reader.start()
        node.create_subscription(String, f'{RECORDER}/bag', self.hear, LATCHED)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, STATUS)

    def hear(self, message: String) -> None:
        """Take a claim about a bag."""
        try:
            if self._claims.qsize() >= WAITING:
                raise TrialError('too many reports of bags at once')
            self._claims.put(read_entry(message.data))
        except TrialError as error:
            self._refuse(str(error))

    def work(self) -> None:
        """Log what was read since, and tell people when trials are not recorded."""
        while not self._read.empty():
            entry, problem = self._read.get()
            if problem:
                self._refuse(problem)
            elif self._placed(entry):
                self._session.measure(entry['code'], partial(self._placed, entry))
        gone = self._session.signs.silent(RECORDER)
        self._session.unrecorded = GONE if gone else self._told

    def close(self) -> None:
        """Log the last bag, if it can be read soon; the recorder may end at the same time."""
        limit = time.monotonic() + PATIENCE
        self._claims.put(None)
        self._reader.join(PATIENCE)
        self.work()
        ran = [one for one in self._session.attempts if one.started == one.started][-1:]
        while time.monotonic() < limit and any(
                not one.values.get('bag') and (self._folder / 'bags' / one.code).is_dir()
                for one in ran):
            for found in unreported(ran, self._folder):
                self._read.put((found, ''))
            self.work()
            time.sleep(0.05)  # for a file that another process writes

    def _placed(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what an entry adds to the log; asked again when it is written, after others."""
        try:
            return placed(entry, self._session.attempts)
        except TrialError as error:
            self._refuse(str(error))
            return {}

    def _check(self, before: tuple[Attempt, ...]) -> None:
        for found in unreported(before, self._folder):
            self._read.put((found, ''))
        while (entry := self._claims.get()) is not None:
            try:
                check_file(entry, self._folder)
                self._read.put((entry, ''))
            except (TrialError, ValueError) as error:  # a path of bytes that no file can have
                self._read.put((entry, str(error)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._me:
                self._session.signs.hear(RECORDER)
                bad = _level(status.level) >= _level(DiagnosticStatus.WARN)
                self._told = f'{RECORDER}: {status.message[:200]}' if bad else ''


def _level(level: Any) -> int:
    return level[0] if isinstance(level, bytes) else int(level)
