# SPDX-License-Identifier: Apache-2.0
"""What the policy node tells its operator: one diagnostic status with the fix in its sentence."""

from collections import Counter

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image

from vla_drop_ros.nodes.messages import clock_seconds, diagnostics_message, latency_values
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.runtime.latency import LatencyWindow
from vla_drop_ros.runtime.replanning import NO_INSTRUCTION, Replanner
from vla_drop_ros.runtime.watchdog import ClockWatch


class PolicyReport:
    """Counts, times and failures; publishes them on /diagnostics when told to."""

    def __init__(self, node: Node) -> None:
        """Publish and log in the name of ``node``."""
        self.load_failure = ''
        self._infer_failure = ''
        self._checkpoint = ''
        self._counters: Counter[str] = Counter()
        self._latency, self._inference = LatencyWindow(), LatencyWindow()
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self._told = ''
        self._clock_watch = ClockWatch()

    def chunk_published(self, latency: float, inference: float) -> None:
        """Record a chunk: seconds from capture to publish, and seconds spent in inference."""
        self._infer_failure = ''
        self._counters['chunks published'] += 1
        self._latency.add(latency)
        self._inference.add(inference)

    def chunk_dropped(self) -> None:
        """Record a chunk that was made for an instruction no longer in force."""
        self._counters['chunks dropped: older instruction'] += 1

    def inference_failed(self, reason: str) -> None:
        """Record and log why an inference failed."""
        self._infer_failure = f'inference failed: {reason}'
        self._counters['inferences failed'] += 1
        self._node.get_logger().error(self._infer_failure, throttle_duration_sec=1.0)

    def loaded(self, checkpoint: str) -> None:
        """Record the short hash of the checkpoint that answers now."""
        self._checkpoint, self.load_failure = checkpoint, ''

    def load_failed(self, path: str, reason: str, kept: str) -> None:
        """Record and log why ``path`` was not loaded, and what runs instead."""
        rest = f'; still running {kept!r}' if kept else ''
        self.load_failure = f'checkpoint {path!r} was not loaded: {reason}{rest}'
        self._node.get_logger().error(self.load_failure)

    def publish(self, replanner: Replanner[Image], is_active: bool) -> None:
        """Publish one status; log it too when it changed in kind."""
        level, summary = self._judge(replanner, is_active)
        values = {'checkpoint': self._checkpoint, 'instruction': replanner.instruction,
                  **latency_values('capture to publish', self._latency.summary()),
                  **latency_values('inference', self._inference.summary()),
                  **dict(sorted(self._counters.items()))}
        node = self._node
        self._publisher.publish(diagnostics_message(
            clock_seconds(node), node.get_fully_qualified_name().lstrip('/'), level, summary,
            values))
        told = ''.join(character for character in summary if not character.isdigit())
        if told != self._told:
            self._told = told
            node.get_logger().info(summary)

    def _judge(self, replanner: Replanner[Image], is_active: bool) -> tuple[bytes, str]:
        clock = self._clock_watch.fault(clock_seconds(self._node))
        failures = [text for text in (
            clock, *replanner.problems, self._infer_failure, self.load_failure) if text]
        if failures:
            return DiagnosticStatus.ERROR, '; '.join(failures)
        if not is_active:
            return DiagnosticStatus.WARN, 'inactive: activate the node to publish chunks'
        if replanner.waiting == NO_INSTRUCTION:
            return DiagnosticStatus.WARN, NO_INSTRUCTION
        return DiagnosticStatus.OK, replanner.waiting or 'publishing chunks'
