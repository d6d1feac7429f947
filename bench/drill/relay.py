# SPDX-License-Identifier: Apache-2.0
"""A process between the robot and its computer that breaks streams on request.

Settings: ``streams``, name -> [kind, topic, prefix]; every topic is passed on under the prefix.
``clock``: whether /clock is passed on too, as /drill/clock; a process of its own does that, so
that the clock goes on where the streams leave.
Asked ``{"stream": name, "mode": distortion}`` it distorts that stream from the next message on;
``{"clock": seconds}`` moves /clock and every stamp from now on; ``{"clock": "stop"}`` and
``"go"`` halt and release /clock; ``{"participant": false}`` leaves the ROS graph with everything,
``true`` comes back as somebody new. It tells ``wall`` (monotonic, [s]).
"""

from collections.abc import Mapping
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

from bench.child import Bench
from bench.drill.distortion import Distortion, NANOSECONDS, shift
from vla_drop_ros.bringup import leave_shared_memory

KINDS = {'image': Image, 'pose': PoseStamped, 'joints': JointState}
DEEP = 20
HEARD = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEEP,
                   reliability=ReliabilityPolicy.BEST_EFFORT)
# Reliable towards the listener, which must miss nothing; who asks for best effort gets that.
SENT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEEP,
                  reliability=ReliabilityPolicy.RELIABLE)
TURN = 0.01  # [s] between two looks at what is asked


class Relay:
    """One participant that hears the robot and speaks in its place."""

    def __init__(self, streams: Mapping[str, tuple[str, str, str]], clock: bool) -> None:
        """Join the graph."""
        self._streams, self._with_clock = streams, clock
        self._modes = {name: Distortion() for name in streams}
        self._offset, self._halted = 0.0, False
        self._open()

    def _open(self) -> None:
        self._context = Context()
        self._context.init()
        name = 'drill_clock' if self._with_clock else 'drill_relay'
        self._node = Node(name, context=self._context, start_parameter_services=False,
                          enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._present = True
        self._publishers = {}
        for name, (kind, topic, prefix) in self._streams.items():
            self._publishers[name] = self._node.create_publisher(
                KINDS[kind], f'{prefix}/{topic}', SENT)
            self._node.create_subscription(
                KINDS[kind], topic, lambda message, name=name: self._on_message(name, message),
                HEARD)
        if not self._with_clock:
            return
        self._clock = self._node.create_publisher(Clock, '/drill/clock', SENT)
        self._node.create_subscription(Clock, '/clock', self._on_clock, HEARD)

    def close(self) -> None:
        """Leave the graph."""
        if self._present:
            self._executor.shutdown()
            self._node.destroy_node()
            self._context.shutdown()
        self._present = False

    def turn(self) -> None:
        """Pass on what has come."""
        if self._present:
            self._executor.spin_once(timeout_sec=TURN)
        else:
            time.sleep(TURN)

    def obey(self, wish: Mapping[str, Any]) -> None:
        """Do what is asked."""
        if 'stream' in wish:
            self._modes[wish['stream']] = Distortion(wish['mode'])
        elif wish.get('participant') is False:
            self.close()
        elif wish.get('participant') is True:
            self._open()
        elif wish['clock'] in ('stop', 'go'):
            self._halted = wish['clock'] == 'stop'
        else:
            self._offset += wish['clock']

    def _on_message(self, name: str, message: Any) -> None:
        for out in self._modes[name](shift(message, self._offset)):
            self._publishers[name].publish(out)

    def _on_clock(self, message: Clock) -> None:
        total = message.clock.sec * NANOSECONDS + message.clock.nanosec
        total = max(total + round(self._offset * NANOSECONDS), 0)
        message.clock.sec, message.clock.nanosec = divmod(total, NANOSECONDS)
        if not self._halted:
            self._clock.publish(message)


def main() -> None:
    """Pass on and distort until the drill closes the connection."""
    bench = Bench()
    if bench.settings['clock']:
        leave_shared_memory()  # a policy that is halted must not halt the clock with it
    relay = Relay(bench.settings['streams'], bench.settings['clock'])
    bench.tell(ready=True)
    while not bench.ended.is_set():
        if bench.is_asked and (wish := bench.asked()) is not None:
            wall = time.monotonic()
            relay.obey(wish)
            bench.tell(wall=wall)
        relay.turn()
    relay.close()


if __name__ == '__main__':
    main()
