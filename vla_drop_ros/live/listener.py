# SPDX-License-Identifier: Apache-2.0
"""Listen to a graph for a while, as the nodes would, and write down what came.

rclpy and the messages are imported when it is called: a desk without ROS can check files.
"""

from collections.abc import Callable, Mapping
from functools import partial
import math
import os
import time
from typing import Any

import numpy as np

from vla_drop_ros.errors import MissingDependencyError, ObservationError
from vla_drop_ros.live.evidence import (
    Arrival,
    AUTOMATIC,
    Endpoint,
    Evidence,
    Heard,
    MANUAL,
    Service,
    Transform,
)
from vla_drop_ros.live.expected import Input, inputs, services, topic_names
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.images import form_of, rgb_from
from vla_drop_ros.runtime.robot_inputs import joint_values, pose_values, seconds, stamp_of

Progress = Callable[[float, Mapping[str, int]], None]
INFINITE = 1e8
"""A duration beyond this is the DDS way to say never, [s]."""
SPIN = 0.05


def listen(contract: RobotContract, duration: float, namespace: str = '',
           progress: Progress | None = None) -> Evidence:
    """Listen for ``duration`` [s] and return what was heard.

    Args:
        contract: names the topics.
        duration: how long to listen, [s].
        namespace: in which the nodes will run.
        progress: called a few times a second with the elapsed time [s] and messages by stream.

    Raises:
        MissingDependencyError: rclpy is not there.

    """
    try:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        raise MissingDependencyError(
            f'--live needs rclpy ({error}); source your ROS 2 first, or see `vla_drop doctor`'
        ) from error
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(
        f'vla_drop_listener_{os.getpid()}', context=context, start_parameter_services=False,
        namespace=namespace.strip('/') or None, enable_rosout=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        listener = _Listener(node, contract)
        start = time.monotonic()
        told = start
        while (now := time.monotonic()) < start + duration:
            executor.spin_once(timeout_sec=SPIN)
            if progress is not None and now - told > 0.25:
                told = now
                progress(now - start, listener.counts)
        return listener.evidence(duration)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


class _Listener:
    """One node that subscribes to everything a contract reads."""

    def __init__(self, node: Any, contract: RobotContract) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from rosgraph_msgs.msg import Clock
        self._node = node
        self._contract = contract
        self._heard = {one.name: Heard() for one in inputs(contract)}
        self._simulated = math.nan
        self._has_clock = False
        for one in inputs(contract):
            node.create_subscription(_message(one), one.stream.topic,
                                     partial(self._on_message, one), qos_profile_sensor_data)
        node.create_subscription(Clock, '/clock', self._on_clock, qos_profile_sensor_data)
        self._transforms = self._subscribe_tf()

    @property
    def counts(self) -> dict[str, int]:
        """Return messages by stream."""
        return {name: len(heard.arrivals) for name, heard in self._heard.items()}

    def evidence(self, duration: float) -> Evidence:
        """Return what was heard, and how the graph looks now."""
        node, names = self._node, topic_names(self._contract)
        names += [one.topic for one in services(self._contract)]
        resolve = {name: node.resolve_topic_name(name) for name in names}
        found = Evidence(duration, resolve, heard=self._heard, transforms=self._transforms,
                         has_clock=self._has_clock)
        for topic in set(resolve.values()):
            found.publishers[topic] = [
                _endpoint(info) for info in node.get_publishers_info_by_topic(topic)]
            found.subscriptions[topic] = [
                _endpoint(info) for info in node.get_subscriptions_info_by_topic(topic)
                if info.node_name != node.get_name()]
        found.topics.update({topic: list(kinds)
                             for topic, kinds in node.get_topic_names_and_types()})
        for name, namespace in node.get_node_names_and_namespaces():
            try:
                answered = node.get_service_names_and_types_by_node(name, namespace)
            except Exception:  # noqa: BLE001 - a node that left meanwhile; rclpy has many errors
                continue
            found.services.update({service: list(kinds) for service, kinds in answered})
        return found

    def _on_clock(self, message: Any) -> None:
        self._has_clock = True
        self._simulated = seconds(message.clock)

    def _on_message(self, one: Input, message: Any) -> None:
        heard = self._heard[one.name]
        heard.arrivals.append(Arrival(time.monotonic(), time.time(), self._simulated,
                                      stamp_of(message)))
        heard.frames.add(message.header.frame_id)
        if one.group == 'cameras':
            _look_at_image(heard, message)
        elif one.name == 'state.joints':
            values = joint_values(message.name, message.position)
            if len(heard.arrivals) > 1:
                heard.partial |= heard.joints.keys() ^ values.keys()
            heard.joints |= values
            if not np.isfinite(list(values.values())).all():
                heard.refused = 'a position is not finite'
        else:
            position, quaternion = map(np.array, pose_values(message))
            if not np.isfinite([*position, *quaternion]).all():
                heard.refused = 'the pose is not finite'
            elif not np.isclose(np.linalg.norm(quaternion), 1.0, atol=0.01):
                heard.refused = (f'the orientation has length {np.linalg.norm(quaternion):.3g}, '
                                 'a quaternion has 1')
            else:
                heard.pose = (position, quaternion)

    def _subscribe_tf(self) -> dict[str, Transform] | None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return None
        transforms: dict[str, Transform] = {}

        def store(message: Any) -> None:
            for one in message.transforms:
                transforms[one.child_frame_id] = transform_of(one)

        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(TFMessage, '/tf', store, QoSProfile(depth=100))
        self._node.create_subscription(TFMessage, '/tf_static', store, latched)
        return transforms


def transform_of(message: Any) -> Transform:
    """Return the transform of a geometry_msgs/TransformStamped."""
    move, turn = message.transform.translation, message.transform.rotation
    return Transform(message.header.frame_id, np.array([move.x, move.y, move.z]),
                     np.array([turn.x, turn.y, turn.z, turn.w]))


def _look_at_image(heard: Heard, message: Any) -> None:
    """Decode the first image of each size and encoding, as the policy's node would."""
    form = form_of(message)
    if form and form in heard.forms:
        return
    heard.forms.add(form)
    try:
        height, width, _ = rgb_from(message).shape
        heard.size = (width, height)
    except ObservationError as error:
        heard.refused = str(error)


def _message(one: Input) -> Any:
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import CompressedImage, Image, JointState
    return {'Image': Image, 'CompressedImage': CompressedImage, 'PoseStamped': PoseStamped,
            'JointState': JointState}[one.kind.rpartition('/')[2]]


def _endpoint(info: Any) -> Endpoint:
    profile = info.qos_profile
    manual = profile.liveliness.name == 'MANUAL_BY_TOPIC'
    return Endpoint(
        f'{info.node_namespace.rstrip("/")}/{info.node_name}', info.topic_type,
        Service(profile.reliability.name.lower(), profile.durability.name.lower(),
                _duration(profile.deadline), MANUAL if manual else AUTOMATIC,
                _duration(profile.liveliness_lease_duration)))


def _duration(duration: Any) -> float:
    """Return [s]; zero and the largest durations mean that there is no limit."""
    value = float(duration.nanoseconds) / 1e9
    return value if 0.0 < value < INFINITE else math.inf
