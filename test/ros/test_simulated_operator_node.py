# SPDX-License-Identifier: Apache-2.0
"""The simulated operator ends: an unattended study that cannot go on must not hang."""

from collections.abc import Iterator
import json

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.nodes.simulated_operator_node import SimulatedOperatorNode

pytestmark = pytest.mark.ros

ARRANGE = {
    'phase': 'arrange', 'code': '1', 'undo': '', 'waiting': '', 'guesses_wanted': [],
    'may_stop': False, 'last': '', 'trials_done': 0, 'pairs_done': 0, 'pairs_planned': 2,
    'suggestion': None, 'rubric': [], 'failure_reasons': [], 'invalid_reasons': [],
    'incidents': []}


class Refusing(Node):
    """A trial node whose disk is full: it hears every verb and changes nothing."""

    def __init__(self, context: Context) -> None:
        super().__init__('trial_node', context=context)
        self.heard: list[str] = []
        self.state = self.create_publisher(String, '~/state', LATCHED)
        self.create_subscription(
            String, '~/verb', lambda verb: self.heard.append(json.loads(verb.data)['verb']),
            STATUS)
        self.tell()

    def tell(self, **changes: object) -> None:
        """Publish a state."""
        self.state.publish(String(data=json.dumps({**ARRANGE, **changes})))


@pytest.fixture
def context() -> Iterator[Context]:
    """Yield a running context."""
    own = Context()
    own.init()
    yield own
    own.try_shutdown()


def spin(context: Context, node: SimulatedOperatorNode, other: Node, seconds: float) -> None:
    """Spin both until the operator is done, at most so long [s]."""
    executor = SingleThreadedExecutor(context=context)
    for one in (node, other):
        executor.add_node(one)
    begin = node.get_clock().now()
    while not node.finished and (node.get_clock().now() - begin).nanoseconds < seconds * 1e9:
        executor.spin_once(timeout_sec=0.05)


def test_it_gives_up_what_has_no_effect(context: Context) -> None:
    """It presses more than once, then says what and why not."""
    trials = Refusing(context)
    node = SimulatedOperatorNode(context, [Parameter('persistence', value=4.0)])
    node.start()
    with pytest.raises(TrialError, match="'start' has had no effect for 4 s"):
        spin(context, node, trials, 30.0)
    assert trials.heard == ['start', 'start']


def test_what_changes_the_state_is_not_given_up(context: Context) -> None:
    """The time counts from the first press of one and the same answer."""
    trials = Refusing(context)
    node = SimulatedOperatorNode(context, [Parameter('persistence', value=4.0)])
    node.start()
    spin(context, node, trials, 3.5)
    trials.tell(code='2')
    spin(context, node, trials, 3.5)
    trials.tell(phase='finished')
    spin(context, node, trials, 5.0)
    assert node.finished and set(trials.heard) == {'start'} and len(trials.heard) >= 3
