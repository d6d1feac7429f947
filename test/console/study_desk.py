# SPDX-License-Identifier: Apache-2.0
"""A desk for the tests of the console: a real study, its log on disk, and two pictures."""

from collections.abc import Mapping
from pathlib import Path
import threading
import time
from typing import Any

import cv2
import numpy as np

from vla_drop_ros.console.match import Image
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design, parse_design
from vla_drop_ros.trials.log import Event, read_log, TrialLog
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import incidents_of
from vla_drop_ros.trials.vocabulary import notes_by_use, reasons_by_use

STAGES = [{'id': 'reached', 'text': 'Was the hand above the named object?'},
          {'id': 'grasped', 'text': 'Was the named object lifted off the table?'}]
DESIGN = {
    'title': 'Half of the language blocks, on pick and place',
    'question': 'Is half as good as the whole?',
    'arms': [{'name': 'baseline', 'checkpoint': 'models/whole'},
             {'name': 'half', 'checkpoint': 'models/half'}],
    'conditions': [
        {'id': 'red-left', 'instruction': 'put the red cube in the left bin',
         'setup': 'Red cube in the middle, blue cube a hand to its right',
         'reference_image': 'red.jpg'},
        {'id': 'blue-right', 'instruction': 'put the blue cube in the right bin',
         'setup': 'Blue cube near the robot, green cube behind it',
         'reference_image': 'blue.jpg'}],
    'margin': 0.15, 'alpha': 0.05, 'stopping': {'rule': 'exact_paired', 'horizon': 4},
    'minimum_baseline': 0.5, 'timeout': 30.0, 'rest': 20.0, 'rubric': STAGES,
    'failure_reasons': ['missed_grasp', 'dropped', 'wrong_object'],
    'invalid_reasons': ['scene_was_wrong', 'emergency_stop', 'camera_lost'], 'seed': 7}


def picture(cube: tuple[int, int] = (300, 220), noise: float = 2.0, seed: int = 0) -> Image:
    """Return a table with a red cube at (column, row). Shape (480, 640, 3), BGR."""
    image = np.full((480, 640, 3), (120, 130, 140), np.float64)
    image[:160] = (60, 60, 70)
    column, row = cube
    image[row:row + 60, column:column + 60] = (40, 40, 200)
    image[300:340, 420:470] = (200, 90, 30)
    image += np.random.default_rng(seed).normal(0.0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image: Image) -> bytes:
    """Return a picture as JPEG."""
    return bytes(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


class StudyDesk:
    """Conducts a study as the trial node does; tests change what is ready and what is shown."""

    def __init__(self, folder: Path) -> None:
        self.design: Design = parse_design(DESIGN)
        self.log = TrialLog(folder / 'log.jsonl')
        self.may_stop = False
        self.conductor = Conductor(self.design, SealedSchedule(self.design, bytes(32)),
                                   self.log.append, lambda attempts: self.may_stop)
        self.conductor.begin()
        self.lock = threading.Lock()
        self.extra: dict[str, Any] = {}
        self.ready = {'policy': True, 'robot': True, 'scene': True}
        self.live: bytes | None = jpeg(picture(seed=1))
        self.arranged: bytes | None = jpeg(picture(noise=0.0))
        self.guessed: set[str] = set()

    @property
    def events(self) -> tuple[Event, ...]:
        """Return what is on disk."""
        return read_log(self.log.path).events

    def kinds(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the data of all events of a kind."""
        return [event.data for event in self.events if event.kind == kind]

    def state(self) -> Mapping[str, Any]:
        """Return the state as the trial node publishes it."""
        with self.lock:
            conductor, course = self.conductor, self.conductor.course
            running = conductor.phase is Phase.RUNNING
            undoable = course.undoable
            judged = [one for one in conductor.attempts if one.judged]
            condition = conductor.condition
            return {
                'study': self.design.title, 'question': self.design.question,
                'phase': conductor.phase.value, 'code': conductor.current.code,
                'pairs_done': len(judged) // 2, 'pairs_planned': self.design.stopping.horizon,
                'trials_done': len(judged), 'minutes_left': 100.0,
                'may_stop': course.may_stop,
                'condition': {'id': condition.id, 'task': condition.task,
                              'instruction': condition.instruction, 'setup': condition.setup,
                              'has_reference': self.arranged is not None},
                'timeout': self.design.timeout,
                'elapsed': time.monotonic() - conductor.current.started if running else 0.0,
                'rubric': STAGES, 'failure_reasons': reasons_by_use(
                    conductor.attempts, self.design.failure_reasons),
                'notes': notes_by_use(conductor.attempts),
                'incidents': incidents_of(conductor.current),
                'rest': {'minutes_worked': 0, 'due': False},
                'invalid_reasons': list(self.design.invalid_reasons),
                'undo': undoable.code if undoable else '',
                'last': {'code': judged[-1].code, 'verdict': judged[-1].verdict}
                if judged else None,
                'suggestion': None, 'ready': dict(self.ready), 'waiting': '', 'estop': False,
                'arranged': conductor.current.arranged,
                'gate': '', 'problem': '', 'rehearsal': False, 'operator': '',
                'guesses_wanted': [one.code for one in judged if one.code not in self.guessed],
                'stamp': time.monotonic(), **self.extra}

    def press(self, verb: Verb) -> Reply:
        """Hand a verb to the conductor; what only a node can do is done here."""
        with self.lock:
            if verb.name == 'reset':
                self.ready['scene'] = True
                return Reply(True, 'policy and scene are prepared again')
            if verb.name == 'rehearse':
                self.extra['rehearsal'] = verb.value
                return Reply(True, 'a rehearsal' if verb.value else 'this counts')
            if verb.name == 'leave':
                self.extra['leaving'] = verb.value
                return Reply(True, 'which one was it?')
            reply = self.conductor.take(verb, time.monotonic())
            if verb.name == 'guess' and reply.done:
                self.guessed.add(verb.code)
            return reply

    def camera(self) -> bytes | None:
        """Return the live picture."""
        return self.live

    def reference(self) -> bytes | None:
        """Return the arranged scene."""
        return self.arranged

    def report_hostile(self, what: str, address: str) -> None:
        """Write it down, as the trial node does."""
        with self.lock:
            self.log.append('hostile', {'what': what, 'address': address})
