# SPDX-License-Identifier: Apache-2.0
"""One bag a trial: begun and ended by the state of the trial node, with the very bytes."""

from collections.abc import Callable, Iterator
from hashlib import sha256
import json
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes import bag_recorder_node
from vla_drop_ros.nodes.bag_recorder_node import BagRecorderNode
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import pose_message
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATUS
from vla_drop_ros.resources import share_path

pytestmark = pytest.mark.ros
pytest.importorskip('rosbags.rosbag2')

CAMERA, COMMANDS, INSTRUCTION = '/front_camera/image_raw', '/target_pose', '/instruction'


class Bench:
    """The recorder, and a node that plays robot and trial node."""

    def __init__(self, study: Path, **settings: Any) -> None:
        self.study = study
        self.context = Context()
        self.context.init()
        self.recorder = BagRecorderNode(self.context, [
            Parameter(name, value=value) for name, value in {
                'study': str(study), 'robot': str(share_path('config', 'robots',
                                                             'simulated_arm.yaml')),
                'minimum_free_mb': 1, **settings}.items()])
        self.node = Node('bench', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.recorder, self.node):
            self.executor.add_node(node)
        self.bags: list[dict[str, Any]] = []
        self.diagnoses: list[DiagnosticArray] = []
        self.node.create_subscription(
            String, 'bag_recorder/bag',
            lambda message: self.bags.append(json.loads(message.data)), LATCHED)
        self.node.create_subscription(
            DiagnosticArray, '/diagnostics', self.diagnoses.append, STATUS)
        self.state = self.node.create_publisher(String, 'trial_node/state', LATCHED)
        self.camera = self.node.create_publisher(Image, CAMERA, IMAGE)
        self.commands = self.node.create_publisher(PoseStamped, COMMANDS, COMMAND)
        self.instruction = self.node.create_publisher(String, INSTRUCTION, LATCHED)
        self.sent: list[tuple[str, bytes]] = []
        assert self.recorder.start()
        self.publishers = (self.state, self.camera, self.commands, self.instruction)
        self.until(lambda: all(one.get_subscription_count() for one in self.publishers)
                   and self.state.get_subscription_count() == 2)

    def until(self, condition: Callable[[], Any], limit: float = 20.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.02)

    def run(self, duration: float) -> None:
        """Spin for so many seconds."""
        end = time.monotonic() + duration
        self.until(lambda: time.monotonic() >= end)

    def send(self, publisher: Any, message: Any) -> None:
        """Publish the very bytes that are remembered: padding is not the same twice."""
        self.sent.append((publisher.topic_name, serialize_message(message)))
        publisher.publish(self.sent[-1][1])

    def tell(self, phase: str, code: str, **more: Any) -> None:
        """Say how the trials stand, as the trial node does, and wait until it is heard."""
        self.send(self.state, String(data=json.dumps({'phase': phase, 'code': code, **more})))
        heard = code if phase == 'running' and not more.get('rehearsal') else ''
        self.until(lambda: self.recorder._running == heard)  # noqa: SLF001

    def drive(self, images: int) -> None:
        """Publish images at 20 Hz, with a command after each."""
        for number in range(images):
            end = time.monotonic() + 0.05
            pixels = np.full((48, 64, 3), len(self.sent) % 256, np.uint8)
            self.send(self.camera, image_message(pixels, float(number), 'front'))
            self.send(self.commands, pose_message(
                float(number), 'base_link', np.full(3, number / 10), np.array([1., 0., 0., 0.])))
            self.run(end - time.monotonic())

    def bag(self, number: int) -> dict[str, Any]:
        """Wait for a report."""
        self.until(lambda: len(self.bags) > number)
        return self.bags[number]

    def read(self, report: dict[str, Any], topic: str) -> list[bytes]:
        """Return the bytes of a topic in a bag."""
        from rosbags.rosbag2 import Reader
        with Reader(self.study / report['uri']) as reader:
            return [bytes(data) for connection, _, data in reader.messages()
                    if connection.topic == topic]

    def bytes_sent(self, topic: str) -> list[bytes]:
        """Return what was published on a topic since ``sent`` was cleared."""
        return [data for name, data in self.sent if name == topic]

    def close(self) -> None:
        """End everything."""
        self.executor.shutdown()
        self.recorder.close()
        for node in (self.recorder, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Return a maker of benches whose study is a folder of the test."""
    benches: list[Bench] = []

    def make_one(**settings: Any) -> Bench:
        benches.append(Bench(**{'study': tmp_path, **settings}))
        return benches[-1]

    yield make_one
    for bench in benches:
        bench.close()


def test_two_trials_give_two_bags(make: Callable[..., Bench]) -> None:
    """Each holds the very bytes of its own trial, and the latched values from before it."""
    bench = make()
    go = String(data='put the red cube in the left bin')
    bench.send(bench.instruction, go)
    bench.tell('arrange', '16')
    bench.drive(3)
    for number, code in enumerate(('16', '17')):
        bench.sent.clear()
        bench.tell('running', code)
        bench.drive(20)
        bench.tell('judge', code)
        report = bench.bag(number)
        assert (report['code'], report['uri'], report['problem']) == (code, f'bags/{code}', '')
        for topic in (CAMERA, COMMANDS):
            assert bench.read(report, topic) == bench.bytes_sent(topic)
            assert report['topics'][topic] == {'messages': 20, 'lost': 0}
        assert bench.read(report, INSTRUCTION) == [serialize_message(go)]
        assert bench.read(report, '/trial_node/state')[-2:] == bench.bytes_sent(
            '/trial_node/state')
        file = bench.study / report['uri'] / f'{code}.mcap'
        assert report['sha256'] == sha256(file.read_bytes()).hexdigest()
        assert report['lost'] == 0
        assert report['messages'] == sum(
            topic['messages'] for topic in report['topics'].values())
        bench.tell('arrange', str(int(code) + 1))
        bench.drive(3)


def test_the_last_commands_are_in(make: Callable[..., Bench],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent right after the end of a trial is recorded; what comes later is not."""
    monkeypatch.setattr(bag_recorder_node, 'GRACE', 1.0)  # a busy machine stalls for shorter
    bench = make()
    bench.tell('running', '1')
    bench.tell('judge', '1')
    bench.sent.clear()
    bench.drive(2)
    report = bench.bag(0)
    kept = len(bench.sent)
    bench.drive(2)
    assert bench.read(report, COMMANDS) == [
        data for name, data in bench.sent[:kept] if name == COMMANDS]


def test_an_undo_reopens_nothing(make: Callable[..., Bench]) -> None:
    """Back to the judgement of a trial, on to the next: one bag each, none twice."""
    bench = make()
    for phase, code in (('running', '1'), ('judge', '1'), ('arrange', '2'), ('judge', '1'),
                        ('arrange', '2'), ('running', '2'), ('judge', '2')):
        bench.tell(phase, code)
    bench.bag(1)
    assert [bag['uri'] for bag in bench.bags] == ['bags/1', 'bags/2']
    assert sorted(path.name for path in (bench.study / 'bags').iterdir()) == ['1', '2']


def test_a_trial_follows_at_once(make: Callable[..., Bench]) -> None:
    """A start before the grace of the trial before is over ends its bag and begins another."""
    bench = make()
    bench.tell('running', '1')
    bench.tell('judge', '1')
    bench.tell('running', '2')
    assert bench.bag(0)['code'] == '1'
    bench.drive(2)
    bench.tell('finished', '2')
    assert bench.bag(1)['topics'][COMMANDS]['messages'] == 2


def test_a_rehearsal_is_not_recorded(make: Callable[..., Bench]) -> None:
    """Its codes are those of real trials; nonsense on the topic changes nothing either."""
    bench = make()
    bench.tell('running', '1', rehearsal=True)
    for nonsense in ('', '[]', '{"phase": "running"}', 'null'):
        bench.send(bench.state, String(data=nonsense))
    bench.run(0.3)
    assert not (bench.study / 'bags').exists() and bench.bags == []
    bench.tell('running', '1')
    bench.tell('judge', '1')
    assert bench.bag(0)['uri'] == 'bags/1'


def test_a_code_that_is_a_path(make: Callable[..., Bench]) -> None:
    """It makes no folder; the reason is told in place of a bag."""
    bench = make()
    bench.tell('running', '../../evil')
    assert 'code of a trial' in bench.bag(0)['problem'] and bench.bags[0]['uri'] == ''
    assert not (bench.study / 'bags').exists()


def test_without_room(make: Callable[..., Bench]) -> None:
    """With too little room nothing is begun, and the report and the diagnostics say why."""
    bench = make(minimum_free_mb=10**9)
    bench.tell('running', '5')
    report = bench.bag(0)
    assert 'minimum_free_mb' in report['problem']
    assert (report['code'], report['uri'], report['messages']) == ('5', '', 0)
    assert not (bench.study / 'bags').exists()
    bench.until(lambda: any('the disk is full' in status.message
                            for array in bench.diagnoses for status in array.status))


def test_the_trial_node_dies(make: Callable[..., Bench],
                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anybody who says how the trials stand, the bag is closed and says so."""
    monkeypatch.setattr(bag_recorder_node, 'SILENCE', 0.5)
    bench = make()
    bench.tell('running', '1')
    bench.drive(2)
    bench.node.destroy_publisher(bench.state)
    report = bench.bag(0)
    assert report['problem'] == 'the trial node is gone'
    assert bench.read(report, COMMANDS) == bench.bytes_sent(COMMANDS)


def test_the_recorder_is_stopped(make: Callable[..., Bench]) -> None:
    """At its end it closes the bag, and nothing that it took is lost."""
    bench = make()
    bench.tell('running', '1')
    bench.drive(3)
    bench.recorder.close()
    report = bench.bag(0)
    assert report['problem'] == 'the recorder was stopped'
    assert bench.read(report, CAMERA) == bench.bytes_sent(CAMERA)


def test_simulated_time(make: Callable[..., Bench]) -> None:
    """Stamps are of the simulated clock; one that stands still holds no bag open for ever."""
    from rosbags.rosbag2 import Reader
    bench = make(use_sim_time=True)
    clock = bench.node.create_publisher(Clock, '/clock', IMAGE)
    message = Clock()
    message.clock.sec = 77
    bench.until(lambda: clock.publish(message) or (
        bench.recorder.get_clock().now().nanoseconds == 77 * 10**9))
    bench.tell('running', '1')
    bench.drive(2)
    bench.tell('judge', '1')
    report = bench.bag(0)
    with Reader(bench.study / report['uri']) as reader:
        assert {stamp for _, stamp, _ in reader.messages()} == {77 * 10**9}


def test_diagnostics(make: Callable[..., Bench]) -> None:
    """Once a second: what is recorded, how fast, what was lost, what room is left."""
    bench = make()
    bench.tell('running', '9')
    bench.drive(5)
    bench.diagnoses.clear()
    bench.until(lambda: len(bench.diagnoses) > 1)
    status = bench.diagnoses[-1].status[0]
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == 'bag_recorder' and status.message == 'recording'
    assert values['recording'] == '9' and values['messages lost'] == '0'
    assert float(values['disk free [MB]']) > 1 and 'written [MB/s]' in values


@pytest.mark.parametrize('study', ['', 'no/such/folder'])
def test_without_a_study(make: Callable[..., Bench], study: str) -> None:
    """Without the folder of a study the node does not start."""
    with pytest.raises(TrialError, match='study'):
        make(study=study)
