# SPDX-License-Identifier: Apache-2.0
"""A study with trial node, machines and a person in one executor, for several test files."""

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from rcl_interfaces.msg import Log
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, Joy
from std_msgs.msg import Bool, Float64, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import clock_seconds, header, pose_message
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.nodes.trial_node import TrialNode
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import lock
from vla_drop_ros.trials.log import read_log

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'


class Machines(Node):
    """Policy node, gate and robot in one: obeys tokens, moves when instructed, may solve."""

    def __init__(self, context: Context) -> None:
        super().__init__('simulated_robot', context=context)
        self.policy = Node('policy_node', context=context)
        self.policy.declare_parameter('checkpoint', '')
        self.solves: Callable[[], bool] = lambda: True
        self.instruction, self.chunks, self.resets = '', 0, 0
        self.sent: list[int] = []  # chunks of each instruction, heard or not
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
        self.sent.append(self.chunks)
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


def lock_study(folder: Path) -> Path:
    """Lock a study of two rounds into a folder; return it."""
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
    lock(design, folder, lambda name: name[0] * 64, '1.0')
    return folder


def cells(study: Path) -> Iterator[Callable[..., Cell]]:
    """Yield a maker of cells: settings of the trial node -> cell; close them at the end."""
    made: list[Cell] = []

    def make(**settings: Any) -> Cell:
        made.append(Cell(study, **settings))
        return made[-1]

    yield make
    for cell in made:
        cell.close()
