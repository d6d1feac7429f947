# SPDX-License-Identifier: Apache-2.0
"""What the policy node tells its operator: one diagnostic status with the fix in its sentence."""

from collections import Counter
from collections.abc import Iterator, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image

from vla_drop_ros.nodes.messages import clock_seconds, diagnostics_message, latency_values
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.runtime.cadence import Cadence, Stages
from vla_drop_ros.runtime.latency import LatencyWindow
from vla_drop_ros.runtime.memory import MEGABYTE, process_memory
from vla_drop_ros.runtime.replanning import NO_INSTRUCTION, Replanner, Request
from vla_drop_ros.runtime.robot_inputs import RobotInputs
from vla_drop_ros.runtime.sealed_policies import NONE
from vla_drop_ros.runtime.stream_health import LOSS_WINDOW
from vla_drop_ros.runtime.watchdog import ClockWatch

TAKEN, UNLOADED, BROKEN = (
    'checkpoints taken over', 'checkpoints not loaded', 'pauses: streams broken')
TELL_NO_ARM = (TAKEN, UNLOADED, BROKEN)  # counters that say nothing of a policy's speed

LOST_FIX = ('start its driver with the shared-memory profile config/fastdds_shm.xml, or set its '
            'transport to compressed; see docs/performance.md')


class PolicyReport:
    """Counts, times and failures; publishes them on /diagnostics when told to."""

    def __init__(self, node: Node, blinded: bool = False) -> None:
        """Publish and log in the name of ``node``; blinded, say nothing about time."""
        self.load_failure = ''
        self._infer_failure = ''
        self._blinded = blinded
        self._checkpoint = NONE if blinded else ''
        self._counters: Counter[str] = Counter()
        self._cadence = Cadence()
        self._latency, self._age = LatencyWindow(), LatencyWindow()
        self._stages = {name: LatencyWindow() for name in (
            'queue', 'observe', 'inference', 'publish')}
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self._told = ''
        self._clock_watch = ClockWatch()

    def requested(self, age: float) -> None:
        """Record a request: how old its observation was already, [s]."""
        self._age.add(age)

    def chunk_published(self, latency: float) -> None:
        """Record a chunk: seconds from capture to publish."""
        self._infer_failure = ''
        self._counters['chunks published'] += 1
        self._latency.add(latency)

    def timed(self, stages: Stages, request: Request[Image]) -> None:
        """Record where the time of the chunk went that was published for a request."""
        self._cadence.add(stages, clock_seconds(self._node), request.episode, request.period)
        for name, window in self._stages.items():
            window.add(getattr(stages, name))

    def chunk_dropped(self) -> None:
        """Record a chunk that was made for an instruction no longer in force."""
        self._counters['chunks dropped: older instruction'] += 1

    def paused_by(self, problems: tuple[str, ...]) -> None:
        """Record and log a pause because of broken streams."""
        self._counters[BROKEN] += 1
        self._node.get_logger().error(f'pausing: {"; ".join(problems)}', throttle_duration_sec=1.0)

    def inference_failed(self, reason: str) -> None:
        """Record and log why an inference failed."""
        self._infer_failure = f'inference failed: {reason}'
        self._counters['inferences failed'] += 1
        self._node.get_logger().error(self._infer_failure, throttle_duration_sec=1.0)

    def loaded(self, checkpoint: str, path: str) -> None:
        """Record and log the short hash of the checkpoint that answers now."""
        self._checkpoint, self.load_failure, self._infer_failure = checkpoint, '', ''
        self._counters[TAKEN] += 1
        origin = '' if path == checkpoint else f' from {path!r}'
        self._node.get_logger().info(f'checkpoint {checkpoint}{origin} answers from now on')

    def load_failed(self, path: str, reason: str, kept: str) -> None:
        """Record and log why ``path`` does not answer, and what runs instead."""
        rest = f'; still running {kept!r}' if kept else ''
        self.load_failure = f'checkpoint {path!r} was not loaded: {reason}{rest}'
        self._counters[UNLOADED] += 1
        self._node.get_logger().error(self.load_failure)

    def end(self) -> None:
        """Log the cadence of the run, once, and begin anew."""
        report, self._cadence = self._cadence.report(), Cadence()
        if self._blinded:
            self._checkpoint = NONE
        elif report:
            self._node.get_logger().info(report)

    def publish(self, replanner: Replanner[Image], is_active: bool,
                usage: tuple[int, int], inputs: RobotInputs, more: Mapping[str, str]) -> None:
        """Publish one status; log it too when it changed in kind.

        Args:
            replanner: what is asked of the policy.
            is_active: whether chunks are published.
            usage: checkpoints in memory, and what their weights take, [byte].
            inputs: whose streams are shown; a camera that loses frames is warned of.
            more: further values.

        """
        now = clock_seconds(self._node)
        level, summary = self._judge(replanner, is_active)
        for lossy in self._lossy(inputs.losses(now)):
            level, summary = max(level, DiagnosticStatus.WARN), f'{summary}; {lossy}'
        values: dict[str, object] = {
            'checkpoint': self._checkpoint, 'instruction': replanner.instruction}
        resident = {'checkpoints in memory': usage[0],
                    'weights in memory [MB]': f'{usage[1] / MEGABYTE:.1f}'}
        if self._blinded:
            values |= resident | {name: self._counters[name] for name in TELL_NO_ARM}
        else:
            values |= {**self._times(), **resident, **more,
                       **inputs.health(now), **dict(sorted(self._counters.items()))}
        node = self._node
        self._publisher.publish(diagnostics_message(
            now, node.get_fully_qualified_name().lstrip('/'), level, summary,
            values))
        told = ''.join(character for character in summary if not character.isdigit())
        if told != self._told:
            self._told = told
            node.get_logger().info(summary)

    def _times(self) -> dict[str, str]:
        """Return what tells how fast the policy is, and what else depends on it."""
        values = {**latency_values('capture to publish', self._latency.summary()),
                  **latency_values('capture to request', self._age.summary())}
        for name, window in self._stages.items():
            values |= latency_values(name, window.summary())
        cadence, memory = self._cadence, process_memory()
        return {**values, 'chunks [1/s]': f'{cadence.rate:.2f}',
                'chunks wanted [1/s]': f'{cadence.wanted_rate:.2f}',
                'chunks over budget [%]': f'{100 * cadence.over_budget:.1f}',
                'process memory [MB]': '-' if memory is None else f'{memory / MEGABYTE:.0f}'}

    def _lossy(self, losses: Mapping[str, float]) -> Iterator[str]:
        """Yield what to say of each camera that loses frames; blinded without a number."""
        for key, share in losses.items():
            lost = 'frames' if self._blinded else f'{100 * share:.0f} % of its frames'
            yield f'camera {key!r} lost {lost} in the last {LOSS_WINDOW:.0f} s ({LOST_FIX})'

    def _judge(self, replanner: Replanner[Image], is_active: bool) -> tuple[bytes, str]:
        clock = self._clock_watch.fault(clock_seconds(self._node))
        failures = [text for text in (
            clock, *replanner.problems, self._infer_failure, self.load_failure) if text]
        if failures:
            return DiagnosticStatus.ERROR, '; '.join(failures)
        if self._checkpoint == NONE:
            return DiagnosticStatus.WARN, ('no policy answers: set the parameter checkpoint to '
                                           'the token of a trial')
        if not is_active:
            return DiagnosticStatus.WARN, 'inactive: activate the node to publish chunks'
        if replanner.refused or replanner.waiting == NO_INSTRUCTION:
            return DiagnosticStatus.WARN, replanner.waiting
        return DiagnosticStatus.OK, replanner.waiting or 'publishing chunks'
