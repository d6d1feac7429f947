# SPDX-License-Identifier: Apache-2.0
"""A process with a control timer, to see how punctual it is beside inference.

Settings: ``design`` (where the inference runs: ``separate`` process, ``thread`` of this one,
``callback`` of the same executor), ``rate`` [Hz], ``checkpoint`` and ``forward`` [s] of the
inference. Asked ``{"executor": name, "seconds": s}`` it spins for so long and tells the ``times``
[s] of the ticks and the ``end``, on the clock that all processes share, and the ``cpu`` [s] used.
"""

import threading
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import rclpy
from rclpy.node import Node

from bench.child import Bench
from bench.executors import callback_group, executor
from vla_drop_ros.nodes.process import SPIN_TIMEOUT
from vla_drop_ros.nodes.qos import COMMAND

EAGER = 0.001  # [s]; a timer that is always due


class Ticker:
    """One node with a control timer on an executor of its own, for one round."""

    def __init__(self, name: str, rate: float, infer: Any) -> None:
        """Create it; ``infer`` is called from a timer of the same executor, unless None."""
        self.times: list[float] = []
        self._node = Node('bench_ticker', start_parameter_services=False)
        self._commands = self._node.create_publisher(PoseStamped, 'bench/target_pose', COMMAND)
        self._node.create_timer(1.0 / rate, self._tick, callback_group=callback_group(name))
        if infer is not None:
            self._node.create_timer(EAGER, infer, callback_group=callback_group(name))
        self._executor = executor(name)
        self._executor.add_node(self._node)

    def run(self, seconds: float) -> float:
        """Tick for so long, [s]; return when it ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(SPIN_TIMEOUT, left))
        return end

    def close(self) -> None:
        """Make room for the next round: timers cannot rest in a multi-threaded executor."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _tick(self) -> None:
        self.times.append(time.monotonic())
        self._commands.publish(PoseStamped())


def main() -> None:
    """Load what the design needs, then run one round whenever asked."""
    bench = Bench()
    settings = bench.settings
    infer: Any = None
    if settings['design'] != 'separate':
        from bench.inference import Inference  # with torch
        infer = Inference(settings['checkpoint'], settings['forward']).infer
    rclpy.init()
    if settings['design'] == 'thread':
        threading.Thread(target=_without_pause, args=(infer, bench.ended), daemon=True).start()
    bench.tell(ready=True)
    while (question := bench.asked()) is not None:
        ticker = Ticker(question['executor'], settings['rate'],
                        infer if settings['design'] == 'callback' else None)
        cpu = time.process_time()
        end = ticker.run(question['seconds'])
        bench.tell(times=ticker.times, end=end, cpu=time.process_time() - cpu)
        ticker.close()
    rclpy.try_shutdown()


def _without_pause(infer: Any, ended: threading.Event) -> None:
    while not ended.is_set():
        infer()


if __name__ == '__main__':
    main()
