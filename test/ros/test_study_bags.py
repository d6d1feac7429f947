# SPDX-License-Identifier: Apache-2.0
"""Nobody on the graph can give a trial another bag, and people hear when nobody records."""

from collections.abc import Callable, Iterator
from hashlib import sha256
import json
from pathlib import Path
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.nodes.study_bags import GONE, StudyBags
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.bag_entries import UNREPORTED
from vla_drop_ros.trials.vital_signs import SILENT, VitalSigns


class Session:
    """What of a session the bags need: one trial that was run."""

    def __init__(self) -> None:
        self.attempts = [Attempt('1', 0, 0, 'a', 'token', started=1.0, ended=2.0)]
        self.signs, self.unrecorded = VitalSigns(), ''

        self.full, self.held_up = False, list[Callable[[], dict[str, Any]]]()

    def measure(self, code: str, values: Callable[[], dict[str, Any]]) -> None:
        assert code == '1'
        self.held_up.append(values)
        while self.held_up and not self.full:
            self.attempts[0].apply('measured', {'values': self.held_up.pop(0)()})


class Graph:
    """The bags of a study, a recorder, and somebody who is not the recorder."""

    def __init__(self, study: Path) -> None:
        self.context = Context()
        self.context.init()
        self.node = Node('trial_node', context=self.context, namespace='cell')
        self.stranger = Node('stranger', context=self.context, namespace='cell')
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.stranger):
            self.executor.add_node(node)
        self.session, self.refused = Session(), list[str]()
        self.bags = StudyBags(self.node, self.session, study,  # type: ignore[arg-type]
                              self.refused.append)
        self.reports = self.stranger.create_publisher(String, 'bag_recorder/bag', LATCHED)
        self.health = self.stranger.create_publisher(DiagnosticArray, '/diagnostics', STATUS)

    def until(self, condition: Any) -> None:
        limit = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < limit, (self.refused, self.session.attempts)
            self.executor.spin_once(timeout_sec=0.02)
            self.session.signs.steady = time.monotonic()
            self.bags.work()

    def claim(self, claim: String, refused: int) -> None:
        """Publish a claim and wait until so many are refused in all."""
        self.reports.publish(claim)
        self.until(lambda: len(self.refused) == refused)

    def close(self) -> None:
        self.bags.close()
        for node in (self.node, self.stranger):
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='graph')
def _graph(tmp_path: Path) -> Iterator[Graph]:
    for name in ('1', '1-2'):
        (tmp_path / 'bags' / name).mkdir(parents=True)
        (tmp_path / 'bags' / name / f'{name}.mcap').write_bytes(name.encode())
    graph = Graph(tmp_path)
    yield graph
    graph.close()


def report(uri: str = 'bags/1', **changes: Any) -> String:
    """Return what the recorder says of a bag."""
    digest = sha256(Path(uri).name.encode()).hexdigest()
    return String(data=json.dumps({'code': '1', 'uri': uri, 'sha256': digest, 'messages': 5,
                                   'lost': 0, 'topics': {}, 'problem': '', **changes}))


def test_a_bag_is_logged_once_and_not_replaced(graph: Graph) -> None:
    """False claims before and after it are refused; a second bag stands beside it."""
    values = graph.session.attempts[0].values
    false = (report(sha256='0' * 64), report('bags/9'), report(code='2'), String(data='no JSON'))
    for number, claim in enumerate(false, start=1):
        graph.claim(claim, number)
    assert values == {}
    graph.reports.publish(report())
    graph.until(lambda: 'bag' in values)
    for number, claim in enumerate(false, start=5):
        graph.claim(claim, number)
    graph.reports.publish(report('bags/1-2'))
    graph.until(lambda: 'further_bags' in values)
    assert values['bag']['uri'] == 'bags/1' and len(graph.refused) == 8
    assert [one['uri'] for one in values['further_bags']] == ['bags/1-2']


def test_two_bags_that_a_full_disk_held_up_stand_beside_each_other(graph: Graph) -> None:
    """What the second adds is decided when it is written, and the first is there."""
    session = graph.session
    session.full = True
    for uri in ('bags/1', 'bags/1-2'):
        before = len(session.held_up)
        graph.reports.publish(report(uri))
        graph.until(lambda before=before: len(session.held_up) > before)
    session.full = False
    session.measure('1', dict)
    values = session.attempts[0].values
    assert values['bag']['uri'] == 'bags/1' and graph.refused == []
    assert [one['uri'] for one in values['further_bags']] == ['bags/1-2']


def test_people_hear_when_trials_are_not_recorded(graph: Graph) -> None:
    """What the recorder complains about, and that it says nothing any more; not of strangers."""
    def hears(level: bytes, unrecorded: str, name: str = 'cell/bag_recorder') -> bool:
        """Say it once more, as the recorder does every second, and whether people hear that."""
        graph.health.publish(DiagnosticArray(status=[
            DiagnosticStatus(level=level, name=name, message='the disk is full')]))
        return graph.session.unrecorded == unrecorded

    assert graph.session.unrecorded == '', 'nobody records, as people wanted'
    graph.until(lambda: hears(DiagnosticStatus.ERROR, 'bag_recorder: the disk is full'))
    graph.until(lambda: hears(DiagnosticStatus.OK, ''))
    for _ in range(20):
        assert hears(DiagnosticStatus.ERROR, '', 'bag_recorder'), 'of another cell'
        graph.executor.spin_once(timeout_sec=0.02)
        graph.bags.work()
    graph.session.signs.steady += SILENT + 1.0
    graph.bags.work()
    assert graph.session.unrecorded == GONE


def test_the_last_bag_is_read_before_the_node_ends(graph: Graph) -> None:
    """What was said before the end is in the log."""
    graph.bags.hear(report())
    graph.bags.close()
    assert graph.session.attempts[0].values['bag']['uri'] == 'bags/1'


def test_a_bag_of_the_session_before_is_logged(tmp_path: Path) -> None:
    """A trial node that was killed did not hear of it; the next one reads what lies there."""
    folder = tmp_path / 'bags' / '1'
    folder.mkdir(parents=True)
    (folder / '1.mcap').write_bytes(b'1')
    (folder / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information: {message_count: 5, topics_with_message_count: []}')
    graph = Graph(tmp_path)
    values = graph.session.attempts[0].values
    graph.until(lambda: 'bag' in values)
    assert values['bag'] == {'uri': 'bags/1', 'sha256': sha256(b'1').hexdigest(), 'messages': 5,
                             'topics': {}, 'problem': UNREPORTED}
    assert graph.refused == []
    graph.close()


def test_the_end_waits_for_a_bag_that_is_being_closed(tmp_path: Path) -> None:
    """Recorder and trial node end at the same time; what is whole soon is in the log."""
    folder = tmp_path / 'bags' / '1'
    folder.mkdir(parents=True)
    (folder / '1.mcap').write_bytes(b'1')
    graph = Graph(tmp_path)
    closing = threading.Thread(target=graph.bags.close)
    closing.start()
    graph.until(lambda: not graph.bags._reader.is_alive())
    (folder / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information: {message_count: 5, topics_with_message_count: []}')
    closing.join(20.0)
    assert graph.session.attempts[0].values['bag']['messages'] == 5
    graph.close()
