# SPDX-License-Identifier: Apache-2.0
"""The action grippers of control_msgs, against a live server: newest width, one goal at a time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
import threading
import time
from typing import Any

import numpy as np
import pytest
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.nodes.gripper_adapters import create_gripper, GripperAdapter
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import GripperCommand

control_msgs = pytest.importorskip(
    'control_msgs.action', reason='control_msgs is not installed (it is not on PyPI)')
pytestmark = pytest.mark.ros

CONTRACT = load_contract(find_contract('simulated_arm'))
TOPIC = 'gripper/command'
KINDS = {'parallel_gripper_command': 'ParallelGripperCommand', 'gripper_command': 'GripperCommand'}


class Gripper:
    """A driver on a thread of its own, as slow and as obstinate as it is told to be."""

    def __init__(self, context: Context, kind: str) -> None:
        self.goals: list[Any] = []
        self.accepts, self.succeeds = True, True
        self.answer, self.finish = threading.Event(), threading.Event()
        self.answer.set()
        action = getattr(control_msgs, KINDS[kind])
        self.result = action.Result
        self.node = Node('gripper', context=context)
        self.server = ActionServer(
            self.node, action, TOPIC, self._execute,
            goal_callback=self._on_goal, cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup())
        self.executor = MultiThreadedExecutor(4, context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def _on_goal(self, goal: Any) -> GoalResponse:
        self.goals.append(goal.command)
        self.answer.wait(20.0)
        return GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT

    def _execute(self, handle: Any) -> Any:
        self.finish.wait(20.0)
        (handle.succeed if self.succeeds else handle.abort)()
        return self.result()

    def close(self) -> None:
        """End, whatever is still on its way."""
        self.answer.set()
        self.finish.set()
        self.executor.shutdown()
        self.thread.join(10.0)
        self.server.destroy()
        self.node.destroy_node()


class Bench:
    """The node that owns the adapter, and a gripper driver where one is wanted."""

    def __init__(self, kind: str, hysteresis: float = 0.001) -> None:
        self.context = Context()
        self.context.init()
        self.kind = kind
        self.owner = ManagedNode('owner', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.owner)
        made = create_gripper(self.owner, replace(CONTRACT, command=CommandTopics(
            'pose', 'target_pose', GripperCommand(
                kind, TOPIC, hysteresis, 20.0))))  # type: ignore[arg-type]
        assert made is not None
        self.adapter: GripperAdapter = made
        self.slowest = 0.0
        self.gripper: Gripper | None = None

    def serve(self) -> Gripper:
        """Start a driver and wait until the adapter knows it."""
        self.gripper = Gripper(self.context, self.kind)
        self.until(self.ready)
        return self.gripper

    def unserve(self) -> None:
        """End the driver and wait until the adapter knows it."""
        assert self.gripper is not None
        self.gripper.close()
        self.gripper = None
        self.until(lambda: not self.ready())

    def ready(self) -> bool:
        """Say whether the adapter sees a server."""
        return bool(self.adapter._client.server_is_ready())  # type: ignore[attr-defined]

    def send(self, *widths: float) -> None:
        """Publish widths [m] as ticks do; remember the longest that one took."""
        for width in widths:
            began = time.monotonic()
            self.adapter.publish(width)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.executor.spin_once(timeout_sec=0.0)

    def until(self, condition: Callable[[], Any]) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.02)

    def send_until(self, width: float, condition: Callable[[], Any]) -> None:
        """Publish a width at every tick until something has happened."""
        def tick() -> bool:
            self.send(width)
            return bool(condition())

        self.until(tick)

    def close(self) -> None:
        """End all."""
        if self.gripper is not None:
            self.gripper.close()
        self.owner.close()
        self.owner.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: Any) -> Bench:
        made.append(Bench(*args))
        return made[-1]

    yield make
    for one in made:
        one.close()


def position(goal: Any) -> float:
    """Return the joint position [m] of a goal of either action."""
    return float(goal.position[0] if hasattr(goal, 'name') else goal.position)


def test_a_parallel_gripper_hears_joint_position_and_effort(make: Callable[..., Bench]) -> None:
    """The joint by its name, half the width by the contract's scale, the effort in its place."""
    bench = make('parallel_gripper_command')
    gripper = bench.serve()
    bench.send_until(0.04, lambda: gripper.goals)
    assert list(gripper.goals[0].name) == ['finger_joint1']
    assert list(gripper.goals[0].position) == [pytest.approx(0.02)]
    assert list(gripper.goals[0].effort) == [20.0]


def test_a_gripper_command_hears_position_and_effort(make: Callable[..., Bench]) -> None:
    """The older action has two numbers."""
    bench = make('gripper_command')
    gripper = bench.serve()
    bench.send_until(0.04, lambda: gripper.goals)
    assert gripper.goals[0].position == pytest.approx(0.02)
    assert gripper.goals[0].max_effort == 20.0


@pytest.mark.parametrize('kind', KINDS)
def test_a_width_that_hardly_changes_is_no_goal(make: Callable[..., Bench], kind: str) -> None:
    """Within the hysteresis of what was sent nothing follows; a real change does at once."""
    bench = make(kind)
    gripper = bench.serve()
    bench.send_until(0.04, lambda: gripper.goals)
    bench.send(*[0.04, 0.0404, 0.0396] * 20)
    bench.send_until(0.02, lambda: len(gripper.goals) > 1)
    assert [position(goal) for goal in gripper.goals] == [pytest.approx(0.02), pytest.approx(0.01)]


def test_a_moving_gripper_is_preempted_by_the_newest_width(make: Callable[..., Bench]) -> None:
    """A goal that was accepted is not waited for: closing may begin while it still opens."""
    bench = make('parallel_gripper_command')
    gripper = bench.serve()  # which does not finish any goal
    bench.send_until(0.08, lambda: gripper.goals)
    bench.send_until(0.0, lambda: len(gripper.goals) > 1)
    assert position(gripper.goals[1]) == 0.0


def test_a_slow_driver_gets_the_newest_width_and_never_a_queue(
        make: Callable[..., Bench]) -> None:
    """While it does not answer nothing more is sent and no tick waits; then comes the newest."""
    bench = make('gripper_command')
    gripper = bench.serve()
    gripper.answer.clear()
    bench.send_until(0.08, lambda: gripper.goals)
    bench.send(*np.linspace(0.08, 0.0, 50))
    assert len(gripper.goals) == 1
    gripper.answer.set()
    bench.send_until(0.0, lambda: len(gripper.goals) > 1)
    assert [position(goal) for goal in gripper.goals] == [pytest.approx(0.04), 0.0]
    assert bench.slowest < 1.0


def test_a_refused_goal_is_tried_again(make: Callable[..., Bench]) -> None:
    """The same width is sent until the driver takes it, then no more."""
    bench = make('parallel_gripper_command')
    gripper = bench.serve()
    gripper.accepts = False
    bench.send_until(0.04, lambda: len(gripper.goals) > 2)
    gripper.accepts = True
    taken = len(gripper.goals)
    bench.send_until(0.04, lambda: len(gripper.goals) > taken)
    count = len(gripper.goals)
    bench.until(lambda: not bench.adapter._filter._waiting)
    bench.send(*[0.04] * 20)
    assert len(gripper.goals) == count


def test_an_aborted_goal_is_not_repeated_but_the_next_change_is_sent(
        make: Callable[..., Bench]) -> None:
    """A gripper that stalled on an object is not made to squeeze again and again."""
    bench = make('parallel_gripper_command')
    gripper = bench.serve()
    gripper.succeeds = False
    gripper.finish.set()
    bench.send_until(0.02, lambda: gripper.goals)
    bench.until(lambda: not bench.adapter._filter._waiting)
    bench.send(*[0.02] * 20)
    assert len(gripper.goals) == 1
    bench.send_until(0.08, lambda: len(gripper.goals) > 1)


def test_without_a_driver_no_tick_waits_and_the_first_to_come_gets_the_width(
        make: Callable[..., Bench]) -> None:
    """Before a driver is there, and after it died with a goal that it never answered."""
    bench = make('gripper_command')
    bench.send(*[0.04] * 20)
    gripper = bench.serve()
    gripper.answer.clear()
    bench.send_until(0.04, lambda: gripper.goals)
    bench.unserve()
    bench.send(*[0.04] * 20)
    again = bench.serve()
    bench.send_until(0.04, lambda: again.goals)
    assert position(again.goals[0]) == pytest.approx(0.02)
    assert bench.slowest < 1.0
