# SPDX-License-Identifier: Apache-2.0
"""Listening with tf, where its messages are installed."""

from collections.abc import Iterator
import threading

import pytest

rclpy = pytest.importorskip('rclpy')

from geometry_msgs.msg import TransformStamped  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402

from vla_drop_ros.bringup import find_contract  # noqa: E402
from vla_drop_ros.contract_file import load_contract  # noqa: E402
from vla_drop_ros.live.listener import listen, transform_of  # noqa: E402
from vla_drop_ros.preflight import private_domain  # noqa: E402

pytestmark = pytest.mark.ros


def message() -> TransformStamped:
    """Return where the tip is: 0.1 m along z of the base, not turned."""
    one = TransformStamped(child_frame_id='tip')
    one.header.frame_id = 'base'
    one.transform.translation.z = 0.1
    return one


@pytest.fixture(name='node')
def _node() -> Iterator[Node]:
    with private_domain():
        context = Context()
        rclpy.init(context=context)
        node = Node('tf_source', context=context)
        yield node
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_transform_is_read() -> None:
    """Parent, position and quaternion arrive in their order."""
    read = transform_of(message())
    assert read.parent == 'base'
    assert read.position.tolist() == [0.0, 0.0, 0.1]
    assert read.quaternion.tolist() == [0.0, 0.0, 0.0, 1.0]


def test_static_transforms_are_heard_late(node: Node) -> None:
    """What was latched on /tf_static before the listener came is in the evidence."""
    messages = pytest.importorskip('tf2_msgs.msg')
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(messages.TFMessage, '/tf_static', latched)
    publisher.publish(messages.TFMessage(transforms=[message()]))
    evidence = listen(load_contract(find_contract('simulated_arm')), 1.5)
    assert evidence.transforms is not None and evidence.transforms['tip'].parent == 'base'


def test_the_listener_leaves_nothing_behind(node: Node) -> None:
    """After listening, no thread and no node of it is left."""
    threads = threading.active_count()
    listen(load_contract(find_contract('simulated_arm')), 0.5)
    assert threading.active_count() == threads
