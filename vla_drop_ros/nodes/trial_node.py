# SPDX-License-Identifier: Apache-2.0
"""Runs a blinded study on the robot: schedule, people's verdicts, log, console."""

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
import json
from pathlib import Path
import sys
import time

from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Joy
from std_msgs.msg import Header, String

from vla_drop_ros import __version__
from vla_drop_ros.console.hostility import Hostility
from vla_drop_ros.console.qr_code import qr_code
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.machine_settings import MachineSettings
from vla_drop_ros.nodes.messages import clock_seconds, header
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.policy_streams import NO_TRIAL
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATUS
from vla_drop_ros.nodes.study_bags import StudyBags
from vla_drop_ros.nodes.study_desk import StudyDesk
from vla_drop_ros.nodes.study_errands import StudyErrands
from vla_drop_ros.nodes.study_verbs import Gamepad, hear_detectors, hear_verbs, offer_services
from vla_drop_ros.nodes.trial_streams import hear_machines, hear_robot
from vla_drop_ros.trials.commands import SendInstruction
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.host_load import HostLoad
from vla_drop_ros.trials.locked_study import load_study, open_schedule
from vla_drop_ros.trials.other_robots import OtherRobots
from vla_drop_ros.trials.rig import load_rig
from vla_drop_ros.trials.session_state import state_of
from vla_drop_ros.trials.study_log import begin_session, LOG_FILE, open_log
from vla_drop_ros.trials.study_session import StudySession
from vla_drop_ros.trials.unblinding import stopping_rule
from vla_drop_ros.trials.vital_signs import GATE, POLICY

REHEARSAL = 1_000_000  # round that no study reaches; its tokens are as good as any
TICK = 0.05  # [s]
WORDLESS = ('joy', 'service', 'topic')  # sources that do not say who pressed: it is the operator


@dataclass(frozen=True)
class TrialParameters:
    """Parameters of ``trial_node``."""

    study: str = parameter('', 'Folder of a locked study: vla_drop trials plan DESIGN -o FOLDER')
    robot: str = parameter('', 'Path of the robot contract; names the cameras')
    log: str = parameter('', "Log to write or go on with; '' is log.jsonl in the study's folder")
    robot_name: str = parameter('robot', 'Name of this robot in the log')
    operator: str = parameter('', 'Pseudonym of the person at the robot')
    rig_file: str = parameter(
        '', 'YAML that states robot, cameras, light and operator for the log, as '
        "config/rigs/example.yaml; '' states nothing")
    first_round: int = parameter(0, 'First round of this robot, where several share a study',
                                 minimum=0)
    end_round: int = parameter(0, 'Round before which this robot ends; 0: the last', minimum=0)
    reset_service: str = parameter(
        '', "Service (std_srvs/Trigger) by which the robot arranges the scene; '' people do it")
    scene_parameters: str = parameter(
        '', 'Node whose parameters seed, task and variant say which scene a reset arranges')
    success_topic: str = parameter('', 'Latched Bool by which a simulator says success')
    ends_on_success: bool = parameter(False, 'A success that is detected ends the trial')
    camera: str = parameter('', "Camera of the console; '' is the first of the contract")
    host: str = parameter('127.0.0.1', 'Address of the console; 0.0.0.0 is reachable by phones')
    port: int = parameter(8080, 'Port of the console; -1: no console', minimum=-1, maximum=65535)
    joy_topic: str = parameter('joy', 'Gamepad')
    joy_buttons: tuple[str, ...] = parameter(
        ('',), "What its buttons do: 'start=0', 'success=1', 'invalid camera_lost=6'")


class TrialNode(Node):
    """Callbacks hand what arrives to the session; a timer asks it what to send."""

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Open study and log, and create the interfaces."""
        super().__init__('trial_node', context=context, parameter_overrides=overrides)
        wanted = self.parameters = declare(self, TrialParameters)
        if not wanted.study:
            raise TrialError('the parameter study is empty; give the folder of a locked study')
        folder = Path(wanted.study).expanduser()
        study = load_study(folder)
        self.design, self._contract = study.design, load_contract(wanted.robot)
        if self.design.simulation and not wanted.scene_parameters:
            raise TrialError('the study is of a simulated robot: give reset_service and '
                             'scene_parameters, as ab_trial.launch.py does')
        rig = load_rig(wanted.rig_file) if wanted.rig_file else None
        schedule = open_schedule(folder, study)
        simulated = self.get_parameter('use_sim_time').value
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        path = Path(wanted.log).expanduser() if wanted.log else folder / LOG_FILE
        rounds = wanted.first_round, wanted.end_round
        self._log, events = open_log(path, study, wanted.robot_name, rounds, __version__)
        try:
            begin_session(self._log, events, wanted.operator, wanted.robot_name,
                          {**asdict(wanted), 'use_sim_time': simulated}, rig,
                          get_rmw_implementation_identifier(),
                          sha256(Path(wanted.robot).expanduser().read_bytes()).hexdigest())
            others = OtherRobots(folder, study, schedule, path, (wanted.robot_name, *rounds),
                                 self.get_logger().warning)
            conductor = Conductor(
                self.design, schedule, self._log.append,
                stopping_rule(schedule, self.design, study.boundaries), *rounds,
                elsewhere=others.attempts)
            conductor.resume((event.kind, event.data) for event in events)
        except BaseException:
            self._log.close()
            raise

        def rehearsal() -> Conductor:
            practice = Conductor(self.design, schedule, lambda kind, data: None,
                                 lambda attempts: False, REHEARSAL, prefix='R')
            practice.begin()
            return practice

        self._load = HostLoad(self.get_logger().warning)
        self.session = StudySession(
            self.design, conductor, rehearsal, resets=bool(wanted.reset_service),
            scenes=bool(wanted.scene_parameters), load=self._load)
        self._told = ''
        self._connect(folder)

    def _connect(self, folder: Path) -> None:
        wanted, session = self.parameters, self.session
        self._errands = StudyErrands(self, POLICY, wanted.scene_parameters, wanted.reset_service,
                                     session.answer)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self._beats = self.create_publisher(Header, '~/heartbeat', COMMAND)
        self._desk = StudyDesk(session, folder, self._log.append)
        self._hostility = Hostility(self._desk.report_hostile, time.monotonic)
        self._settings = MachineSettings(self, (POLICY, GATE))
        self._bags = StudyBags(self, session, folder, lambda why: self._refuse(f'bag: {why}'))
        hear_machines(self, session)
        self._measured = hear_robot(self, session, self._contract, wanted.camera,
                                    self._desk.on_image)
        offer_services(self, self.design, self.press)
        hear_verbs(self, self.press, self._refuse)
        hear_detectors(self, wanted.success_topic, lambda source, code, success, details:
                       session.detect(source, code, success, wanted.ends_on_success, details),
                       self._refuse)
        pad = Gamepad(wanted.joy_buttons, self.press)
        self.create_subscription(Joy, wanted.joy_topic, pad.hear, STATUS)

    @property
    def finished(self) -> bool:
        """Return whether the study is over; the node goes on, for guesses and the last undo."""
        return bool(self.session.conductor.course.finished)

    def start(self) -> bool:
        """Open the console and let the session run."""
        if self.parameters.port >= 0:
            url = self._desk.open(self.parameters.host, self.parameters.port)
            # Not logged: /rosout would tell the token to everybody in the domain.
            code = qr_code(url) if 'token' in url else ''
            sys.stderr.write(f'{code}\nconsole: {url}\n')
        self.create_timer(TICK, self._tick, clock=self._steady)
        return True

    def close(self) -> None:
        """Stop the policy, end a trial that runs, and close the log."""
        self._errands.silence()  # first: the console may take seconds to close
        self._desk.close()
        self.session.close()
        self._load.close()
        self._bags.close()
        self.session.write_held_up()
        try:
            self._log.append('session_end', {
                'hostile': self._desk.hostile_requests,
                'refused': self.session.conductor.refusals})
        except TrialError as error:
            self.get_logger().error(str(error))
        self._log.close()

    def press(self, verb: Verb) -> Reply:
        """Do what somebody wants; in the thread of the executor only."""
        if verb.source in WORDLESS and not verb.who:
            verb = replace(verb, who=self.parameters.operator)
        if verb.name == 'stop':
            self._errands.do([SendInstruction('')])  # first: the disk may take its time
        reply = self.session.press(verb)
        if reply.done and verb.name == 'start':
            self._beat()  # before the instruction: the policy obeys none while no trial runs
            self._desk.save_picture()
        self._go_on()
        return reply

    def _tick(self) -> None:
        for topic in self._measured:
            topic.fetch()
        try:
            self._desk.work(self.press)
            self._bags.work()
            self._settings.work(lambda node, parameters: self._log.append(
                'settings', {'node': node, 'parameters': dict(parameters)}))
        except TrialError as error:  # the log is full: people see it, the trials wait
            self.session.problem = str(error)
        self._go_on()
        self._beat()

    def _beat(self) -> None:
        """Tell the policy, which stops without it, that this node lives and if a trial runs."""
        runs = self.session.conductor.phase is Phase.RUNNING
        self._beats.publish(header(clock_seconds(self), '' if runs else NO_TRIAL))

    def _go_on(self) -> None:
        absent = self._errands.absent()
        if not self.count_publishers(f'{GATE}/state') or self.session.signs.silent(GATE):
            absent.append(GATE)
        self._errands.do(self.session.tick(
            clock_seconds(self), self._steady.now().nanoseconds * 1e-9, absent))
        self._publish_state()

    def _publish_state(self) -> None:
        state = state_of(self.session, self.design, clock_seconds(self))
        state['operator'] = self.parameters.operator
        self._desk.show(state)
        told = json.dumps({key: value for key, value in state.items()
                           if key not in ('stamp', 'elapsed')})
        if told != self._told:
            self._told = told
            self._state.publish(String(data=json.dumps(state)))

    def _refuse(self, why: str) -> None:
        """Write down what is believed of nobody; a flood fills neither log nor disk."""
        self._hostility.report(why, 'ROS graph')
        self.get_logger().warning(f'refused: {why}', throttle_duration_sec=1.0)


def main(args: list[str] | None = None) -> int:
    """Run the study in this process; return the exit code."""
    return run_node(TrialNode, args)


if __name__ == '__main__':
    sys.exit(main())
