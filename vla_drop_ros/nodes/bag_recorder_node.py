# SPDX-License-Identifier: Apache-2.0
"""Records one MCAP bag a trial: cameras, states, chunks, commands, as they are on the wire."""

from dataclasses import dataclass
import json
import os
from pathlib import Path
import shutil
import sys
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.bag_streams import BagStreams, recorded_topics
from vla_drop_ros.nodes.messages import clock_seconds, diagnostics_message
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.trials.bag_writer import BagReport, BagWriter, Topic
from vla_drop_ros.trials.message_definitions import message_types

STATE = 'trial_node/state'
TICK = 0.05  # [s]
GRACE = 0.3  # [s] of the node's clock after a trial, for the last commands
PATIENCE = 2.0  # [s] after which it ends though the node's clock stands still
SILENCE = 3.0  # [s] without a trial node after which a recording ends
MEGABYTE = 2**20


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of ``bag_recorder``."""

    study: str = parameter('', 'Folder of a locked study; bags go to its folder bags')
    robot: str = parameter('', 'Path of the robot contract; names cameras, states and commands')
    extra_topics: tuple[str, ...] = parameter(('',), 'Further topics to record, of any type')
    minimum_free_mb: int = parameter(
        200, 'Free disk space without which no recording begins', unit='MB', minimum=1)


@dataclass(slots=True)
class Current:
    """The recording that is open.

    Attributes:
        bag: takes the messages.
        began: [ns] of the node's clock; what had been received before and waited gets this stamp,
            and so comes after the latched values.
        ends_at: [s] of the node's clock.
        ends_anyway: [s] of the steady clock.

    """

    bag: BagWriter
    began: int
    ends_at: float = float('inf')
    ends_anyway: float = float('inf')


class BagRecorderNode(Node):
    """Callbacks hand bytes to a writer's thread; a timer ends recordings and tells about them."""

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Check the study and the contract, and create the interfaces."""
        super().__init__('bag_recorder', context=context, parameter_overrides=overrides)
        wanted = self.parameters = declare(self, RecorderParameters)
        self._folder = Path(wanted.study).expanduser()
        if not wanted.study or not self._folder.is_dir():
            raise TrialError(f'the parameter study is {wanted.study!r}; give the folder of a '
                             'locked study')
        self._distro = os.environ.get('ROS_DISTRO', '')
        message_types(self._distro)  # a missing package is told now, not in the first trial
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._streams = BagStreams(
            self, [*recorded_topics(load_contract(wanted.robot)), *wanted.extra_topics],
            self._take, self._lose)
        self._current: Current | None = None
        self._closing: list[tuple[BagWriter, str]] = []
        self._running, self._heard_trials = '', self._seconds()
        self._written, self._problem = 0, ''
        self._reports = self.create_publisher(String, '~/bag', LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self.create_subscription(String, STATE, self._on_state, LATCHED)

    def start(self) -> bool:
        """Begin to listen."""
        self._on_second()
        self.create_timer(TICK, self._tick, clock=self._steady)
        self.create_timer(1.0, self._on_second, clock=self._steady)
        return True

    def close(self) -> None:
        """End the recording; nothing that was taken is lost."""
        self._finish('the recorder was stopped')
        while self._closing:
            bag, why = self._closing.pop(0)
            self._tell(bag.close(), why)
        self._reports.wait_for_all_acked(Duration(seconds=1.0))

    def _seconds(self) -> float:
        return float(self._steady.now().nanoseconds * 1e-9)

    def _take(self, topic: Topic, stamp: int, data: bytes) -> None:
        if self._current is not None:
            self._current.bag.write(topic, max(stamp, self._current.began), data)

    def _lose(self, topic: str, messages: int) -> None:
        if self._current is not None:
            self._current.bag.lose(topic, messages)

    def _on_state(self, message: String) -> None:
        """Follow the trials: a bag begins where a trial does, and nowhere else."""
        try:
            state = json.loads(message.data)
            runs = state['phase'] == 'running' and not state.get('rehearsal')
            running = str(state['code']) if runs else ''
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.get_logger().warning(f'{STATE}: no state of a trial: {error}',
                                      throttle_duration_sec=1.0)
            return
        if running == self._running:
            return
        self._running = running
        if running:
            self._finish('')
            self._begin(running)
        elif self._current is not None:
            self._current.ends_at = clock_seconds(self) + GRACE
            self._current.ends_anyway = self._seconds() + PATIENCE

    def _begin(self, code: str) -> None:
        try:
            free = shutil.disk_usage(self._folder).free / MEGABYTE
            if free < self.parameters.minimum_free_mb:
                raise TrialError(
                    f'not recorded: {free:.0f} MB are free on the disk, minimum_free_mb is '
                    f'{self.parameters.minimum_free_mb}; make room')
            bag = BagWriter(self._folder, code, self._distro)
        except (TrialError, OSError) as error:
            self._tell(BagReport(code, '', '', {}, {}, 0, 0, str(error)))
            return
        self._current = Current(bag, self.get_clock().now().nanoseconds)
        self._written = 0
        for topic, data in self._streams.latched():
            bag.write(topic, self._current.began, data)

    def _finish(self, why: str) -> None:
        """Take no more messages; the thread of the bag writes the rest."""
        if self._current is not None:
            self._current.bag.finish()
            self._closing.append((self._current.bag, why))
            self._current = None

    def _tick(self) -> None:
        current = self._current
        if current is not None and (clock_seconds(self) >= current.ends_at
                                    or self._seconds() >= current.ends_anyway):
            self._finish('')
        if self._closing and (report := self._closing[0][0].report) is not None:
            self._tell(report, self._closing.pop(0)[1])

    def _tell(self, report: BagReport, why: str = '') -> None:
        self._problem = report.problem or why
        if self._problem:
            self.get_logger().error(f'bag of trial {report.code}: {self._problem}')
        names = sorted({*report.messages, *report.lost})
        self._reports.publish(String(data=json.dumps({
            'code': report.code, 'uri': report.uri, 'sha256': report.sha256,
            'messages': sum(report.messages.values()), 'lost': sum(report.lost.values()),
            'topics': {name: {'messages': report.messages.get(name, 0),
                              'lost': report.lost.get(name, 0)} for name in names},
            'problem': self._problem})))

    def _on_second(self) -> None:
        self._streams.look(self._current is not None)
        now = self._seconds()
        if self.count_publishers(STATE):
            self._heard_trials = now
        elif now - self._heard_trials > SILENCE:
            self._finish('the trial node is gone')
        self._diagnostics.publish(self._status())

    def _status(self) -> DiagnosticArray:
        """Return what people see; nothing here tells how fast a policy is."""
        bag = self._current.bag if self._current is not None else None
        written = bag.written if bag is not None else 0
        rate, self._written = max(0, written - self._written) / MEGABYTE, written
        values: dict[str, Any] = {
            'recording': bag.code if bag is not None else '-', 'written [MB/s]': f'{rate:.0f}',
            'messages lost': bag.lost if bag is not None else 0,
            'being closed': len(self._closing), **self._streams.missing}
        try:
            free = shutil.disk_usage(self._folder).free / MEGABYTE
        except OSError as error:
            free, values['disk'] = 0.0, error.strerror
        values['disk free [MB]'] = f'{free:.0f}'
        level, summary = DiagnosticStatus.OK, 'recording' if bag is not None else 'waiting'
        if free < self.parameters.minimum_free_mb:
            level, summary = DiagnosticStatus.ERROR, 'the disk is full: trials are not recorded'
        elif self._problem or values['messages lost']:
            level, summary = DiagnosticStatus.WARN, self._problem or 'messages are lost'
        return diagnostics_message(
            clock_seconds(self), self.get_fully_qualified_name().lstrip('/'), level, summary,
            values)


def main(args: list[str] | None = None) -> int:
    """Run the recorder in this process; return the exit code."""
    return run_node(BagRecorderNode, args)


if __name__ == '__main__':
    sys.exit(main())
