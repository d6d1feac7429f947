# SPDX-License-Identifier: Apache-2.0
"""Lifecycle, permission and e-stop of the gate in any order: it commands only what it may."""

from collections.abc import Callable, Iterator
import random
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Header
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
import yaml

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.nodes.messages import chunk_message, pose_message, time_message
from vla_drop_ros.nodes.qos import COMMAND, ESTOP, STATE, STATUS
from vla_drop_ros.runtime.robot_inputs import pose_values
from vla_drop_ros.types import ActionChunk, ActionSpec

pytestmark = pytest.mark.ros

SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 4)
HOME = np.array([0.5, 0.0, 0.3])
UNCONFIGURED, INACTIVE, ACTIVE = (
    State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE)
CALLS: dict[str, tuple[int, int, int]] = {
    'configure': (Transition.TRANSITION_CONFIGURE, UNCONFIGURED, INACTIVE),
    'activate': (Transition.TRANSITION_ACTIVATE, INACTIVE, ACTIVE),
    'deactivate': (Transition.TRANSITION_DEACTIVATE, ACTIVE, INACTIVE),
    'cleanup': (Transition.TRANSITION_CLEANUP, INACTIVE, UNCONFIGURED)}


class Cell:
    """A gate with interlock, a robot that stands at HOME and a policy that wants to move it."""

    def __init__(self, contract: str) -> None:
        self.context, self.now = Context(), 100.0
        self.context.init()
        self.node = node = Node('robot', context=self.context)
        self.gate = CommandGateNode(self.context, [
            Parameter('robot', value=contract), Parameter('use_sim_time', value=True)])
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(node)
        self.executor.add_node(self.gate)
        self.targets: list[PoseStamped] = []
        node.create_subscription(PoseStamped, 'target_pose', self.targets.append, COMMAND)
        self.pose = node.create_publisher(PoseStamped, 'ee_pose', STATE)
        self.chunks = node.create_publisher(JointTrajectory, 'policy_node/action_chunk', COMMAND)
        self.life = node.create_publisher(Header, 'policy_node/heartbeat', COMMAND)
        self.estop = node.create_publisher(Bool, 'estop', ESTOP)
        self.clock = node.create_publisher(Clock, '/clock', STATUS)
        self.clients = {name: node.create_client(kind, f'command_gate/{name}') for name, kind in (
            ('change_state', ChangeState), ('get_state', GetState), ('enable', SetBool),
            ('reset_estop', Trigger))}

    def until(self, condition: Callable[[], Any]) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < end, 'did not happen in 20 s'
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, name: str, request: Any) -> Any:
        """Return the answer of a service."""
        client = self.clients[name]
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def state(self) -> int:
        """Return the id of the state that the gate says it is in."""
        return int(self.call('get_state', GetState.Request()).current_state.id)

    def go_on(self, steps: int = 6) -> list[list[float]]:
        """Let control periods pass, with a new chunk each; return what was commanded."""
        before = len(self.targets)
        for _ in range(steps):
            self.now += 0.05
            self.life.publish(Header(stamp=time_message(self.now)))
            self.pose.publish(pose_message(self.now, 'base_link', HOME, np.array([0, 0, 0, 1.0])))
            self.chunks.publish(chunk_message(ActionChunk(
                self.now, np.tile([0.01, 0.0, 0.0, 0.04], (8, 1)), SPEC)))
            self.clock.publish(Clock(clock=time_message(self.now)))
            self.until(lambda: self.gate.get_clock().now().nanoseconds * 1e-9 > self.now - 1e-6)
            for _ in range(8):
                self.executor.spin_once(timeout_sec=0.002)
        return [pose_values(message)[0] for message in self.targets[before:]]

    def close(self) -> None:
        """End everything."""
        self.gate.close()
        self.gate.destroy_node()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='cell')
def _cell(tmp_path: Any) -> Iterator[Cell]:
    contract = yaml.safe_load(find_contract('simulated_arm').read_text(encoding='utf-8'))
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump({**contract, 'interlock': 'enable'}), encoding='utf-8')
    cell = Cell(str(path))
    yield cell
    cell.close()


class Operator:
    """Does anything at any time, and knows what must have come of it."""

    def __init__(self, cell: Cell, seed: int) -> None:
        self.cell, self.random = cell, random.Random(seed)
        self.state, self.enabled, self.pressed, self.latched = UNCONFIGURED, False, False, False

    def act(self) -> str:
        """Do one thing; return what."""
        acts = ['enable', 'forbid', 'let go', 'press', 'reset', *CALLS]
        likely = ['let go', 'reset'] if self.latched else ['enable'] if self.state == ACTIVE else [
            'configure', 'activate']
        act = self.random.choice(likely if self.random.random() < 0.6 else acts)
        getattr(self, f'_{act.replace(" ", "_")}', lambda: self._change(act))()
        return act

    def _change(self, name: str) -> None:
        number, before, after = CALLS[name]
        answer = self.cell.call('change_state', ChangeState.Request(
            transition=Transition(id=number)))
        assert answer.success == (self.state == before), f'{name} in state {self.state}'
        if answer.success:
            self.state = after
            self.enabled = False

    def _enable(self) -> None:
        if self.state != UNCONFIGURED:
            answer = self.cell.call('enable', SetBool.Request(data=True))
            assert answer.success == (self.state == ACTIVE and not self.latched), answer.message
            self.enabled |= answer.success

    def _forbid(self) -> None:
        if self.state == ACTIVE:
            assert self.cell.call('enable', SetBool.Request(data=False)).success
            self.enabled = False

    def _press(self) -> None:
        self._set(True)

    def _let_go(self) -> None:
        self._set(False)

    def _set(self, pressed: bool) -> None:
        self.pressed = pressed
        self.cell.estop.publish(Bool(data=pressed))
        self.cell.go_on(2)
        self.latched |= pressed  # in any state

    def _reset(self) -> None:
        if self.state != UNCONFIGURED:
            released = self.cell.call('reset_estop', Trigger.Request()).success
            assert released == (not self.pressed), 'a latch that is pressed was reset'
            self.latched &= not released


@pytest.mark.parametrize('seed', range(3))
def test_any_order_of_calls(cell: Cell, seed: int) -> None:
    """Not active or never allowed: silence. Forbidden or stopped: it stays. Else it moves."""
    operator, moved, commanded = Operator(cell, seed), 0, False
    for _ in range(40):
        was_active, count = operator.state == ACTIVE, len(cell.targets)
        act = operator.act()
        assert cell.state() == operator.state, act
        if operator.state != ACTIVE and not was_active:
            assert len(cell.targets) == count, f'a command at {act!r}, while inactive'
        elif operator.state != ACTIVE and len(cell.targets) > count:
            assert pose_values(cell.targets[-1])[0] == pytest.approx(HOME), 'no hold at the end'
        sent, commanded = cell.go_on(), commanded and operator.state == ACTIVE
        if operator.state != ACTIVE:
            assert not sent, f'a command after {act!r}, while inactive'
        elif operator.enabled and not operator.latched:
            assert sent[-1][0] > HOME[0] + 0.001, f'it stands after {act!r}'
            moved, commanded = moved + 1, True
        elif commanded:
            assert sent and np.allclose(sent[-3:], HOME), f'no hold after {act!r}'
        else:
            assert not sent, f'a command after {act!r} that nobody allowed'
    assert moved > 2
