# SPDX-License-Identifier: Apache-2.0
"""Between the web's thread and the node's: each press once, pictures only while they are fresh."""

from collections.abc import Mapping
from pathlib import Path
import threading
from typing import Any

import cv2
import numpy as np
import pytest

from vla_drop_ros.nodes import study_desk
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.study_desk import StudyDesk
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import state_of
from vla_drop_ros.trials.study_session import StudySession

pytestmark = pytest.mark.ros


class Room:
    """A desk with a session and a log in memory."""

    def __init__(self, folder: Path) -> None:
        self.design = parse_design({
            'title': 't', 'question': 'q', 'arms': [
                {'name': name, 'checkpoint': name} for name in ('baseline', 'pruned')],
            'conditions': [{'id': 'red', 'instruction': 'go'}], 'margin': 0.1, 'alpha': 0.05,
            'stopping': {'rule': 'fixed', 'horizon': 10}, 'minimum_baseline': 0.5,
            'timeout': 9.0, 'rest': 0.0, 'failure_reasons': ['dropped'],
            'invalid_reasons': ['camera_lost'], 'seed': 1})
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.conductor = Conductor(self.design, SealedSchedule(self.design, bytes(32)), self.log,
                                   lambda attempts: False)
        self.conductor.begin()
        self.session = StudySession(self.design, self.conductor, lambda: self.conductor, False)
        self.desk = StudyDesk(self.session, folder, self.log)
        self.show()

    def log(self, kind: str, data: Mapping[str, Any]) -> None:
        self.events.append((kind, data))

    def show(self) -> None:
        self.desk.show(state_of(self.session, self.design, 1.0))

    def trial(self) -> None:
        """Run a trial whose picture is kept."""
        for name in ('start', 'stop', 'success'):
            assert self.conductor.take(Verb(name, 'web'), 1.0).done
            if name == 'start':
                self.desk.save_picture()
        self.show()


class Executor(list[Verb]):
    """Does what is pressed, and remembers it."""

    def press(self, verb: Verb) -> Reply:
        self.append(verb)
        return Reply(True, 'done')


@pytest.fixture(name='room')
def _room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_presses_are_done_by_the_executor(room: Room) -> None:
    """The web's thread gets the reply; a press that waited too long is not done later."""
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(room.desk.press(Verb('stop', 'web'))))
    thread.start()
    executor = Executor()
    while thread.is_alive():
        room.desk.work(executor.press)
    assert replies == [Reply(True, 'done')] and executor == [Verb('stop', 'web')]


def test_a_press_nobody_took_is_never_done(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """People are told to press again, and the old press does nothing when the node wakes up."""
    monkeypatch.setattr(study_desk, 'PATIENCE', 0.01)
    assert not room.desk.press(Verb('start', 'web')).done
    executor = Executor()
    room.desk.work(executor.press)
    assert executor == []


def test_pictures(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG of the newest image while it is fresh; how the first trial began is the reference."""
    assert room.desk.camera() is None and room.desk.reference() is None
    room.desk.on_image(image_message(np.full((48, 64, 3), (200, 30, 30), np.uint8), 1.0, 'front'))
    picture = room.desk.camera()
    assert picture is not None
    seen = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None and abs(int(seen[5, 5, 2]) - 200) < 12, 'red stays red'
    room.trial()
    assert room.desk.reference() == picture and room.desk.state()['condition']['has_reference']
    room.trial()
    kept = [one.values.get('picture') for one in room.conductor.attempts[:2]]
    assert kept[0] and 'match' not in kept[0] and kept[1] and kept[1]['match'] > 0.95
    monkeypatch.setattr(study_desk, 'FRESH', -1.0)
    assert room.desk.camera() is None, 'a frozen picture is none'


def test_hostile_requests_are_logged_by_the_executor(room: Room) -> None:
    """A flood fills no disk: after some hundred only their number is kept."""
    for number in range(300):
        room.desk.report_hostile(f'no token {number}', '10.0.0.9')
    assert not any(kind == 'hostile' for kind, _ in room.events)
    room.desk.work(Executor().press)
    found = [data for kind, data in room.events if kind == 'hostile']
    assert len(found) == study_desk.HOSTILE_KEPT
    assert room.desk.hostile_requests == 300
    assert found[0] == {'what': 'no token 0', 'address': '10.0.0.9'}
