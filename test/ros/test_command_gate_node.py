# SPDX-License-Identifier: Apache-2.0
"""On real topics the gate commands only what it may, and its last word is the safety action."""

from collections.abc import Callable, Iterator
import math
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64, Float64MultiArray, Header, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.nodes.messages import chunk_message, pose_message, time_message
from vla_drop_ros.nodes.qos import COMMAND, ESTOP, LATCHED, STATE, STATUS
from vla_drop_ros.runtime.robot_inputs import pose_values, seconds
from vla_drop_ros.types import ActionChunk, ActionSpec

pytestmark = pytest.mark.ros

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'
SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 4)
HOME = np.array([0.5, 0.0, 0.3])
UP = np.array([0.0, 0.0, 0.0, 1.0])


def chunk(stamp: float, dx: float = 0.01) -> JointTrajectory:
    """Return a chunk that moves along x by dx [m] every 0.1 s."""
    return chunk_message(ActionChunk(stamp, np.tile([dx, 0.0, 0.0, 0.04], (8, 1)), SPEC))


class Robot:
    """Publishes a pose, chunks and the e-stop; records what the gate says and commands."""

    def __init__(self) -> None:
        self.context = Context()
        self.context.init()
        self.node = Node('robot', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.policy_lives = True
        self.seen: dict[str, list[Any]] = {}
        for kind, topic, qos in (
                (PoseStamped, 'target_pose', COMMAND), (String, 'command_gate/state', LATCHED),
                (Float64MultiArray, 'gripper_command', COMMAND),
                (PoseStamped, 'command_gate/requested', STATUS),
                (PoseStamped, 'command_gate/would_command', STATUS),
                (Float64, 'command_gate/capture_to_command', STATUS),
                (DiagnosticArray, '/diagnostics', STATUS)):
            self.node.create_subscription(
                kind, topic, self.seen.setdefault(topic, []).append, qos)
        self.pose = self.node.create_publisher(PoseStamped, 'ee_pose', STATE)
        self.chunks = self.node.create_publisher(
            JointTrajectory, 'policy_node/action_chunk', COMMAND)
        self.life = self.node.create_publisher(Header, 'policy_node/heartbeat', COMMAND)
        self.estop = self.node.create_publisher(Bool, 'estop', ESTOP)
        self.clock = self.node.create_publisher(Clock, '/clock', STATUS)
        self.reset = self.node.create_client(Trigger, 'command_gate/reset_estop')
        self.enable = self.node.create_client(SetBool, 'command_gate/enable')

    @property
    def targets(self) -> np.ndarray:
        """Return all commanded positions."""
        return np.array([pose_values(message)[0] for message in self.seen['target_pose']])

    @property
    def state(self) -> str:
        """Return the newest state."""
        states = self.seen['command_gate/state']
        return str(states[-1].data) if states else ''

    def until(self, condition: Callable[[], Any], limit: float = 20.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f'did not happen in time; state {self.state!r}'
            self.executor.spin_once(timeout_sec=0.05)

    def report(self, stamp: float) -> None:
        """Publish the pose HOME, and that the policy lives; this arm does not move."""
        if self.policy_lives:
            self.life.publish(Header(stamp=time_message(stamp)))
        self.pose.publish(pose_message(stamp, 'base_link', HOME, UP))


class Bench(Robot):
    """The robot and a gate in one executor, on a clock of our own."""

    def __init__(self, start: bool = True, **settings: Any) -> None:
        super().__init__()
        values = {'use_sim_time': True, 'robot': str(ROBOT), **settings}
        self.gate = CommandGateNode(self.context, [
            Parameter(name, value=value) for name, value in values.items()])
        self.executor.add_node(self.gate)
        self.now = 100.0
        if start:
            assert self.gate.start()
            for publisher in (self.pose, self.chunks, self.estop, self.life):
                self.until(publisher.get_subscription_count)
            self.until(lambda: self.seen['command_gate/state'])
            self.steps(2)

    def steps(self, count: int, report: bool = True) -> None:
        """Let ``count`` control periods pass."""
        for _ in range(count):
            self.now += 0.05
            if report:
                self.report(self.now)
            self.clock.publish(Clock(clock=time_message(self.now)))
            self.until(lambda: self.gate.get_clock().now().nanoseconds * 1e-9 > self.now - 1e-6)
            for _ in range(6):
                self.executor.spin_once(timeout_sec=0.002)

    def steps_until(self, condition: Callable[[], Any], report: bool = True) -> None:
        """Let control periods pass until something has happened."""
        for _ in range(100):
            if condition():
                return
            self.steps(1, report)
        pytest.fail(f'did not happen in 5 s of simulated time; state {self.state!r}')

    def execute(self) -> None:
        """Send a chunk and wait until it moves the target."""
        self.chunks.publish(chunk(self.now))
        self.steps_until(lambda: self.targets[-1][0] > HOME[0] + 0.005)

    def close(self) -> None:
        """End everything."""
        self.gate.close()
        self.gate.destroy_node()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(**settings: Any) -> Bench:
        benches.append(Bench(**settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def test_holds_then_executes_then_holds(make: Callable[..., Bench]) -> None:
    """The measured pose is held until a chunk comes, and again after chunks cease."""
    bench = make()
    bench.steps_until(lambda: bench.state == 'holding: no action chunk')
    bench.steps_until(lambda: len(bench.targets))
    assert bench.targets[-1] == pytest.approx(HOME)
    bench.execute()
    assert bench.state == 'executing'
    assert bench.seen['gripper_command'][-1].data[0] == pytest.approx(0.04)
    bench.steps_until(lambda: bench.state == 'holding: no action chunk')
    bench.steps(2)
    assert bench.targets[-1] == pytest.approx(HOME)


def test_nan_chunk_is_rejected_and_reported(make: Callable[..., Bench]) -> None:
    """A chunk with a NaN moves nothing and shows in the diagnostics."""
    bench = make()
    bad = chunk(bench.now)
    bad.points[3].positions[1] = math.nan
    bench.chunks.publish(bad)

    def counted() -> bool:
        values = {pair.key: pair.value for message in bench.seen['/diagnostics']
                  for pair in message.status[0].values}
        return values.get('chunk rejected: not finite') == '1'

    bench.until(counted)
    bench.steps(3)
    assert bench.targets[-1] == pytest.approx(HOME)


def test_lost_pose_holds_and_is_named(make: Callable[..., Bench]) -> None:
    """Without fresh poses the gate stops executing and names the stream."""
    bench = make()
    bench.execute()
    bench.steps_until(lambda: bench.state == 'holding: end-effector pose too old', report=False)
    assert np.ptp(bench.targets[-1:], axis=0) == pytest.approx(np.zeros(3))


def test_estop_latches_until_the_service_is_called(make: Callable[..., Bench]) -> None:
    """True stops, false alone does not go on, reset while true is refused."""
    bench = make()
    bench.execute()
    bench.estop.publish(Bool(data=True))
    bench.steps_until(lambda: bench.state.startswith('estopped'))
    assert not _reset(bench).success
    bench.estop.publish(Bool(data=False))
    bench.steps(5)
    assert bench.state.startswith('estopped')
    assert bench.targets[-1] == pytest.approx(HOME)
    assert _reset(bench).success
    bench.steps_until(lambda: bench.state == 'holding: no action chunk')
    bench.execute()


def test_several_publishers_of_the_estop_are_warned_of(make: Callable[..., Bench]) -> None:
    """While all goes on: of what a second one says the first may be hidden at the reset."""
    bench, words = make(), '2 publishers on estop'
    bench.execute()
    told = bench.seen['/diagnostics']
    second = bench.node.create_publisher(Bool, 'estop', ESTOP)
    bench.until(lambda: words in told[-1].status[0].message)
    assert told[-1].status[0].level == DiagnosticStatus.WARN
    bench.node.destroy_publisher(second)
    bench.until(lambda: words not in told[-1].status[0].message)


def _reset(bench: Bench) -> Any:
    future = bench.reset.call_async(Trigger.Request())
    bench.until(future.done)
    return future.result()


def test_a_dead_policy_is_named(make: Callable[..., Bench]) -> None:
    """Poses alone do not keep the arm moving: without the heartbeat the gate holds."""
    bench = make()
    bench.execute()
    bench.policy_lives = False
    bench.steps_until(lambda: bench.state.startswith('holding: sign of life of the policy too old')
                      or bench.state == 'holding: no action chunk')


def test_altered_commands_and_ages_are_published(make: Callable[..., Bench]) -> None:
    """What was asked for goes out beside the altered command; each chunk's age goes out once."""
    bench = make()
    bench.chunks.publish(chunk(bench.now, dx=0.2))
    bench.steps_until(lambda: bench.seen['command_gate/requested'])
    bench.steps_until(lambda: bench.seen['command_gate/capture_to_command'])
    asked = bench.seen['command_gate/requested'][-1]
    same = [pose_values(message)[0] for message in bench.seen['target_pose']
            if message.header.stamp == asked.header.stamp]
    assert same and pose_values(asked)[0][0] > same[0][0]
    assert 0.0 <= bench.seen['command_gate/capture_to_command'][0].data <= 0.3


def test_an_interlocked_robot_gets_nothing_before_enable(
        make: Callable[..., Bench], tmp_path: Path) -> None:
    """Chunks flow, nothing is commanded; after the service a fresh chunk moves the arm."""
    robot = tmp_path / 'robot.yaml'
    robot.write_text(ROBOT.read_text().replace('interlock: none', 'interlock: enable'))
    bench = make(robot=str(robot))
    bench.steps_until(lambda: bench.state.startswith('holding: not enabled'))
    bench.chunks.publish(chunk(bench.now))
    bench.steps(5)
    assert not bench.seen['target_pose'] and not bench.seen['gripper_command']
    future = bench.enable.call_async(SetBool.Request(data=True))
    bench.until(future.done)
    assert future.result().success
    bench.steps_until(lambda: len(bench.targets))
    bench.execute()


def test_estop_pressed_before_the_gate_started_counts(make: Callable[..., Bench]) -> None:
    """A latched e-stop stops a gate that joins later."""
    bench = make(start=False)
    early = bench.node.create_publisher(Bool, 'estop', LATCHED)
    early.publish(Bool(data=True))
    assert bench.gate.start()
    bench.until(bench.pose.get_subscription_count)
    bench.steps_until(lambda: bench.state.startswith('estopped'))


@pytest.mark.parametrize('contract_is_dry', [False, True])
def test_a_dry_run_shows_what_it_would_command(
        make: Callable[..., Bench], tmp_path: Path, contract_is_dry: bool) -> None:
    """Once enabled it shows the limited commands, and no command topic carries anything.

    No parameter lifts the dry run that a robot's contract asks for.
    """
    robot, text = tmp_path / 'robot.yaml', ROBOT.read_text()
    robot.write_text(text.replace('interlock: none', 'interlock: enable').replace(
        'dry_run: false', f'dry_run: {str(contract_is_dry).lower()}'))
    bench = make(robot=str(robot), dry_run=not contract_is_dry)
    shown = bench.seen['command_gate/would_command']
    bench.steps_until(lambda: bench.state.startswith('dry_run holding: not enabled'))
    assert not shown
    bench.until(bench.enable.call_async(SetBool.Request(data=True)).done)
    bench.steps_until(lambda: bench.state == 'dry_run holding: no action chunk' and shown)
    bench.chunks.publish(chunk(bench.now, dx=0.4))
    bench.steps_until(lambda: len(bench.seen['command_gate/requested']) > 3)
    bench.gate.trigger_deactivate()
    bench.steps(3)
    ways = np.diff([pose_values(message)[0][0] for message in shown])
    assert 0.01 < ways.max() <= 0.6 * 0.05 + 1e-6 and shown[0].header.frame_id == 'base_link'
    assert 100.0 < seconds(shown[0].header.stamp) < seconds(shown[-1].header.stamp) <= bench.now
    assert not bench.seen['target_pose'] and not bench.seen['gripper_command']


def test_deactivation_ends_with_the_hold_pose(make: Callable[..., Bench]) -> None:
    """After deactivate exactly one more command comes, the measured pose, and then silence."""
    bench = make()
    bench.execute()
    count = len(bench.targets)
    bench.gate.trigger_deactivate()
    bench.until(lambda: bench.state == 'inactive')
    bench.chunks.publish(chunk(bench.now))
    bench.steps(5)
    assert len(bench.targets) == count + 1
    assert bench.targets[-1] == pytest.approx(HOME)


def test_without_limits_the_gate_does_not_start(make: Callable[..., Bench],
                                                tmp_path: Path) -> None:
    """A contract without a limit is refused at configure, and the limit is named."""
    robot = tmp_path / 'robot.yaml'
    robot.write_text(ROBOT.read_text().replace('  linear_velocity', '  # linear_velocity'))
    bench = make(start=False, robot=str(robot))
    assert not bench.gate.start()
    assert 'limits.linear_velocity: missing' in bench.gate.failure


def test_gate_can_be_cleaned_up_and_started_again(make: Callable[..., Bench]) -> None:
    """A full round through the lifecycle leaves a working gate."""
    bench = make()
    bench.gate.trigger_deactivate()
    bench.gate.trigger_cleanup()
    assert bench.gate.start()
    bench.steps_until(lambda: bench.state == 'holding: no action chunk')


def test_a_clock_that_stands_still_is_reported(make: Callable[..., Bench]) -> None:
    """With simulated time and no simulator the gate says what it waits for."""
    bench = make()
    bench.until(lambda: 'clock stands still' in bench.seen['/diagnostics'][-1].status[0].message)


def test_after_a_clock_that_stood_still_no_old_place_is_commanded(
        make: Callable[..., Bench]) -> None:
    """A simulator that died may be back, at a time close to the old one, its arm elsewhere."""
    bench = make()
    bench.execute()
    bench.seen['/diagnostics'].clear()
    bench.until(lambda: any('clock stands still' in one.status[0].message
                            for one in bench.seen['/diagnostics']))
    before, place = len(bench.targets), HOME - 0.02
    bench.steps(2, report=False)
    assert len(bench.targets) == before
    for _ in range(5):
        bench.pose.publish(pose_message(bench.now + 0.04, 'base_link', place, UP))
        bench.steps(1, report=False)
    bench.until(lambda: len(bench.targets) > before + 2)
    np.testing.assert_allclose(bench.targets[before:] - place, 0.0, atol=1e-9)


NO_TORCH = """
import sys
sys.modules['torch'] = None
from vla_drop_ros.nodes.command_gate_node import main
sys.exit(main())
"""


@pytest.mark.e2e
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_process_ends_with_the_safety_action(number: signal.Signals, tmp_path: Path) -> None:
    """Killed in motion, a gate without torch exits with 0 and its last command is the hold."""
    robot, patient = Robot(), tmp_path / 'patient.yaml'  # a busy machine must not be the fault
    patient.write_text(ROBOT.read_text().replace('ee_pose, max_age: 0.3', 'ee_pose, max_age: 9.0')
                       .replace('dead_man: 0.6', 'dead_man: 9.0'))
    process = subprocess.Popen([sys.executable, '-c', NO_TORCH, '--ros-args', '-p',
                                f'robot:={patient}', '-p', 'autostart:=true'])

    def moving() -> bool:
        now = robot.node.get_clock().now().nanoseconds * 1e-9
        robot.report(now)
        robot.chunks.publish(chunk(now - 0.01, dx=0.03))
        return bool(len(robot.targets) and robot.targets[-1][0] > HOME[0] + 0.02)

    try:
        robot.until(moving)
        process.send_signal(number)
        robot.until(lambda: process.poll() is not None)
        robot.until(lambda: robot.targets[-1] == pytest.approx(HOME), limit=2.0)
        assert process.returncode == 0
    finally:
        process.kill()
        robot.node.destroy_node()
        robot.context.shutdown()
