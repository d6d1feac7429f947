# SPDX-License-Identifier: Apache-2.0
"""Camera images, robot state and an instruction in, action chunks out.

Callbacks store and return; a thread infers, another one loads. Torch is imported by the policy
registry when the first checkpoint is loaded, and nowhere else.
"""

from collections.abc import Callable
from functools import partial
import os
import sys
import threading

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64, String
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.errors import CheckpointError, VlaDropError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import (
    chunk_message,
    clock_seconds,
    pause_message,
)
from vla_drop_ros.nodes.parameters import declare
from vla_drop_ros.nodes.policy_report import PolicyReport
from vla_drop_ros.nodes.policy_settings import check_checkpoint, PolicyParameters
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.robot_contract import load_contract, RobotContract
from vla_drop_ros.runtime.policy_worker import Infers, PolicyWorker
from vla_drop_ros.runtime.replanning import Replanner, Request
from vla_drop_ros.runtime.resident import ResidentPolicies
from vla_drop_ros.runtime.robot_inputs import RobotInputs
from vla_drop_ros.types import ActionChunk, Observation

STOP_TIMEOUT = 5.0
Load = Callable[[str], Infers]
Check = Callable[[str, RobotContract | None], None]



class PolicyNode(ManagedNode):
    """Runs one checkpoint, swaps it on request, and says what it waits for."""

    _worker: PolicyWorker[Request[Image]] | None = None
    _contract: RobotContract | None = None

    def __init__(self, context: Context | None = None, overrides: list[Parameter] | None = None,
                 load: Load | None = None, check: Check = check_checkpoint) -> None:
        """Declare the parameters; everything else waits for ``configure``."""
        super().__init__('policy_node', context=context, parameter_overrides=overrides)
        self.parameters = declare(self, PolicyParameters)
        self._resident = ResidentPolicies(
            partial(load_policy, device=self.parameters.device,
                    threads=self.parameters.threads or None),
            checkpoint_hash, self.parameters.resident)
        self._load = load or self._resident.load
        self._check = check
        self._publishing = threading.RLock()
        self._load_ended = threading.Event()
        self._active_path = ''
        self._reverting = False
        self._report = PolicyReport(self)
        self._active_checkpoint = self.create_publisher(String, '~/checkpoint', LATCHED)
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def configure(self) -> None:
        """Read the contract, create the interfaces it names, load and warm up the checkpoint."""
        self._contract = contract = load_contract(self.parameters.robot)
        path = str(self.get_parameter('checkpoint').value)
        self._check(path, contract)
        self._inputs = RobotInputs(contract)
        self._replanner = Replanner(self._inputs.sync, self.parameters.replan_period)
        if self.parameters.instruction:
            self._replanner.instruct(self.parameters.instruction)
        self._load_ended.clear()
        self._worker = PolicyWorker(self._load, self._observe, self)
        self._worker.request_load(path)
        self.get_logger().info(f'loading checkpoint {path!r}')
        self._subscribe(contract)
        self._chunks = self.own_lifecycle_publisher(JointTrajectory, '~/action_chunk', COMMAND)
        self._latencies = self.own_lifecycle_publisher(Float64, '~/latency', STATUS)
        self._load_ended.wait()
        if not self._active_path:
            raise CheckpointError(self._report.load_failure)
        self._ticks = self.own(self.destroy_timer, self.create_timer(
            1.0 / contract.control_rate, self._on_tick, autostart=False))
        self.own(self.destroy_timer, self.create_timer(
            1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)))

    def activate(self) -> None:
        """Answer from now on."""
        self._replanner.restart()
        self._ticks.reset()

    def deactivate(self) -> None:
        """Send the empty chunk, so that the gate holds at once."""
        self._ticks.cancel()
        self._pause()

    def release(self) -> None:
        """End the threads and free the memory of the policy."""
        worker, self._worker = self._worker, None
        self._active_path = ''
        if worker is not None and not worker.stop(STOP_TIMEOUT):
            self.get_logger().warning('an inference or a load is still running at the end')
        self._resident.close()

    def on_chunk(self, chunk: ActionChunk, work: Request[Image]) -> None:
        """Publish a chunk, unless the robot has been asked to do something else meanwhile."""
        with self._publishing:
            if not self.is_active or work.episode != self._replanner.episode:
                self._report.chunk_dropped()
                return
            self._chunks.publish(chunk_message(chunk))
            latency = clock_seconds(self) - chunk.stamp
            self._latencies.publish(Float64(data=latency))
        self._report.chunk_published(latency, chunk.latency)

    def on_policy(self, policy: Infers, path: str) -> None:
        """Tell everybody which checkpoint answers now."""
        self._active_path = path
        self._report.loaded(policy.checkpoint)
        self._active_checkpoint.publish(String(data=policy.checkpoint))
        self.get_logger().info(f'checkpoint {policy.checkpoint} from {path!r} answers from now on')
        self._load_ended.set()

    def on_load_failed(self, path: str, reason: str) -> None:
        """Keep the checkpoint that runs, and say so."""
        self._report.load_failed(path, reason, self._active_path)
        self._load_ended.set()

    def on_infer_failed(self, reason: str) -> None:
        """Count and name a failed inference; the gate holds when there is no chunk."""
        self._report.inference_failed(reason)

    def _subscribe(self, contract: RobotContract) -> None:
        streams: list[tuple[type, str, Callable[..., None], QoSProfile]] = [
            (Image, stream.topic, partial(self._inputs.add_image, key), IMAGE)
            for key, stream in contract.cameras.items()]
        streams.append((PoseStamped, contract.pose.topic, self._inputs.add_pose, STATE))
        streams.append((String, 'instruction', self._on_instruction, LATCHED))
        if contract.joints is not None:
            streams.append((JointState, contract.joints.topic, self._inputs.add_joints, STATE))
        for message, topic, callback, qos in streams:
            self.own(self.destroy_subscription,
                     self.create_subscription(message, topic, callback, qos))

    def _on_instruction(self, message: String) -> None:
        with self._publishing:
            moves = self._replanner.instruct(message.data)
            if not moves:
                self._pause()
        if self._worker is not None:
            self._worker.request_reset()
        self.get_logger().info(f'instruction: {message.data!r}')

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Accept a checkpoint that fits, and have it loaded; refuse any other with the reason."""
        for changed in parameters:
            if changed.name == 'checkpoint' and not self._reverting:
                try:
                    self._check(changed.value, self._contract)
                except VlaDropError as error:
                    return SetParametersResult(successful=False, reason=str(error))
                if self._worker is not None:
                    self._report.load_failure = ''
                    self._worker.request_load(changed.value)
        return SetParametersResult(successful=True)

    def _on_tick(self) -> None:
        worker, policy = self._worker, self._worker.policy if self._worker else None
        if worker is None or policy is None or not worker.is_idle:
            return
        request = self._replanner.request(
            clock_seconds(self), policy.spec, policy.cameras, policy.state_names)
        if request is not None:
            worker.submit(request)

    def _observe(self, policy: Infers, work: Request[Image]) -> Observation:
        """Build what the policy sees; runs in the inference thread."""
        return self._inputs.observation(work.snapshot, policy.state_names, work.instruction)

    def _pause(self) -> None:
        with self._publishing:
            frame = self._contract.action.frame if self._contract else ''
            self._chunks.publish(pause_message(clock_seconds(self), frame))

    def _publish_diagnostics(self) -> None:
        """Look at the streams even when nothing is asked, so that a missing camera shows early."""
        policy = self._worker.policy if self._worker else None
        if policy is None:
            return
        if self._replanner.waiting or not self.is_active:
            self._replanner.observe(clock_seconds(self), policy.cameras, policy.state_names)
        self._report.publish(self._replanner, self.is_active)
        wanted = self.get_parameter('checkpoint').value
        if self._report.load_failure and wanted != self._active_path:
            self._reverting = True  # the parameter says what runs, not what was wished for
            self.set_parameters([Parameter('checkpoint', value=self._active_path)])
            self._reverting = False


def main(args: list[str] | None = None) -> int:
    """Run the policy in this process; return the exit code."""
    # Before torch is imported; threads that spin would starve the others for tens of ms.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    return run_node(PolicyNode, args, autostart=lambda node: node.parameters.autostart)


if __name__ == '__main__':
    sys.exit(main())
