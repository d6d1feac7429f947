# SPDX-License-Identifier: Apache-2.0
"""The only node that commands the robot. It needs neither torch nor the policy to be alive."""

from collections.abc import Callable
from dataclasses import dataclass
import sys

from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64, Header, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.bringup import leave_shared_memory
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.nodes.command_adapters import CommandAdapter, create_adapter, FLUSH_TIMEOUT
from vla_drop_ros.nodes.gate_report import GateReport
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import clock_seconds, incoming_chunk
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, ESTOP, LATCHED, STATE, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.estop import EstopLatch
from vla_drop_ros.runtime.gate import Command, CommandGate, Decision, Mode
from vla_drop_ros.runtime.robot_inputs import joint_values, pose_values, seconds, stamp_of
from vla_drop_ros.runtime.watchdog import ClockWatch, kind

# The e-stop is heard twice: as a volatile topic, which every publisher matches, and as a latched
# one, which tells a gate that starts late; the default warning about the mismatch would mislead.
QUIET = SubscriptionEventCallbacks(use_default_callbacks=False)


@dataclass(frozen=True)
class GateParameters:
    """Parameters of ``command_gate``."""

    robot: str = parameter('', 'Path of the robot contract; without one the node does not start')
    dry_run: bool = parameter(
        False, 'Command nothing, only compute, report and show ~/would_command; false does not '
        'lift a contract dry_run')
    blend: float = parameter(0.1, 'Time over which a new chunk fades in', unit='s', minimum=0.0,
                             maximum=1.0)
    ensemble: float = parameter(
        0.0, 'Temporal ensembling: time constant with which older chunks lose weight; 0: the '
        'newest chunk alone', unit='s', minimum=0.0, maximum=100.0)
    blinded: bool = parameter(
        False, 'Show no times and no counts of what a policy did, for a blinded study; the topics '
        'capture_to_command and commands_altered go on, for its log')
    autostart: bool = parameter(
        False, 'Configure and activate at start, without an outside lifecycle manager')


class CommandGateNode(ManagedNode):
    """Callbacks store and return; the timer decides, on the node's clock."""

    _contract: RobotContract
    _gate: CommandGate
    _adapter: CommandAdapter

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Declare the parameters; everything else waits for ``configure``."""
        super().__init__('command_gate', context=context, parameter_overrides=overrides)
        self.parameters = declare(self, GateParameters)
        self._decision = Decision(Mode.INACTIVE, '', None)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self._operator = GateReport(self, self.parameters.blinded)
        self._published_state = ''
        self._clock_watch, self._clock_fault = ClockWatch(), ''
        self._clock_stood = False
        self._estop = EstopLatch()  # outlives every configuration: only reset_estop releases it
        for qos in (ESTOP, LATCHED):
            self.create_subscription(Bool, 'estop', self._on_estop, qos, event_callbacks=QUIET)

    def configure(self) -> None:
        """Read the contract, then create the interfaces it names."""
        self._contract = load_contract(self.parameters.robot)
        self._dry_run = self.parameters.dry_run or self._contract.dry_run
        self._gate = CommandGate(
            self._contract, self.parameters.blend, self.parameters.ensemble, self._estop)
        self._adapter = create_adapter(self, self._contract)
        self._ages = self.own_lifecycle_publisher(Float64, '~/capture_to_command', STATUS)
        for message, topic, callback, qos in self._inputs():
            self.own(self.destroy_subscription, self.create_subscription(
                message, topic, callback, qos, event_callbacks=QUIET))
        for service, name, answer in (
                (Trigger, '~/reset_estop', self._on_reset_estop),
                (SetBool, '~/enable', self._on_enable)):
            self.own(self.destroy_service, self.create_service(service, name, answer))
        self._ticks = self.own(self.destroy_timer, self.create_timer(
            1.0 / self._contract.control_rate, self._on_time, autostart=False))
        self.own(self.destroy_timer, self.create_timer(
            1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME)))
        self._report(Decision(Mode.INACTIVE, '', None))

    def activate(self) -> None:
        """Begin from the measured pose."""
        self._gate.activate(clock_seconds(self))
        self._ticks.reset()
        if self._dry_run:
            self.get_logger().warning('dry run: nothing is published on the command topics; what '
                                      'would be is on ~/would_command')
        else:
            self._adapter.begin()
        self._on_tick()

    def deactivate(self) -> None:
        """Send the safety action and nothing after it."""
        self._ticks.cancel()
        command = self._gate.deactivate(clock_seconds(self))
        try:
            if command is not None:
                self._send(command, clock_seconds(self))
                self._adapter.flush()
        finally:
            if not self._dry_run:
                self._adapter.end()
        self._report(Decision(Mode.INACTIVE, '', None))
        self._state.wait_for_all_acked(Duration(seconds=FLUSH_TIMEOUT))  # the process may end now

    def _inputs(self) -> list[tuple[type, str, Callable[..., None], QoSProfile]]:
        measured = self._contract.measured.topic
        state = ((JointState, measured, self._on_joints, STATE) if self._contract.action.joints
                 else (PoseStamped, measured, self._on_pose, STATE))
        return [(JointTrajectory, 'policy_node/action_chunk', self._on_chunk, COMMAND),
                (Header, 'policy_node/heartbeat', self._on_heartbeat, COMMAND),
                state]

    def _on_chunk(self, message: JointTrajectory) -> None:
        reason = self._gate.offer(incoming_chunk(message), clock_seconds(self))
        if reason is not None and self.is_active:
            self.get_logger().warning(f'chunk rejected: {self._operator.told(reason)}',
                                      throttle_duration_sec=1.0)

    def _on_pose(self, message: PoseStamped) -> None:
        self._gate.add_pose(stamp_of(message), *pose_values(message), message.header.frame_id)

    def _on_joints(self, message: JointState) -> None:
        self._gate.add_joints(stamp_of(message), joint_values(message.name, message.position))

    def _on_heartbeat(self, message: Header) -> None:
        self._gate.add_heartbeat(seconds(message.stamp))

    def _on_estop(self, message: Bool) -> None:
        self._estop.update(message.data)
        if message.data and self.is_active:
            self._on_tick()

    def _on_reset_estop(self, request: Trigger.Request,
                        response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._gate.reset_estop(clock_seconds(self))
        self.get_logger().info(f'reset_estop: {response.message}')
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = self._gate.enable(request.data, clock_seconds(self))
        self.get_logger().info(f'enable {request.data}: {response.message}')
        return response

    def _on_time(self) -> None:
        """Tick; who drives a clock that stood still may have started again, robot and all."""
        if self._clock_stood:
            self._clock_stood = False
            self._gate.begin_anew(clock_seconds(self))
        self._on_tick()

    def _on_tick(self) -> None:
        now = clock_seconds(self)
        decision = self._gate.tick(now)
        if decision.command is not None:
            self._send(decision.command, now)
        if decision.requested is not None:
            self._adapter.publish_requested(decision.requested, now)
        if decision.chunk_age is not None:
            self._ages.publish(Float64(data=decision.chunk_age))
        self._report(decision)

    def _send(self, command: Command, now: float) -> None:
        """Command the robot; in a dry run only show what it would have been told."""
        if self._dry_run:
            self._adapter.publish_would(command, now)
        else:
            self._adapter.publish(command, now)

    def _report(self, decision: Decision) -> None:
        """Publish the state, and the diagnostics, when the mode changes."""
        changed = decision.mode != self._decision.mode
        self._decision = decision
        state = decision.mode.value
        if decision.mode in (Mode.HOLDING, Mode.ESTOPPED):
            state = f'{state}: {kind(decision.reason)}'
        if self._dry_run:
            state = f'dry_run {state}'
        if state != self._published_state:
            self._published_state = state
            self._state.publish(String(data=state))
            self.get_logger().info(state)
        if changed:
            self._publish_diagnostics()

    def _on_second(self) -> None:
        self._clock_fault = self._clock_watch.fault(clock_seconds(self))
        self._clock_stood = self._clock_stood or bool(self._clock_fault)
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        self._operator.publish(
            self._gate, self._decision, self._published_state,
            self._clock_fault if self.is_active else '',
            {'dry_run': self._dry_run, 'robot': self._contract.robot})


def main(args: list[str] | None = None) -> int:
    """Run the gate in this process; return the exit code."""
    leave_shared_memory()
    return run_node(CommandGateNode, args, autostart=lambda node: node.parameters.autostart)


if __name__ == '__main__':
    sys.exit(main())
