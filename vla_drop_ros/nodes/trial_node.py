# SPDX-License-Identifier: Apache-2.0
"""Runs a study on the robot graph: tells policy node and robot what to do, and logs outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import sys
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Float64, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros import __version__
from vla_drop_ros.errors import ObservationError, TrialError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATUS
from vla_drop_ros.runtime.images import rgb_from
from vla_drop_ros.runtime.robot_inputs import stamp_of
from vla_drop_ros.trials import commands
from vla_drop_ros.trials.episode import Arm, Episode, Study
from vla_drop_ros.trials.log import open_study, read_log
from vla_drop_ros.trials.recording import FrameRecorder
from vla_drop_ros.trials.report import as_text, summarize
from vla_drop_ros.trials.session import Session

POLICY, ROBOT, GATE = 'policy_node', 'simulated_robot', 'command_gate'
TICK = 0.05  # [s]


@dataclass(frozen=True)
class TrialParameters:
    """Parameters of ``trial_node``."""

    checkpoints: tuple[str, ...] = parameter(
        ('',), 'Checkpoint folders to compare, the baseline first, each as path or name=path')
    episodes: int = parameter(10, 'Episodes of each checkpoint', minimum=1)
    seed: int = parameter(
        900_000, 'Seed of the first scene; episode i uses seed + i for every checkpoint',
        minimum=0)
    task: str = parameter('', "Task of every scene; '' draws one from the seed")
    variant: str = parameter('nominal', 'Difficulty of the scenes')
    timeout: float = parameter(15.0, 'Longest episode, on the node clock', unit='s', minimum=0.1)
    budget: float = parameter(0.0, 'No scene is begun after this time; 0: no limit', unit='s')
    log: str = parameter('trial.jsonl', 'Append-only log; an existing one is never overwritten')
    resume: bool = parameter(False, 'Go on with an existing log of the same study')
    record_topic: str = parameter('studio_camera/image_raw', 'Camera for people')
    record_directory: str = parameter('', "Folder for that camera's frames; '' keeps none")
    record_pairs: int = parameter(1, 'Frames are kept of the first so many scenes', minimum=0)


def arms_of(checkpoints: Sequence[str]) -> tuple[Arm, ...]:
    """Return the arms of 'path' or 'name=path' entries; a bare path is named after its folder.

    Raises:
        TrialError: no checkpoint was given.
        CheckpointError: a folder is not a checkpoint.

    """
    given = [entry for entry in checkpoints if entry]
    if not given:
        raise TrialError('the parameter checkpoints is empty; give at least one folder: '
                         "-p checkpoints:='[baseline=/path, pruned=/path]'")
    arms = []
    for entry in given:
        name, _, path = entry.rpartition('=')
        folder = Path(path).expanduser().resolve()
        arms.append(Arm(name or folder.name, str(folder), checkpoint_hash(folder)))
    return tuple(arms)


class TrialNode(Node):
    """Callbacks hand what arrives to the session; a timer asks it what to send."""

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Open the log and create the interfaces."""
        super().__init__('trial_node', context=context, parameter_overrides=overrides)
        wanted = self.parameters = declare(self, TrialParameters)
        study = Study(arms_of(wanted.checkpoints), wanted.episodes, wanted.seed, wanted.task,
                      wanted.variant, wanted.timeout, __version__)
        self._study = study
        self._log, done = open_study(wanted.log, study, wanted.resume)
        self._recorder = FrameRecorder(wanted.record_directory)
        self.session = Session(study, done, self._record, budget=wanted.budget or float('inf'),
                               record_pairs=wanted.record_pairs if wanted.record_directory else 0)
        self._instruction = self.create_publisher(String, 'instruction', LATCHED)
        self._clients_by_name: dict[str, Any] = {
            name: self.create_client(kind, name) for name, kind in (
                (f'{POLICY}/set_parameters', SetParameters),
                (f'{ROBOT}/set_parameters', SetParameters), (f'{ROBOT}/reset', Trigger))}
        self._listen()

    def _listen(self) -> None:
        session = self.session
        topics: tuple[tuple[Any, str, Callable[[Any], None], Any], ...] = (
            (Bool, f'{ROBOT}/success',
             lambda message: session.success(message.data, self._now()), LATCHED),
            (String, f'{ROBOT}/scene', lambda message: session.scene(message.data), LATCHED),
            (String, f'{POLICY}/checkpoint',
             lambda message: session.checkpoint(message.data), LATCHED),
            (Float64, f'{POLICY}/latency', lambda message: session.latency(message.data), STATUS),
            (JointTrajectory, f'{POLICY}/action_chunk', self._on_chunk, COMMAND),
            (String, f'{GATE}/state', lambda message: session.gate(message.data), LATCHED),
            (ParameterEvent, '/parameter_events', self._on_parameters, STATUS),
            (DiagnosticArray, '/diagnostics', self._on_diagnostics, STATUS))
        for kind, topic, callback, qos in topics:
            self.create_subscription(kind, topic, callback, qos)
        # Pictures for people are costly to make: the simulator makes none without a listener.
        self._frames = self.create_subscription(
            Image, self.parameters.record_topic, self._on_frame, IMAGE) \
            if self.parameters.record_directory else None

    @property
    def finished(self) -> bool:
        """Return whether the study is over."""
        return self.session.finished

    def start(self) -> bool:
        """Begin; the first tick waits for policy node and robot to be there."""
        arms = ', '.join(f'{arm.name} {arm.short}' for arm in self._study.arms)
        self.get_logger().info(f'{self._study.episodes} episodes each of {arms}; log '
                               f'{Path(self.parameters.log).resolve()}')
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TICK, self._tick, clock=self._steady)
        return True

    def close(self) -> None:
        """Stop the policy and close the log; an unfinished study says that it is."""
        self._instruction.publish(String(data=''))
        self._instruction.wait_for_all_acked(Duration(seconds=1.0))
        if not self.finished:
            self._log.append('interrupted', {})
        self._log.close()

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _tick(self) -> None:
        absent = [name for name, client in self._clients_by_name.items()
                  if not client.service_is_ready()]
        for command in self.session.tick(
                self._now(), self._steady.now().nanoseconds * 1e-9, absent):
            self._perform(command)
        if self.finished:
            self._finish()

    def _finish(self) -> None:
        """Log and show the end.

        Raises:
            TrialError: the study stopped before its end; it ends the process with exit code 1.

        """
        if self.session.error is not None:
            self._log.append('stopped', {'reason': str(self.session.error)})
            raise self.session.error
        self._log.append('finished', {})
        summary = summarize(self._study, read_log(self.parameters.log).episodes)
        self.get_logger().info(f'all episodes are done\n{as_text(summary)}')

    def _perform(self, command: commands.Command) -> None:
        answer = partial(self._on_answer, command)
        if isinstance(command, commands.LoadCheckpoint):
            self._set_parameters(POLICY, {'checkpoint': command.path}, answer)
        elif isinstance(command, commands.PrepareScene):
            self._set_parameters(ROBOT, {'seed': command.seed, 'task': command.task,
                                         'variant': command.variant}, answer)
        elif isinstance(command, commands.ResetScene):
            self._clients_by_name[f'{ROBOT}/reset'].call_async(
                Trigger.Request()).add_done_callback(answer)
        else:
            self._instruct(command)

    def _instruct(self, command: commands.SendInstruction) -> None:
        self._recorder.end()
        self._recorder.begin(command.frames)
        if command.text and not command.frames and self._frames is not None:
            self.destroy_subscription(self._frames)
            self._frames = None
        self._instruction.publish(String(data=command.text))

    def _set_parameters(self, node: str, values: dict[str, Any],
                        answer: Callable[[Future], None]) -> None:
        request = SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        client = self._clients_by_name[f'{node}/set_parameters']
        client.call_async(request).add_done_callback(answer)

    def _on_answer(self, command: commands.Command, future: Future) -> None:
        response = future.result()
        if isinstance(response, SetParameters.Response):
            reasons = [result.reason for result in response.results if not result.successful]
            self.session.answer(command, not reasons, '; '.join(reasons))
        else:
            self.session.answer(command, response.success, response.message)

    def _on_chunk(self, message: JointTrajectory) -> None:
        if message.points:  # an empty chunk says that the policy paused
            self.session.chunk(stamp_of(message))

    def _on_frame(self, message: Image) -> None:
        try:
            self._recorder.add(stamp_of(message), rgb_from(message))
        except ObservationError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_parameters(self, message: ParameterEvent) -> None:
        if message.node.endswith(f'/{POLICY}'):
            for changed in message.changed_parameters:
                if changed.name == 'checkpoint':
                    self.session.configured(changed.value.string_value)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level != DiagnosticStatus.OK and status.name.endswith((POLICY, GATE, ROBOT)):
                self.session.complain(status.name.rpartition('/')[2], status.message)

    def _record(self, episode: Episode) -> None:
        self._log.append('episode', episode.to_dict())
        slot, latency = episode.slot, episode.latency
        self.get_logger().info(
            f'scene {slot.pair + 1} of {self._study.episodes}, {slot.arm}: {episode.outcome} '
            f'after {episode.duration:.1f} s, latency {1000 * latency.median:.0f} ms'
            + (f' ({episode.reason}: {episode.detail})' if episode.reason else ''))


def main(args: list[str] | None = None) -> int:
    """Run the study in this process; return the exit code, 0 when every episode was run."""
    return run_node(TrialNode, args, until=lambda node: node.finished)


if __name__ == '__main__':
    sys.exit(main())
