# SPDX-License-Identifier: Apache-2.0
"""`vla_drop top` hears real publishers on the ROS domain; its exit status says how all is."""

from collections.abc import Callable, Iterator
import json
import threading
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from vla_drop_ros.cli import main as cli
from vla_drop_ros.cli.top import Listener, listening
from vla_drop_ros.dashboard.board import GATE, Health, POLICY, Report
from vla_drop_ros.preflight import private_domain

pytestmark = pytest.mark.ros

LIMIT = 15.0


class Robot:
    """A namespace in which policy node and gate send diagnostics ten times a second."""

    def __init__(self, namespace: str, level: bytes = DiagnosticStatus.OK,
                 parts: tuple[str, ...] = (GATE, POLICY)) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        for part in parts:
            node = rclpy.create_node(part, namespace=namespace, context=self._context)
            publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
            status = DiagnosticStatus(
                level=level, name=f'{namespace}/{part}', message='as it should be',
                values=[KeyValue(key='mode', value='executing')])
            node.create_timer(
                0.1, lambda to=publisher, one=status: to.publish(DiagnosticArray(status=[one])))
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        rclpy.try_shutdown(context=self._context)
        self._thread.join()


@pytest.fixture(autouse=True, scope='module')
def domain() -> Iterator[int]:
    """Work on a domain that nobody else uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv('ROS_DOMAIN_ID', raising=False)
        with private_domain() as number:
            yield number


@pytest.fixture
def robot() -> Iterator[Callable[..., Robot]]:
    """Return a starter of robots."""
    started: list[Robot] = []

    def start(*arguments: Any) -> Robot:
        started.append(Robot(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


def until(listener: Listener, condition: Callable[[Report], bool]) -> Report:
    """Listen until the report is as wanted."""
    end = time.monotonic() + LIMIT
    while not condition(report := listener.listen(0.1)):
        assert time.monotonic() < end, report.as_data()
    return report


def states(report: Report) -> dict[str, dict[str, Health]]:
    """Return namespace -> node -> health."""
    return {one.namespace: {node.name: node.health for node in one.nodes}
            for one in report.robots}


def test_two_robots_are_well(
        robot: Callable[..., Robot], capsys: pytest.CaptureFixture[str]) -> None:
    """One picture as text, without escape codes or trailing spaces, and exit status 0."""
    robot('left')
    robot('right')
    assert cli.main(['top', '--once']) == 0
    picture = capsys.readouterr().out
    assert '/left   e-stop released' in picture
    assert '/right   e-stop released' in picture
    assert 'all well' in picture
    assert '\033' not in picture
    assert all(line == line.rstrip() and len(line) <= 80 for line in picture.splitlines())


def test_an_error_is_seen_by_scripts(
        robot: Callable[..., Robot], capsys: pytest.CaptureFixture[str]) -> None:
    """JSON says which node has it, and the exit status is 1."""
    robot('', DiagnosticStatus.ERROR)
    assert cli.main(['top', '--once', '--json']) == 1
    data = json.loads(capsys.readouterr().out)
    assert data['healthy'] is False
    assert data['robots']['']['nodes'][GATE]['health'] == 'ERROR'
    assert data['robots']['']['nodes'][GATE]['values'] == {'mode': 'executing'}


def test_an_empty_domain_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing heard is exit status 1, with what to do."""
    assert cli.main(['top', '--once', '--listen', '0.3']) == 1
    assert 'vla_drop up' in capsys.readouterr().out


def test_who_falls_silent_is_dead(robot: Callable[..., Robot]) -> None:
    """A robot that was well and vanished is dead, the other one is not; and it may come back."""
    robot('left')
    right = robot('right')
    with listening() as listener:
        until(listener, lambda report: report.is_healthy and len(report.robots) == 2)
        right.close()
        report = until(listener, lambda report: states(report)['right'] == {
            GATE: Health.DEAD, POLICY: Health.DEAD})
        assert set(states(report)['left'].values()) == {Health.OK}
        assert report.robots[1].is_emergency_stopped is None
        robot('right')
        until(listener, lambda report: report.is_healthy)


def test_a_silent_node_of_the_graph_is_found(robot: Callable[..., Robot]) -> None:
    """A gate without its policy, and a policy that sends nothing, are not taken for a robot."""
    robot('left', DiagnosticStatus.OK, (GATE,))
    context = Context()
    rclpy.init(context=context)
    silent = rclpy.create_node(POLICY, namespace='left', context=context)
    with listening() as listener:
        report = until(listener, lambda report: any(
            'on the graph' in node.summary for one in report.robots for node in one.nodes)
            and states(report)['left'][GATE] == Health.OK)
        assert states(report)['left'][POLICY] == Health.MISSING
    silent.destroy_node()
    rclpy.try_shutdown(context=context)
