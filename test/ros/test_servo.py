# SPDX-License-Identifier: Apache-2.0
"""MoveIt Servo is told to listen to twists, once it is there; a refusal stops nobody."""

from collections.abc import Callable, Iterator
import time
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.servo import ServoServices
from vla_drop_ros.robot_contract import Servo

pytestmark = pytest.mark.ros

SWITCH, PAUSE = 'servo_node/switch_command_type', 'servo_node/pause_servo'


class Bench:
    """The services of Servo where they are wanted, and a node that owns the clients."""

    def __init__(self, servo: Servo) -> None:
        self.context = Context()
        self.context.init()
        self.node = Node('servo_node', context=self.context)
        self.owner = ManagedNode('owner', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.owner):
            self.executor.add_node(node)
        self.asked: list[Any] = []
        self.accepts = True
        self.services = ServoServices(self.owner, servo)

    def serve(self, kind: Any, name: str, field: str) -> None:
        """Offer a service that remembers what it is asked."""
        def answer(request: Any, response: Any) -> Any:
            self.asked.append(getattr(request, field))
            response.success = self.accepts
            return response

        self.node.create_service(kind, name, answer)

    def until(self, condition: Callable[[], Any]) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.02)


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[[Servo], Bench]]:
    made: list[Bench] = []

    def make(servo: Servo) -> Bench:
        made.append(Bench(servo))
        return made[-1]

    yield make
    for one in made:
        one.owner.close()
        one.owner.destroy_node()
        one.node.destroy_node()
        one.context.shutdown()


def test_a_servo_that_comes_late_is_told_then(make: Callable[[Servo], Bench]) -> None:
    """What was said before it was there is not lost, and is said once."""
    bench = make(Servo(pause=PAUSE))
    bench.services.begin()
    bench.serve(SetBool, PAUSE, 'data')
    bench.until(lambda: bench.asked)
    bench.services._call_waiting()
    bench.services.end()
    bench.until(lambda: len(bench.asked) > 1)
    assert bench.asked == [False, True]


def test_who_has_ended_releases_no_servo_that_comes_later(
        make: Callable[[Servo], Bench]) -> None:
    """The release that waits is forgotten at the end."""
    bench = make(Servo(pause=PAUSE))
    bench.services.begin()
    bench.services.end()
    bench.serve(SetBool, PAUSE, 'data')
    client = bench.services._pause
    assert client is not None
    bench.until(client.service_is_ready)
    bench.services._call_waiting()
    bench.services.end()
    bench.until(lambda: bench.asked)
    assert bench.asked == [True]


@pytest.mark.parametrize('accepts', [True, False])
def test_the_command_type_is_switched_to_twist(
        make: Callable[[Servo], Bench], accepts: bool) -> None:
    """By the number that moveit_msgs names so; refused, it is an error in the log and no more."""
    srv = pytest.importorskip(
        'moveit_msgs.srv', reason='moveit_msgs is not installed (it is not on PyPI)')
    bench = make(Servo(switch_command_type=SWITCH))
    bench.accepts = accepts
    bench.serve(srv.ServoCommandType, SWITCH, 'command_type')
    said: list[str] = []
    log = bench.owner.get_logger()
    bench.owner.get_logger = lambda: type('Log', (), {
        'info': staticmethod(said.append), 'error': staticmethod(said.append),
        'warning': staticmethod(lambda text, **options: log.warning(text, **options))})
    bench.services.begin()
    bench.until(lambda: said)
    assert bench.asked == [srv.ServoCommandType.Request.TWIST]
    assert ('refused' in said[0]) is not accepts
