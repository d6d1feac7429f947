# SPDX-License-Identifier: Apache-2.0
"""Camera images, robot state and an instruction in, action chunks out.

Callbacks store and return; a thread infers, another one loads. Torch is imported by the policy
registry when the first checkpoint is loaded, and nowhere else.
"""

import os
import sys
import threading
import time

from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, Header, String
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.nodes import policy_streams as streams
from vla_drop_ros.nodes.checkpoint_parameter import CheckpointParameter
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import clock_seconds, header, pause_message, timed_message
from vla_drop_ros.nodes.parameters import declare
from vla_drop_ros.nodes.policy_report import PolicyReport
from vla_drop_ros.nodes.policy_settings import Check, PolicyParameters
from vla_drop_ros.nodes.policy_supply import Load, PolicySupply
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.cadence import Stages
from vla_drop_ros.runtime.execution import Execution
from vla_drop_ros.runtime.policy_worker import Infers, PolicyWorker
from vla_drop_ros.runtime.replanning import Replanner, Request
from vla_drop_ros.runtime.sealed_policies import NONE
from vla_drop_ros.runtime.sign_of_life import HEARTBEAT_PERIOD, SignOfLife
from vla_drop_ros.types import ActionChunk, Observation


class PolicyNode(ManagedNode):
    """Runs one checkpoint, swaps it on request, and says what it waits for."""

    _worker: PolicyWorker[Request[Image]] | None = None
    _contract: RobotContract | None = None
    stop_timeout = 5.0  # [s] that an inference may take to end at clean-up

    def __init__(self, context: Context | None = None, overrides: list[Parameter] | None = None,
                 load: Load | None = None, check: Check | None = None) -> None:
        """Declare the parameters; everything else waits for ``configure``."""
        super().__init__('policy_node', context=context, parameter_overrides=overrides)
        self.parameters = wanted = declare(self, PolicyParameters)
        self._supply = PolicySupply(wanted, load, check)
        self._publishing, self._load_ended = threading.RLock(), threading.Event()
        self._active_path, self._looked = '', 0.0
        self._report = PolicyReport(self, self._supply.blinded)
        self._active_checkpoint = self.create_publisher(String, '~/checkpoint', LATCHED)
        self._checkpoint = CheckpointParameter(self, self._accept)

    def configure(self) -> None:
        """Read the contract, create the interfaces it names, load and warm up the checkpoint."""
        self._contract = contract = load_contract(self.parameters.robot)
        path, blinded = self._checkpoint.value, self._supply.blinded
        self._supply.open(contract, path, self.get_logger().info)
        if blinded:  # whatever a run before has said
            self._active_checkpoint.publish(String(data=NONE))
        needed = bool(path) or not blinded
        self._execution = Execution(self.parameters.execution, contract)
        self._inputs = streams.robot_inputs(contract)
        self._life = SignOfLife()
        watched = (streams.watch_trials(self, lambda: self._replanner.instruction, lambda: (
            self._on_instruction(String()))),) if blinded else ()
        self._replanner = Replanner(self._inputs.sync, self.parameters.replan_period, *watched)
        if self.parameters.instruction:
            self._replanner.instruct(self.parameters.instruction)
        self._load_ended.clear()
        self._worker = PolicyWorker(self._supply.load, self._observe, self, not blinded)
        if needed:
            self._worker.request_load(path)
            self.get_logger().info(f'loading checkpoint {path!r}')
        for message, topic, callback, qos in streams.robot_streams(
                contract, self._inputs, self._execution):
            self.own(self.destroy_subscription,
                     self.create_subscription(message, topic, callback, qos))
        streams.hear_instructions(self, self._on_instruction)
        self._chunks = self.own_lifecycle_publisher(JointTrajectory, '~/action_chunk', COMMAND)
        self._heartbeats = self.own_lifecycle_publisher(Header, '~/heartbeat', COMMAND)
        if not blinded:  # speed tells the arm
            self._latencies = self.own_lifecycle_publisher(Float64, '~/latency', STATUS)
        if needed:
            self._load_ended.wait()
            if not self._active_path:
                raise CheckpointError(self._report.load_failure)
        self._pulses = [self.own(self.destroy_timer, self.create_timer(
            period, callback, autostart=False)) for period, callback in (
                (1.0 / contract.control_rate, self._on_tick), (HEARTBEAT_PERIOD, self._on_beat))]
        self.own(self.destroy_timer, self.create_timer(
            1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME)))

    def activate(self) -> None:
        """Answer from now on."""
        self._replanner.restart()
        tick, beat = self._pulses
        beat.reset()
        time.sleep(HEARTBEAT_PERIOD / 2)  # a beat right behind a request would hold it up
        tick.reset()

    def deactivate(self) -> None:
        """Send the empty chunk, so that the gate holds at once."""
        for timer in self._pulses:
            timer.cancel()
        self._pause()

    def release(self) -> None:
        """End the threads, free the memory of the policy, and tell how the run was."""
        worker, self._worker, self._active_path = self._worker, None, ''
        if worker is not None and not worker.stop(self.stop_timeout):
            self.get_logger().warning('an inference or a load is still running at the end')
        self._supply.close()
        self._report.end()

    def on_chunk(self, chunk: ActionChunk, work: Request[Image]) -> None:
        """Publish a chunk, unless the robot has been asked to do something else meanwhile."""
        with self._publishing:
            if not self.is_active or work.episode != self._replanner.episode:
                self._life.answered()
                self._report.chunk_dropped()
                return
            now = clock_seconds(self)
            timed = self._execution.timed(chunk, work.snapshot, now)
            self._life.answered()
            self._beat(now)  # first: the gate would refuse a chunk of a policy that seems dead
            self._chunks.publish(timed_message(timed))
            self._execution.sent(chunk)
            if self._execution.mode == 'synchronous':
                self._replanner.hold_off(timed.end)
        if not self._supply.blinded:
            self._latencies.publish(Float64(data=now - chunk.stamp))
        self._report.chunk_published(now - chunk.stamp)

    def on_timed(self, stages: Stages, work: Request[Image]) -> None:
        """Record where the time of a chunk went, if it was published."""
        if work.episode == self._replanner.episode:
            self._report.timed(stages, work)

    def on_policy(self, policy: Infers, path: str) -> None:
        """Tell everybody which checkpoint answers now."""
        self._active_path = path
        self._report.loaded(policy.checkpoint, path)
        self._active_checkpoint.publish(String(data=policy.checkpoint))
        self._load_ended.set()

    def on_load_failed(self, path: str, reason: str) -> None:
        """Keep the checkpoint that runs, and say so."""
        self._report.load_failed(path, reason, self._active_path)
        self._load_ended.set()

    def on_infer_failed(self, reason: str) -> None:
        """Count and name a failed inference; the gate holds when there is no chunk."""
        self._life.failed()
        self._report.inference_failed(reason)

    def _on_instruction(self, message: String) -> None:
        with self._publishing:
            moves = self._replanner.instruct(message.data)
            if not moves:
                self._pause()
        if self._worker is not None:
            self._worker.request_reset()
        self.get_logger().info(
            f'instruction: {self._replanner.instruction or self._replanner.waiting!r}')

    def _accept(self, path: str, others: bool) -> None:
        """Have a checkpoint loaded that fits; raise VlaDropError to refuse any other."""
        self._supply.check(path, self._worker.policy if self._worker and not others else None)
        if self._worker is not None:
            self._report.load_failure = ''
            self._worker.request_load(path)

    def _on_tick(self) -> None:
        worker, policy = self._worker, self._worker.policy if self._worker else None
        if worker is None or policy is None or not worker.is_idle:
            return
        now, names = clock_seconds(self), policy.state_names
        request = self._replanner.request(
            now, policy.spec, policy.cameras, self._execution.state_names(policy.spec, names))
        if request is not None:
            self._life.submitted(now)
            self._report.requested(now - request.snapshot.stamp)
            worker.submit(request)

    def _on_beat(self) -> None:
        """Look at the streams, pause at once when one breaks, and say how far all was well."""
        with self._publishing:
            now = clock_seconds(self)
            # After a delay of this process the newest messages still wait behind this timer.
            late, self._looked = now - self._looked > 3 * HEARTBEAT_PERIOD, now
            if not late and self._look(now):
                self._pause()
                self._report.paused_by(self._replanner.problems)
            self._beat(now)

    def _beat(self, now: float) -> None:
        problems = self._replanner.problems
        blind = bool(problems or self._worker is None or not self._worker.policy)
        stamp = self._life.stamp(now, wanted=not self._replanner.waiting, blind=blind)
        self._heartbeats.publish(header(stamp, streams.BLIND if problems else ''))

    def _look(self, now: float) -> bool:
        """Note what is wrong with the streams; say whether the robot must pause because of it."""
        policy = self._worker.policy if self._worker else None
        return policy is not None and self._replanner.breaks(
            now, policy.cameras, self._execution.state_names(policy.spec, policy.state_names))

    def _observe(self, policy: Infers, work: Request[Image]) -> Observation:
        """Build what the policy sees; runs in the inference thread."""
        self._execution.begin(work.episode, policy.checkpoint)
        seen = self._inputs.observation(work.snapshot, policy.state_names, work.instruction)
        return self._execution.prepared(seen, policy.spec, work.snapshot)

    def _pause(self) -> None:
        with self._publishing:
            frame = self._contract.action.frame if self._contract else ''
            self._chunks.publish(pause_message(clock_seconds(self), frame))

    def _on_second(self) -> None:
        """Tell how it goes; streams are looked at even while nothing is asked."""
        worker = self._worker
        if worker is None:
            return
        if not self.is_active:
            self._look(clock_seconds(self))
        self._report.publish(self._replanner, self.is_active, self._supply.usage, self._inputs,
                             {'execution': self._execution.mode})
        if worker.is_settled:
            self._checkpoint.correct(self._active_path)


def main(args: list[str] | None = None) -> int:
    """Run the policy in this process; return the exit code."""
    # Before torch is imported; threads that spin would starve the others for tens of ms.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    return run_node(PolicyNode, args, autostart=lambda node: node.parameters.autostart)


if __name__ == '__main__':
    sys.exit(main())
