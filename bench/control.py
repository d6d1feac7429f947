# SPDX-License-Identifier: Apache-2.0
"""A process that stands for the command gate: it ticks, and notes what the policy node says.

It is run by ``nodes/process.py``, as the gate is. Settings: ``rate`` [Hz]. Asked
``{"report": true}`` it tells the ``ticks``, the ``chunks`` and the ``checkpoints`` (time and
hash) since it began, [s] on the clock that all processes share.
"""

import time

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from bench.child import Bench
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, LATCHED


class Control(Node):
    """Publishes a command a tick and subscribes as the gate does."""

    def __init__(self, bench: Bench) -> None:
        """Create the interfaces."""
        super().__init__('bench_control', start_parameter_services=False)
        self._bench = bench
        self._ticks: list[float] = []
        self._chunks: list[float] = []
        self._checkpoints: list[tuple[float, str]] = []
        self._commands = self.create_publisher(PoseStamped, 'bench/target_pose', COMMAND)
        self.create_subscription(
            JointTrajectory, 'policy_node/action_chunk', self._on_chunk, COMMAND)
        self.create_subscription(
            String, 'policy_node/checkpoint', self._on_checkpoint, LATCHED)
        self.create_timer(1.0 / bench.settings['rate'], self._tick)

    def start(self) -> bool:
        """Tell that it runs."""
        self._bench.tell(ready=True)
        return True

    def close(self) -> None:
        """Have nothing to end."""

    @property
    def has_ended(self) -> bool:
        """Answer what was asked; say whether the end has come."""
        while self._bench.is_asked:
            if self._bench.asked() is None:
                return True
            self._bench.tell(ticks=self._ticks, chunks=self._chunks,
                             checkpoints=self._checkpoints)
        return False

    def _tick(self) -> None:
        self._ticks.append(time.monotonic())
        self._commands.publish(PoseStamped())

    def _on_chunk(self, message: JointTrajectory) -> None:
        if message.points:
            if not self._chunks:
                self._bench.tell(first_chunk=True)
            self._chunks.append(time.monotonic())

    def _on_checkpoint(self, message: String) -> None:
        self._checkpoints.append((time.monotonic(), message.data))
        self._bench.tell(checkpoint=message.data)


def main() -> None:
    """Run until the end."""
    bench = Bench()
    run_node(lambda: Control(bench), [], until=lambda node: node.has_ended)


if __name__ == '__main__':
    main()
