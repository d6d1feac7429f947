# SPDX-License-Identifier: Apache-2.0
"""An instruction is heard once, and the last one wins, however busy the executor was."""

import time
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header, String

from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.policy_streams import hear_instructions, NO_TRIAL, Once, watch_trials
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATUS

pytestmark = pytest.mark.ros


def info(source: int, received: int) -> dict[str, Any]:
    """Return what rclpy tells of a message."""
    return {'source_timestamp': source, 'received_timestamp': received}


def test_an_older_message_never_follows_a_newer_one() -> None:
    """The latched copy of B comes first, then the volatile copies of A and B: only B counts."""
    heard: list[str] = []
    once = Once(heard.append)
    once.take('B', info(20, 21))
    once.take('A', info(10, 11))
    once.take('B', info(20, 22))
    assert heard == ['B']


def test_a_publisher_with_a_slow_clock_is_heard() -> None:
    """What counts is when it arrived here, not what another machine thinks the time is."""
    heard: list[str] = []
    once = Once(heard.append)
    once.take('go', info(1000, 21))
    once.take('stop', info(10, 22))
    assert heard == ['go', 'stop']


@pytest.mark.parametrize('qos', [LATCHED, STATUS], ids=['latched', 'volatile'])
def test_the_last_instruction_wins_after_a_busy_executor(qos: Any) -> None:
    """Bursts published while nobody spins: each is heard at most once, in order, the last one."""
    context = Context()
    context.init()
    publishing, node = Node('person', context=context), ManagedNode('policy', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: list[str] = []
    hear_instructions(node, lambda message: heard.append(message.data))
    publisher = publishing.create_publisher(String, 'instruction', qos)
    wanted = 2 if qos is LATCHED else 1
    end = time.monotonic() + 20.0
    while publisher.get_subscription_count() < wanted:
        assert time.monotonic() < end
        executor.spin_once(timeout_sec=0.05)
    for burst in range(20):
        for place in range(5):
            publisher.publish(String(data=f'{burst:02d}.{place}'))
        while not heard or heard[-1] != f'{burst:02d}.4':
            assert time.monotonic() < end, heard
            executor.spin_once(timeout_sec=0.05)
        for _ in range(6):  # late copies
            executor.spin_once(timeout_sec=0.005)
    assert heard == sorted(set(heard))
    node.destroy_node()
    publishing.destroy_node()
    context.shutdown()


def test_a_policy_that_missed_the_end_of_its_trial_is_told_by_the_beat() -> None:
    """While no trial runs nothing is obeyed; one beat that waited behind a start is no order."""
    context = Context()
    context.init()
    trials, node = Node('trial_node', context=context), ManagedNode('policy', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stops: list[int] = []
    fault = watch_trials(node, lambda: len(stops) < 2, lambda: stops.append(1))
    publisher = trials.create_publisher(Header, 'trial_node/heartbeat', COMMAND)
    limit = time.monotonic() + 20.0
    try:
        while not publisher.get_subscription_count():
            assert time.monotonic() < limit
            executor.spin_once(timeout_sec=0.05)
        for number, (frame, stopped) in enumerate((
                ('', 0), (NO_TRIAL, 0), ('', 0), (NO_TRIAL, 0), (NO_TRIAL, 1), (NO_TRIAL, 2),
                (NO_TRIAL, 2)), start=1):
            message = Header(frame_id=frame)
            message.stamp.sec = 10 * number
            publisher.publish(message)
            while fault(10.0 * number):  # until the newest beat is this one
                assert time.monotonic() < limit, (frame, stops)
                executor.spin_once(timeout_sec=0.05)
            assert len(stops) == stopped
    finally:
        node.destroy_node()
        trials.destroy_node()
        context.shutdown()
