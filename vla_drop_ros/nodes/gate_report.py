# SPDX-License-Identifier: Apache-2.0
"""What the command gate tells its operator: one diagnostic status, and counts for the log."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import UInt64

from vla_drop_ros.nodes.messages import clock_seconds, diagnostics_message, latency_values
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.runtime.gate import CommandGate, Decision, Mode
from vla_drop_ros.runtime.watchdog import kind

LEVELS = {Mode.EXECUTING: DiagnosticStatus.OK, Mode.HOLDING: DiagnosticStatus.WARN,
          Mode.ESTOPPED: DiagnosticStatus.ERROR, Mode.INACTIVE: DiagnosticStatus.WARN}
TOO_MANY_STOPS = 'publishers on estop: one that says false hides that another still says true'
TELL_NO_POLICY = (  # counters that do not depend on how fast or how wildly a policy acts
    'pose refused', 'joints refused', 'clock set back', 'pauses')


class GateReport:
    """Publishes on /diagnostics and ~/commands_altered when told to."""

    def __init__(self, node: Node, blinded: bool = False) -> None:
        """Publish in the name of ``node``; blinded, say nothing about a policy's times."""
        self._node, self._blinded = node, blinded
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self._altered = node.create_publisher(UInt64, '~/commands_altered', STATUS)

    def told(self, reason: str) -> str:
        """Return a reason as people may read it: ages tell how fast the policy is."""
        return kind(reason) if self._blinded else reason

    def publish(self, gate: CommandGate, decision: Decision, state: str, clock_fault: str,
                fields: dict[str, object]) -> None:
        """Say how it goes.

        Args:
            gate: whose counters and times are shown.
            decision: its newest.
            state: as published on ~/state.
            clock_fault: why time cannot be trusted, or ''.
            fields: more to show.

        """
        counters = dict(sorted(gate.counters.items()))
        self._altered.publish(UInt64(data=gate.counters['commands altered']))
        times = {} if self._blinded else latency_values(
            'capture to command', gate.capture_to_command.summary())
        if self._blinded:
            counters = {name: count for name, count in counters.items()
                        if name.startswith(TELL_NO_POLICY)}
        stops = self._node.count_publishers(self._node.resolve_topic_name('estop'))
        level, summary = LEVELS[decision.mode], state
        if clock_fault:
            level, summary = DiagnosticStatus.ERROR, clock_fault
        elif decision.reason and decision.mode != Mode.EXECUTING:
            summary = f'{decision.mode.value}: {self.told(decision.reason)}'
        if stops > 1:
            level = max(level, DiagnosticStatus.WARN)
            summary = f'{summary}; {stops} {TOO_MANY_STOPS}'
        self._diagnostics.publish(diagnostics_message(
            clock_seconds(self._node), self._node.get_fully_qualified_name().lstrip('/'), level,
            summary, {'mode': decision.mode.value, 'estop publishers': stops, **fields, **times,
                      **counters}))
