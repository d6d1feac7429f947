# SPDX-License-Identifier: Apache-2.0
"""What a recording of a trial holds: raw messages, of whatever type and quality publishers offer.

Types and quality of service are those of the publishers that are there, so that a camera driver
may be reliable or not, and a type that this machine lacks leaves out its topic and no other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.trials.bag_writer import Offer, Topic

Take = Callable[[Topic, int, bytes], None]

OF_EVERY_ROBOT = (
    'policy_node/action_chunk', 'policy_node/heartbeat', 'command_gate/state',
    'command_gate/requested', 'command_gate/capture_to_command', 'command_gate/commands_altered',
    'instruction', 'estop', 'trial_node/state', '/diagnostics', '/tf', '/tf_static', '/clock')
IMAGES_KEPT, KEPT = 10, 100  # [messages] that wait for the executor


def recorded_topics(contract: RobotContract) -> list[str]:
    """Return the topics of a trial on a robot; the goals of a gripper action are none."""
    gripper = contract.command.gripper
    names = [stream.topic for stream in contract.cameras.values()]
    names += [stream.topic for stream in (contract.pose, contract.joints) if stream]
    names.append(contract.command.topic)
    if gripper is not None and gripper.type in ('float64_multi_array', 'joint_trajectory'):
        names.append(gripper.topic)
    return [*names, *OF_EVERY_ROBOT]


@dataclass(slots=True)
class Heard:
    """One topic that is subscribed.

    Attributes:
        topic: with what its publishers offer.
        subscription: of rclpy.
        last: message that a recording begins with; None on a topic that is not latched.

    """

    topic: Topic
    subscription: Any
    last: bytes | None = None


class BagStreams:
    """Subscriptions that follow the publishers.

    Attributes:
        missing: topic -> why it cannot be recorded.

    """

    def __init__(self, node: Node, topics: Sequence[str], take: Take,
                 lost: Callable[[str, int], None]) -> None:
        """Subscribe to nothing before ``look``.

        Args:
            node: whose subscriptions these are.
            topics: names as the node would resolve them.
            take: gets each message: topic, time of reception [ns, node clock], bytes.
            lost: gets what the transport lost: topic, messages.

        """
        self._node, self._take, self._lost = node, take, lost
        self._names = dict.fromkeys(node.resolve_topic_name(name) for name in topics if name)
        self._heard: dict[str, Heard] = {}
        self._simulated = node.get_parameter('use_sim_time').value
        self.missing: dict[str, str] = {}

    def look(self, recording: bool) -> None:
        """Subscribe to what has appeared since, and anew where a publisher would not be heard.

        While something is recorded, no subscription is improved: that would repeat messages.
        """
        for name in self._names:
            offered = self._node.get_publishers_info_by_topic(name)
            if offered:
                self._hear(name, offered, recording)

    def latched(self) -> Iterator[tuple[Topic, bytes]]:
        """Yield the last message of every latched topic."""
        for heard in self._heard.values():
            if heard.last is not None:
                yield heard.topic, heard.last

    def _hear(self, name: str, offered: Sequence[Any], recording: bool) -> None:
        offers = tuple(dict.fromkeys(_offer(info.qos_profile) for info in offered))
        heard = self._heard.get(name)
        if heard is not None:
            had, wanted = _common(heard.topic.offers), _common(offers)
            deaf = (had.reliable and not wanted.reliable) or (had.latched and not wanted.latched)
            if had == wanted or (recording and not deaf):
                return
            self._node.destroy_subscription(heard.subscription)
        topic = Topic(name, offered[0].topic_type, offers)
        kind = _message_class(topic.kind)
        if kind is None:
            self.missing[name] = f'{topic.kind} is not installed'
            return
        self.missing.pop(name, None)
        self._heard[name] = Heard(topic, self._subscribe(topic, kind),
                                  heard.last if heard else None)

    def _subscribe(self, topic: Topic, kind: Any) -> Any:
        common = _common(topic.offers)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=IMAGES_KEPT if 'Image' in topic.kind else KEPT,
            reliability=ReliabilityPolicy.RELIABLE if common.reliable
            else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if common.latched
            else DurabilityPolicy.VOLATILE)

        def on_message(data: bytes, info: Mapping[str, int]) -> None:
            self._on_message(topic, data, info)

        return self._node.create_subscription(
            kind, topic.name, on_message, qos, raw=True,
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda event: self._lost(topic.name, event.total_count_change),
                use_default_callbacks=False))

    def _on_message(self, topic: Topic, data: bytes, info: Mapping[str, int]) -> None:
        # With a simulated clock the moment at which the middleware had it says nothing.
        stamp = 0 if self._simulated else info['received_timestamp']
        if any(offer.latched for offer in topic.offers):
            self._heard[topic.name].last = data
        self._take(topic, stamp or self._node.get_clock().now().nanoseconds, data)


def _offer(qos: QoSProfile) -> Offer:
    return Offer(qos.reliability == ReliabilityPolicy.RELIABLE,
                 qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)


def _common(offers: Iterable[Offer]) -> Offer:
    """Return the most that all publishers offer."""
    offers = list(offers)
    return Offer(all(offer.reliable for offer in offers), all(offer.latched for offer in offers))


def _message_class(kind: str) -> Any:
    """Return the class of a type such as std_msgs/msg/String, None where it is not installed."""
    package, _, name = kind.split('/')
    try:
        return getattr(import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None
