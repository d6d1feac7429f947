# SPDX-License-Identifier: Apache-2.0
"""The trial node as the web console sees it: its thread asks, the executor's thread answers."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path
import queue
import time
from typing import Any

import cv2
from sensor_msgs.msg import Image

from vla_drop_ros.console.match import match_of
from vla_drop_ros.console.server import Console
from vla_drop_ros.errors import ObservationError, TrialError
from vla_drop_ros.runtime.images import rgb_from
from vla_drop_ros.trials.conductor import Reply, Verb
from vla_drop_ros.trials.reference_pictures import ReferencePictures
from vla_drop_ros.trials.study_session import StudySession

PATIENCE = 5.0  # [s] that a press waits for the executor
HOSTILE_KEPT = 200  # requests a session that the log names; more are only counted
QUALITY = 85  # of the JPEG that people see and the log keeps
FRESH = 3.0  # [s] after which a picture shows the scene no more


class StudyDesk:
    """Shows state and pictures; presses come back through a queue.

    Attributes:
        hostile_requests: so many were turned away.

    """

    def __init__(self, session: StudySession, folder: Path,
                 log: Callable[[str, Mapping[str, Any]], object]) -> None:
        """Show ``session`` of the study in ``folder``; ``log`` appends an event."""
        self._session = session
        self._pictures = ReferencePictures(folder)
        self._log = log
        self._image: tuple[Image, float] | None = None
        self._state: Mapping[str, Any] = {}
        self._reference: tuple[str, bytes | None] = '', None
        self._pressed: queue.SimpleQueue[tuple[Verb, Future[Reply]]] = queue.SimpleQueue()
        self._hostile: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.hostile_requests = 0
        self._console: Console | None = None

    def open(self, host: str, port: int) -> str:
        """Open the console; return its address, with the token where it needs one.

        Raises:
            TrialError: the port is taken.
            MissingDependencyError: starlette or uvicorn is not installed.

        """
        self._console = Console(self, host, port)
        self._console.start()
        return self._console.url

    def close(self) -> None:
        """Close the console."""
        if self._console is not None:
            self._console.stop()

    def on_image(self, message: Image) -> None:
        """Keep the newest image; it is encoded when somebody looks."""
        self._image = message, time.monotonic()

    def show(self, state: dict[str, Any]) -> None:
        """Show a state from now on."""
        key = f'{state["code"]} {state["condition"]["id"]}'
        if self._reference[0] != key:
            conductor = self._session.conductor
            self._reference = key, self._pictures.reference(
                conductor.current.condition, conductor.attempts)
        state['condition']['has_reference'] = self._reference[1] is not None
        self._state = state

    def work(self, press: Callable[[Verb], Reply]) -> None:
        """Do what was pressed since; in the executor's thread."""
        while not self._pressed.empty():
            verb, answer = self._pressed.get()
            if answer.set_running_or_notify_cancel():
                answer.set_result(press(verb))
        while not self._hostile.empty():
            what, address = self._hostile.get()
            self.hostile_requests += 1
            if self.hostile_requests <= HOSTILE_KEPT:
                self._log('hostile', {'what': what[:200], 'address': address[:60]})

    def save_picture(self) -> None:
        """Keep how the scene looked when a trial began; without a camera there is none."""
        picture = self.camera()
        if picture is None or self._session.rehearsing:
            return
        code = self._session.conductor.current.code
        try:
            path, digest = self._pictures.save(code, picture)
        except TrialError as error:
            self._session.problem = str(error)
            return
        found: dict[str, Any] = {'uri': path, 'sha256': digest}
        reference = self._reference[1]
        if reference is not None:
            try:
                found['match'] = round(match_of(picture, reference), 4)
            except ValueError as error:
                self._session.problem = f'the reference picture: {error}'
        self._session.measure(code, lambda: {'picture': found})

    def state(self) -> Mapping[str, Any]:
        """Return what people are shown."""
        return self._state

    def press(self, verb: Verb) -> Reply:
        """Do what somebody pressed; waits for the executor."""
        answer: Future[Reply] = Future()
        self._pressed.put((verb, answer))
        try:
            return answer.result(PATIENCE)
        except TooLate:
            if answer.cancel():
                return Reply(False, 'the trial node is busy and has done nothing: press again')
            return answer.result()

    def camera(self) -> bytes | None:
        """Return the newest picture as JPEG, None without a fresh one."""
        newest = self._image
        if newest is None or time.monotonic() - newest[1] > FRESH:
            return None
        try:
            rgb = rgb_from(newest[0])
        except ObservationError:
            return None
        done, jpeg = cv2.imencode('.jpg', rgb[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        return jpeg.tobytes() if done else None

    def reference(self) -> bytes | None:
        """Return how the scene is to look, None where nobody knows."""
        return self._reference[1]

    def report_hostile(self, what: str, address: str) -> None:
        """Take note of a request that nobody at the robot makes."""
        self._hostile.put((what, address))
