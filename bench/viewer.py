# SPDX-License-Identifier: Apache-2.0
"""A process that subscribes to camera images and notes when they come.

Settings: as ``bench/robot.py``, and ``executor``. Tells ``matched`` when every topic has a
publisher; asked ``{"report": true}`` it tells ``latencies`` [s] of all images since the last
report, from the stamp to the entry of the callback, ``cpu`` [s] that it used meanwhile and
``wall`` [s] that passed.
"""

import time
from typing import Any

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from bench.child import Bench
from bench.executors import callback_group, executor
from bench.robot import RELIABLE
from vla_drop_ros.nodes.process import SPIN_TIMEOUT
from vla_drop_ros.nodes.qos import IMAGE
from vla_drop_ros.runtime.robot_inputs import stamp_of


def main() -> None:
    """Spin until the end."""
    bench = Bench()
    rclpy.init()
    node = Node('bench_viewer', start_parameter_services=False)
    latencies: list[float] = []

    def note(message: Any) -> None:
        latencies.append(time.time() - stamp_of(message))

    kind = CompressedImage if bench.settings.get('compressed') else Image
    qos = RELIABLE if bench.settings.get('reliable') else IMAGE
    for topic in bench.settings['topics']:
        node.create_subscription(
            kind, topic, note, qos, callback_group=callback_group(bench.settings['executor']))
    spinner = executor(bench.settings['executor'])
    spinner.add_node(node)
    while not all(node.count_publishers(topic) for topic in bench.settings['topics']):
        spinner.spin_once(timeout_sec=0.01)
    bench.tell(matched=True)
    cpu, wall = time.process_time(), time.monotonic()
    while not bench.ended.is_set():
        spinner.spin_once(timeout_sec=SPIN_TIMEOUT)
        if bench.is_asked and bench.asked() is not None:
            bench.tell(latencies=latencies, cpu=time.process_time() - cpu,
                       wall=time.monotonic() - wall)
            latencies.clear()
            cpu, wall = time.process_time(), time.monotonic()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
