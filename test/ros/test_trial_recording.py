# SPDX-License-Identifier: Apache-2.0
"""The bag of a trial on the simulated robot becomes training data as any other recording."""

from collections.abc import Callable
import json
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Float64MultiArray, String

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.dataset.conversion import convert, Layout
from vla_drop_ros.errors import SimulationError
from vla_drop_ros.nodes.bag_recorder_node import BagRecorderNode
from vla_drop_ros.nodes.messages import pose_message
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATE
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.runtime.robot_inputs import pose_values, stamp_of
from vla_drop_ros.simulation.opengl import choose_backend

pytestmark = pytest.mark.ros
pytest.importorskip('rosbags.rosbag2')

CONTRACT = find_contract('simulated_arm')
LAYOUT = Layout(('front', 'wrist'), ('ee.x', 'ee.y', 'ee.z', 'gripper.width'),
                ('x', 'y', 'z', 'gripper'), 'base_link', 'delta')
DOWN = np.array([1.0, 0.0, 0.0, 0.0])


class Cell:
    """The simulated robot, the recorder, and one who leads the arm and says when a trial runs."""

    def __init__(self, study: Path) -> None:
        from vla_drop_ros.nodes.simulated_robot_node import SimulatedRobotNode
        self.context = Context()
        self.context.init()
        self.robot = SimulatedRobotNode(self.context)
        self.recorder = BagRecorderNode(self.context, [
            Parameter(name, value=value) for name, value in {
                'study': str(study), 'robot': str(CONTRACT), 'use_sim_time': True,
                'minimum_free_mb': 1,
                'extra_topics': ['simulated_robot/scene']}.items()])
        self.node = Node('bench', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.robot, self.recorder, self.node):
            self.executor.add_node(node)
        self.bags: list[dict[str, Any]] = []
        self.arm = self.node.create_publisher(PoseStamped, 'target_pose', COMMAND)
        self.width = self.node.create_publisher(Float64MultiArray, 'gripper_command', COMMAND)
        self.instruction = self.node.create_publisher(String, 'instruction', LATCHED)
        self.state = self.node.create_publisher(String, 'trial_node/state', LATCHED)
        self.node.create_subscription(PoseStamped, 'ee_pose', self.lead, STATE)
        self.node.create_subscription(
            String, 'bag_recorder/bag',
            lambda message: self.bags.append(json.loads(message.data)), LATCHED)
        self.stamp = 0.0

    def lead(self, message: PoseStamped) -> None:
        """Send the arm a little further down."""
        self.stamp = stamp_of(message)
        target = np.array(pose_values(message)[0]) + [0.0, 0.0, -0.005]
        self.arm.publish(pose_message(self.stamp, 'base_link', target, DOWN))
        self.width.publish(Float64MultiArray(data=[0.05]))

    def until(self, condition: Callable[[], Any], limit: float = 60.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.05)

    def tell(self, phase: str) -> None:
        """Say how the trial stands."""
        self.state.publish(String(data=json.dumps({'phase': phase, 'code': '1'})))

    def close(self) -> None:
        """End everything."""
        self.executor.shutdown()
        for node in (self.recorder, self.robot):
            node.close()
        for node in (self.recorder, self.robot, self.node):
            node.destroy_node()
        self.context.try_shutdown()


def test_training_data(tmp_path: Path) -> None:
    """Its frames are those of the trial, with the instruction that was latched before it."""
    try:
        choose_backend()
    except SimulationError as error:
        pytest.skip(str(error))
    with private_domain():
        cell = Cell(tmp_path)
        try:
            assert cell.recorder.start() and cell.robot.start()
            cell.instruction.publish(String(data='put the red cube in the left bin'))
            cell.until(lambda: cell.arm.get_subscription_count() == 2
                       and cell.instruction.get_subscription_count() and cell.stamp > 1.0)
            cell.tell('running')
            begin = cell.stamp
            cell.until(lambda: cell.stamp > begin + 2.0)
            cell.tell('judge')
            cell.until(lambda: cell.bags)
        finally:
            cell.close()
    report, = cell.bags
    assert report['problem'] == '' and report['lost'] == 0
    outcome = convert([tmp_path / report['uri']], load_contract(CONTRACT), LAYOUT,
                      tmp_path / 'set')
    assert outcome.episodes == 1 and outcome.frames >= 15
    with Bag(tmp_path / report['uri']) as bag:
        spoken = [message.data for _, message in bag.read(['/instruction'])]
        assert spoken == ['put the red cube in the left bin']
        assert bag.counts['/simulated_robot/scene'] >= 1 and bag.counts['/clock'] > 10
