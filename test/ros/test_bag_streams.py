# SPDX-License-Identifier: Apache-2.0
"""Raw subscriptions follow what publishers offer, of whatever type and quality."""

from collections.abc import Callable, Iterator
import time
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64, String

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.nodes.bag_streams import BagStreams, recorded_topics
from vla_drop_ros.nodes.qos import IMAGE, LATCHED, STATUS
from vla_drop_ros.resources import share_path
from vla_drop_ros.trials.bag_writer import Offer, Topic

pytestmark = pytest.mark.ros

NAME = '/arm/extra'


class Bench:
    """A listener in a namespace, and a node that publishes."""

    def __init__(self) -> None:
        self.context = Context()
        self.context.init()
        self.listener = Node('listener', context=self.context, namespace='/arm')
        self.node = Node('bench', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.listener, self.node):
            self.executor.add_node(node)
        self.heard: list[tuple[Topic, int, bytes]] = []
        self.streams = BagStreams(
            self.listener, ['extra', '/absent', ''],
            lambda topic, stamp, data: self.heard.append((topic, stamp, data)),
            lambda topic, messages: None)

    def until(self, condition: Callable[[], Any], limit: float = 20.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.02)

    def look_until(self, condition: Callable[[], Any], recording: bool = False) -> None:
        """Look, as a node does each second, until something has happened."""
        def looked() -> bool:
            self.streams.look(recording)
            return bool(condition())

        self.until(looked)

    def publisher(self, kind: Any, qos: QoSProfile, recording: bool = False) -> Any:
        """Return a publisher that is heard, looking as a node does."""
        publisher = self.node.create_publisher(kind, NAME, qos)
        self.look_until(publisher.get_subscription_count, recording)
        return publisher

    def close(self) -> None:
        """End everything."""
        self.executor.shutdown()
        for node in (self.listener, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(name='bench')
def _bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize('qos, offer', [
    (IMAGE, Offer(False, False)), (STATUS, Offer(True, False)), (LATCHED, Offer(True, True))])
def test_every_quality(bench: Bench, qos: QoSProfile, offer: Offer) -> None:
    """The bytes are those of the message; the topic says type and offer; the stamp is now."""
    publisher = bench.publisher(Float64, qos)
    before = bench.listener.get_clock().now().nanoseconds
    publisher.publish(Float64(data=0.5))
    bench.until(lambda: bench.heard)
    (topic, stamp, data), = bench.heard
    assert topic == Topic(NAME, 'std_msgs/msg/Float64', (offer,))
    assert data == serialize_message(Float64(data=0.5))
    assert before <= stamp <= bench.listener.get_clock().now().nanoseconds
    assert list(bench.streams.latched()) == ([(topic, data)] if offer.latched else [])


def test_what_was_latched_before(bench: Bench) -> None:
    """A value that was published before anybody listened is there, and only the last one."""
    publisher = bench.node.create_publisher(String, NAME, LATCHED)
    for word in ('old', 'new'):
        publisher.publish(String(data=word))
    bench.look_until(lambda: bench.heard)
    assert [data for _, data in bench.streams.latched()] == [
        serialize_message(String(data='new'))]


def test_a_publisher_that_offers_less(bench: Bench) -> None:
    """It is heard too, even in the middle of a recording; the latched value stays known."""
    latched = bench.publisher(String, LATCHED)
    latched.publish(String(data='go'))
    bench.until(lambda: bench.heard)
    volatile = bench.publisher(String, IMAGE, recording=True)
    volatile.publish(String(data='from a shell'))
    bench.until(lambda: len(bench.heard) == 2)
    assert bench.heard[1][0].offers == (Offer(True, True), Offer(False, False))
    assert [data for _, data in bench.streams.latched()] == [
        serialize_message(String(data='from a shell'))]


def test_no_repetition_in_a_recording(bench: Bench) -> None:
    """A better offer waits for the end of the recording; then the latched value is fetched."""
    volatile = bench.publisher(String, STATUS)
    bench.node.destroy_publisher(volatile)
    latched = bench.node.create_publisher(String, NAME, LATCHED)
    bench.until(lambda: latched.get_subscription_count()
                and len(bench.listener.get_publishers_info_by_topic(NAME)) == 1)
    latched.publish(String(data='go'))
    bench.until(lambda: bench.heard)
    for _ in range(5):
        bench.streams.look(recording=True)
        bench.executor.spin_once(timeout_sec=0.02)
    assert len(bench.heard) == 1
    bench.look_until(lambda: len(bench.heard) == 2)
    assert [data for _, data in bench.streams.latched()] == [
        serialize_message(String(data='go'))]


def test_a_type_that_is_not_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its topic is left out, and named; when the type is there, the topic is heard."""
    with monkeypatch.context() as patch:
        patch.delattr('std_msgs.msg.String')
        bench.node.create_publisher(String, NAME, STATUS)
        bench.look_until(lambda: bench.streams.missing)
        assert bench.streams.missing == {NAME: 'std_msgs/msg/String is not installed'}
    bench.streams.look(False)
    assert bench.streams.missing == {}


def test_topics_of_every_shipped_robot() -> None:
    """Cameras, state and commands of a contract are recorded; an action is no topic."""
    folder = share_path('config', 'robots')
    for path in sorted(folder.glob('*.yaml')):
        contract = load_contract(path)
        topics = recorded_topics(contract)
        assert {stream.topic for stream in contract.cameras.values()} <= set(topics)
        assert {contract.command.topic, contract.measured.topic} <= set(topics)
        gripper = contract.command.gripper
        if gripper is not None:
            assert (gripper.topic in topics) == (not gripper.type.endswith('_command'))
        assert 'policy_node/checkpoint' not in topics, 'it holds the token of the arm'
