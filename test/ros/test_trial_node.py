# SPDX-License-Identifier: Apache-2.0
"""The trial node runs a blinded study over real topics and services."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
import json
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, Joy
from std_msgs.msg import Bool, Float64, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import clock_seconds, header, pose_message
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.nodes.simulated_operator_node import SimulatedOperatorNode
from vla_drop_ros.nodes.trial_node import TrialNode
from vla_drop_ros.nodes.trial_streams import Unattended
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import load_study, lock, open_schedule
from vla_drop_ros.trials.log import read_log

pytestmark = pytest.mark.ros

SEALED_MEASURES = ('"motion"', '"control"', '"host"', '"prepare"', 'verdict_after', 'sparc',
                   'longest_gap', 'moved_after', 'gpu_', '"cpu"')
ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'


class Machines(Node):
    """Policy node, gate and robot in one: obeys tokens, moves when instructed, may solve."""

    def __init__(self, context: Context) -> None:
        super().__init__('simulated_robot', context=context)
        self.policy = Node('policy_node', context=context)
        self.policy.declare_parameter('checkpoint', '')
        self.solves: Callable[[], bool] = lambda: True
        self.instruction, self.chunks, self.resets = '', 0, 0
        for name, value in (('seed', 0), ('task', ''), ('variant', '')):
            self.declare_parameter(name, value)
        publish = self.create_publisher
        self._sealed = publish(String, 'policy_node/checkpoint', LATCHED)
        self.gate = publish(String, 'command_gate/state', LATCHED)
        self._chunk = publish(JointTrajectory, 'policy_node/action_chunk', COMMAND)
        self._age = publish(Float64, 'command_gate/capture_to_command', STATUS)
        self._success = publish(Bool, '~/success', LATCHED)
        self._camera = publish(Image, 'front_camera/image_raw', IMAGE)
        self._pose = publish(PoseStamped, 'ee_pose', STATE)
        self._command = publish(PoseStamped, 'target_pose', COMMAND)
        self.gate.publish(String(data='holding: no chunk'))
        self.create_subscription(String, 'instruction', self._instruct, LATCHED)
        self.create_service(Trigger, '~/reset', self._reset)
        self.create_timer(0.05, self._act)

    def _instruct(self, message: String) -> None:
        self.instruction, self.chunks = message.data, 0

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.resets += 1
        self._success.publish(Bool(data=False))
        response.success, response.message = True, json.dumps({'instruction': 'go'})
        return response

    def _act(self) -> None:
        now = clock_seconds(self)
        self._camera.publish(image_message(np.full((8, 8, 3), 90, np.uint8), now, 'front'))
        sealed = self.policy.get_parameter('checkpoint').value
        self._sealed.publish(String(data=sealed))
        if self.instruction:
            self.chunks += 1
            self._chunk.publish(JointTrajectory(header=header(now, 'base_link'),
                                                points=[JointTrajectoryPoint()]))
            self._age.publish(Float64(data=0.12))
            place = pose_message(now, 'base_link', np.array([0.4, 0.02 * self.chunks, 0.2]),
                                 np.array([0.0, 0.0, 0.0, 1.0]))
            self._pose.publish(place)
            self._command.publish(place)
            if self.chunks == 3 and self.solves():
                self._success.publish(Bool(data=True))


class Cell:
    """A study of two rounds with all that belongs to it in one executor."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.context = folder, Context()
        self.context.init()
        self.machines = Machines(self.context)
        self.person = Node('person', context=self.context)
        self.settings = {'port': -1, **settings}
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.machines, self.machines.policy, self.person):
            self.executor.add_node(node)
        self.states: list[dict[str, Any]] = []
        self.person.create_subscription(
            String, 'trial_node/state', lambda message: self.states.append(
                json.loads(message.data)), LATCHED)
        self.said: list[str] = []
        self.person.create_subscription(
            Log, '/rosout', lambda message: self.said.append(message.msg), STATUS)
        self.verbs = self.person.create_publisher(String, 'trial_node/verb', STATUS)
        self.joy = self.person.create_publisher(Joy, 'joy', STATUS)
        self.trials = self.begin()

    def begin(self) -> TrialNode:
        """Start the trial node, as after a crash."""
        values = {'study': str(self.folder), 'robot': str(ROBOT), 'operator': 'ann',
                  'reset_service': 'simulated_robot/reset', 'ends_on_success': True,
                  'scene_parameters': 'simulated_robot',
                  'success_topic': 'simulated_robot/success', **self.settings}
        trials = TrialNode(self.context, [Parameter(name, value=value)
                                          for name, value in values.items()])
        self.executor.add_node(trials)
        assert trials.start()
        return trials

    def until(self, condition: Callable[[], Any], limit: float = 30.0) -> None:
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, self.states[-1:]
            self.executor.spin_once(timeout_sec=0.02)

    def phase(self, wanted: str) -> bool:
        return bool(self.states) and self.states[-1]['phase'] == wanted

    def ready(self) -> bool:
        return self.phase('arrange') and not self.states[-1]['waiting']

    def ask(self, service: str) -> Any:
        """Call one of the node's services."""
        client = self.person.create_client(Trigger, f'trial_node/{service}')
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def course(self) -> Course:
        return Course.of((event.kind, event.data) for event in read_log(
            self.folder / 'log.jsonl').events)

    def end(self) -> None:
        self.trials.close()
        self.executor.remove_node(self.trials)
        self.trials.destroy_node()

    def close(self) -> None:
        self.end()
        for node in (self.machines, self.machines.policy, self.person):
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='study')
def _study(tmp_path: Path) -> Path:
    design = parse_design({
        'title': 'two rounds', 'question': 'Is half as good?',
        'arms': [{'name': 'baseline', 'checkpoint': 'whole'},
                 {'name': 'pruned', 'checkpoint': 'half'}],
        'conditions': [{'id': name, 'instruction': f'move {name}', 'task': ''}
                       for name in ('red', 'blue')],
        'margin': 0.2, 'alpha': 0.05, 'stopping': {'rule': 'fixed', 'horizon': 4},
        'minimum_baseline': 0.1, 'timeout': 3.0, 'rest': 0.0,
        'rubric': [{'id': 'grasped', 'text': 'lifted?'}],
        'failure_reasons': ['dropped'], 'invalid_reasons': ['camera_lost', 'emergency_stop'],
        'seed': 5})
    lock(design, tmp_path / 'study', lambda name: name[0] * 64, '1.0')
    return tmp_path / 'study'


@pytest.fixture(name='make')
def _make(study: Path) -> Iterator[Callable[..., Cell]]:
    cells: list[Cell] = []

    def make(**settings: Any) -> Cell:
        cells.append(Cell(study, **settings))
        return cells[-1]

    yield make
    for cell in cells:
        cell.close()


def test_a_whole_study_with_a_simulated_person(make: Callable[..., Cell], study: Path) -> None:
    """Every slot once, each with its arm's outcome, picture, latency and a closed log."""
    cell = make()
    schedule = open_schedule(study, load_study(study))
    cell.machines.solves = lambda: schedule.arm_of(
        cell.trials.session.conductor.token()) == 'baseline'
    person = SimulatedOperatorNode(cell.context, [Parameter('remarks', value=0.5)])
    cell.executor.add_node(person)
    assert person.start()
    cell.until(lambda: person.finished, 90.0)
    person.destroy_node()
    attempts = cell.course().attempts
    assert [one.index for one in attempts] == list(range(8)) and cell.course().finished
    for one in attempts:
        solved = schedule.arm_of(one.token) == 'baseline'
        assert one.verdict == ('success' if solved else 'failure')
        assert one.detected == {'simulator': solved}
        assert one.end_reason == ('detector' if solved else 'timeout')
        assert one.values['latency']['median'] == 0.12 and one.values['instruction'] == 'go'
        picture = study / one.values['picture']['uri']
        assert picture.read_bytes()[:2] == b'\xff\xd8'
    assert sum('match' in one.values['picture'] for one in attempts) >= 4, 'seen before'
    assert sum(one.guess != '' for one in attempts) == 5
    assert 0 < sum(bool(one.incidents) for one in attempts) < 8
    assert {one.confidence for one in attempts} == {'sure', 'unsure'}
    assert cell.machines.resets >= 8
    assert not any('"arm' in json.dumps(state) for state in cell.states)
    check_measures(attempts, cell)


def check_measures(attempts: list[Attempt], cell: Cell) -> None:
    """Check that the log has what was measured of each trial, and that nobody else was told."""
    for one in attempts:
        values = one.values
        # 2 cm a chunk; how many there are, and how fast, hangs on the load of the machine
        assert 0.0 < values['motion']['path'] <= 0.02 * (values['chunks'] + 2)
        assert values['control']['commands'] >= 2 and 0.0 < values['control']['rate'] < 30.0
        assert values['prepare']['policy'] >= 0.0 and values['verdict_after'] >= 0.0
        assert ('arrange' in values['prepare']) == (one is not attempts[0])
        assert values['host']['memory'] > 2**20
    told = '\n'.join([*map(json.dumps, cell.states), *cell.said])
    assert not [word for word in SEALED_MEASURES if word in told]


def test_people_press_services_topics_and_buttons(make: Callable[..., Cell]) -> None:
    """One trial by each; what comes at the wrong time is refused with a sentence."""
    cell = make(joy_buttons=['start=0', 'stop=1', 'invalid camera_lost=5'])
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert not cell.ask('success').success
    assert cell.ask('start').success and not cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 2)
    for verb in ('near_miss', 'collision', 'forget'):
        assert cell.ask(verb).success
    assert cell.ask('stop').success
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.ask('intervention').success and cell.ask('partial/grasped').success
    assert not cell.ask('near_miss').success and not cell.ask('forget').success
    cell.until(cell.ready)
    for text, phase in (('start', 'running'), ('stop', 'judge'),
                        ('failure dropped unsure', 'arrange')):
        cell.verbs.publish(String(data=text))
        cell.until(partial(cell.phase, phase))
    cell.until(cell.ready)
    for buttons, phase in (([0] * 6, 'arrange'), ([1, 0, 0, 0, 0, 0], 'running'),
                           ([1, 1, 0, 0, 0, 0], 'judge'), ([0, 0, 0, 0, 0, 1], 'arrange')):
        cell.joy.publish(Joy(buttons=buttons))
        cell.until(partial(cell.phase, phase))
    attempts = cell.course().attempts
    assert [(one.verdict, one.source) for one in attempts[:3]] == [
        ('partial', 'service'), ('failure', 'topic'), ('invalid', 'joy')]
    assert {one.who for one in attempts[:3]} == {'ann'}, 'no button says who pressed it'
    assert [one.kind for one in attempts[0].incidents] == ['near_miss', 'intervention']
    assert attempts[0].incidents[0].seconds_after_start > 0.0
    assert attempts[1].confidence == 'unsure'
    assert attempts[1].reason == 'dropped' and attempts[3].attempt == 1, 'the same slot again'
    cell.verbs.publish(String(data='{"verb": "success", "arm": "x"}'))
    cell.verbs.publish(String(data='{"verb": 7}'))
    cell.verbs.publish(String(data='undo'))
    cell.until(lambda: cell.phase('judge'))
    assert cell.course().attempts[2].undone == ['invalid']


def test_the_robot_hears_of_a_stop_before_the_log(make: Callable[..., Cell]) -> None:
    """While the end of the trial is being written, the empty instruction is there already."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    heard: list[str] = []
    ear = cell.person.create_subscription(String, 'instruction', lambda message: None, LATCHED,
                                          callback_group=Unattended())
    conductor = cell.trials.session.conductor
    append = conductor._append

    def listen(word: str) -> bool:
        with ear.handle:
            found = ear.handle.take_message(String, False)
        heard.extend([found[0].data] if found else [])
        return heard[-1:] == [word]

    def slow(kind: str, data: Any) -> None:
        end = time.monotonic() + 5.0
        while kind == 'ended' and not listen('') and time.monotonic() < end:
            pass
        append(kind, data)

    conductor._append = slow
    assert cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 1 and listen('go'))
    assert cell.ask('stop').success
    assert heard[-2:] == ['go', '']


def test_the_emergency_stop_ends_a_trial(make: Callable[..., Cell]) -> None:
    """At once, with the empty instruction; nothing starts before it is released."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 1)
    cell.machines.gate.publish(String(data='estopped: pressed'))
    cell.until(lambda: cell.phase('judge'))
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.states[-1]['suggestion'] == {
        'verb': 'invalid', 'reason': 'emergency_stop', 'why': 'the robot was stopped'}
    assert cell.ask('invalid/emergency_stop').success
    cell.until(lambda: cell.phase('arrange') and 'emergency' in cell.states[-1]['waiting'])
    assert not cell.ask('start').success
    cell.machines.gate.publish(String(data='holding: no chunk'))
    cell.until(cell.ready)


def test_after_a_crash_the_same_trial_is_judged(make: Callable[..., Cell]) -> None:
    """A node that comes back stops the policy and asks what became of the trial that ran."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert cell.ask('start').success
    code = cell.states[-1]['code']
    cell.trials._log.close()  # as after kill -9: nothing more is written
    cell.executor.remove_node(cell.trials)
    cell.trials.destroy_node()
    cell.trials = cell.begin()
    cell.until(lambda: cell.phase('judge'))
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.states[-1]['code'] == code
    assert cell.states[-1]['suggestion']['why'] == 'the trial node ended in the middle'
    assert cell.ask('failure').success
    cell.until(cell.ready)
    assert [event.kind for event in read_log(cell.folder / 'log.jsonl').events].count(
        'session') == 2


def test_the_session_says_on_what_it_was_run(make: Callable[..., Cell], tmp_path: Path) -> None:
    """The rig as people state it, the machine as it says itself, the middleware that is in use."""
    rig = tmp_path / 'rig.yaml'
    rig.write_text('robot_model: FR3\nlux: 450\n')
    cell = make(rig_file=str(rig))
    session = next(event.data for event in read_log(cell.folder / 'log.jsonl').events
                   if event.kind == 'session')
    assert session['rig'] == {'robot_model': 'FR3', 'lux': 450}
    assert session['host']['rmw'].startswith('rmw_') and session['host']['packages']['numpy']
    assert session['parameters']['rig_file'] == str(rig)
    assert session['contract'] == sha256(ROBOT.read_bytes()).hexdigest()
    settings: list[Mapping[str, Any]] = []

    def told() -> list[Mapping[str, Any]]:
        settings[:] = [event.data for event in read_log(cell.folder / 'log.jsonl').events
                       if event.kind == 'settings']
        return settings

    cell.until(told)
    assert settings[0]['node'] == 'policy_node' and 'use_sim_time' in settings[0]['parameters']
    assert 'checkpoint' not in settings[0]['parameters'], 'it is the token of a trial'


def test_what_cannot_run_is_refused(study: Path, tmp_path: Path) -> None:
    """No study, one that was changed, a gamepad with nonsense: a sentence, and the log is free."""
    context = Context()
    context.init()
    try:
        for values, words in (
                ({}, 'study is empty'), ({'study': str(tmp_path)}, 'no locked study'),
                ({'study': str(study), 'rig_file': str(ROBOT)}, 'robot.*robot_model'),
                ({'study': str(study), 'joy_buttons': ['start']}, "joy button 'start'")):
            with pytest.raises(TrialError, match=words):
                TrialNode(context, [Parameter(name, value=value) for name, value in {
                    'robot': str(ROBOT), 'port': -1, **values}.items()])
        locked = load_study(study)
        data = replace(locked, commitment='0' * 64).to_dict()
        (study / 'study.json').write_text(json.dumps(data))
        with pytest.raises(TrialError, match='not the secret'):
            TrialNode(context, [Parameter('study', value=str(study)),
                                Parameter('robot', value=str(ROBOT))])
    finally:
        context.shutdown()
