# SPDX-License-Identifier: Apache-2.0
"""The gate moves the robot for a good chunk only, and every fault ends in a hold."""

from collections.abc import Callable
from dataclasses import replace
import math
from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.gate import Command, CommandGate, Decision, IncomingChunk, Mode

SHIPPED = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'
LIMITED_AGE = load_contract(SHIPPED)
CONTRACT = replace(LIMITED_AGE, max_chunk_age=0.0)  # chunks are executed to their ends
HOME = (0.5, 0.0, 0.3)
UP = (0.0, 0.0, 0.0, 1.0)
NAMES = ('x', 'y', 'z', 'gripper')


def chunk(stamp: float, dx: float = 0.01, steps: int = 8, width: float = 0.04) -> IncomingChunk:
    """Return a chunk that moves along x by dx [m] every 0.1 s."""
    return IncomingChunk(NAMES, 'base_link', stamp, [0.1 * (i + 1) for i in range(steps)],
                         [[dx, 0.0, 0.0, width]] * steps)


class Bench:
    """A gate on a bench: an arm that follows perfectly, or not, and a clock of our own."""

    def __init__(self, contract: RobotContract = CONTRACT) -> None:
        self.gate = CommandGate(contract)
        self.now, self.arm, self.follows, self.reports = 100.0, np.array(HOME), True, True
        self.lives = True
        self.gate.activate(self.now)
        self.commands: list[Command] = []

    def tick(self, count: int = 1) -> Decision:
        """Advance by control periods; return the last decision."""
        for _ in range(count):
            self.now += 0.05
            if self.reports:
                self.gate.add_pose(self.now, tuple(self.arm), UP, 'base_link')
            if self.lives:
                self.gate.add_heartbeat(self.now)
            decision = self.gate.tick(self.now)
            if decision.command is not None:
                self.commands.append(decision.command)
                if self.follows:
                    self.arm = decision.command.pose.position
        return decision

    def positions(self) -> np.ndarray:
        """Return all commanded positions."""
        return np.array([command.pose.position for command in self.commands])


@pytest.fixture(name='bench')
def _bench() -> Bench:
    bench = Bench()
    bench.tick()
    return bench


def test_holds_the_measured_pose_until_the_first_chunk(bench: Bench) -> None:
    """Without a chunk the measured pose is commanded, the gripper not at all."""
    decision = bench.tick(3)
    assert (decision.mode, decision.reason) == (Mode.HOLDING, 'no action chunk')
    assert bench.positions() == pytest.approx(np.array([HOME] * 4))
    assert bench.commands[-1].gripper is None


def test_executes_a_chunk_from_the_pose_at_its_stamp(bench: Bench) -> None:
    """After the chunk the arm stands at the pose of the stamp plus all deltas."""
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert bench.tick().mode is Mode.EXECUTING
    bench.tick(20)
    assert bench.arm == pytest.approx([0.58, 0.0, 0.3])
    assert bench.commands[-1].gripper == 0.04


def test_first_command_is_no_jump(bench: Bench) -> None:
    """However late the chunk and wild its target, the first command keeps the speed limit."""
    bench.gate.offer(chunk(bench.now - 0.1, dx=0.5), bench.now)
    bench.tick()
    assert np.linalg.norm(bench.arm - HOME) <= 0.6 * 0.05 + 1e-6


@pytest.mark.parametrize(('bad', 'said'), [
    (lambda c: replace(c, actions=[[math.nan, 0, 0, 0]] * 8), 'not finite'),
    (lambda c: replace(c, actions=[[0, 0, 0, math.inf]] * 8), 'not finite'),
    (lambda c: replace(c, times=[math.nan] * 8), 'times'),
    (lambda c: replace(c, times=[0.1] * 8), 'times'),
    (lambda c: replace(c, times=c.times[:4]), 'wrong length'),
    (lambda c: replace(c, actions=[[0.0, 0.0]] * 8), 'wrong length'),
    (lambda c: replace(c, names=('x', 'y', 'z', 'rx')), 'names'),
    (lambda c: replace(c, names=('x', 'x', 'z', 'gripper')), 'names'),
    (lambda c: replace(c, frame='camera'), 'frame'),
    (lambda c: replace(c, stamp=c.stamp + 1.0), 'future'),
    (lambda c: replace(c, stamp=c.stamp - 1.0), 'too old'),
    (lambda c: replace(c, stamp=math.nan), 'future'),
])
def test_bad_chunks_are_rejected_and_counted(
        bench: Bench, bad: Callable[[IncomingChunk], IncomingChunk], said: str) -> None:
    """A chunk with anything wrong moves nothing, and the counter says what was wrong."""
    assert said in str(bench.gate.offer(bad(chunk(bench.now)), bench.now))
    assert bench.tick().mode is Mode.HOLDING
    assert any(said in key for key, count in bench.gate.counters.items() if count)


def test_a_chunk_is_accepted_once(bench: Bench) -> None:
    """The same or an older stamp never replaces the chunk in force."""
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert 'not newer' in str(bench.gate.offer(chunk(bench.now), bench.now))


def test_no_pose_at_the_stamp_no_motion() -> None:
    """A delta chunk without a measured reference is rejected."""
    bench = Bench()
    bench.now += 0.05
    assert 'no measured pose' in str(bench.gate.offer(chunk(bench.now), bench.now))


def test_dead_policy_stops_the_arm(bench: Bench) -> None:
    """When chunks cease the arm stands at the chunk's end, then the dead-man takes over."""
    bench.gate.offer(chunk(bench.now), bench.now)
    decision = bench.tick(40)
    assert decision.mode is Mode.HOLDING
    assert bench.positions()[-20:] == pytest.approx(np.array([[0.58, 0.0, 0.3]] * 20))
    assert bench.commands[-1].gripper == 0.04


def test_only_a_fresh_chunk_resumes(bench: Bench) -> None:
    """After the dead-man fired the old chunk is gone; a new one starts again."""
    bench.gate.offer(chunk(bench.now, steps=2), bench.now)
    bench.tick(30)
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert bench.tick().mode is Mode.EXECUTING


def test_stale_pose_holds_and_is_named(bench: Bench) -> None:
    """When the pose stops coming the last command is held, not the chunk continued."""
    bench.gate.offer(chunk(bench.now, steps=40), bench.now)
    bench.tick(4)
    bench.reports = False
    decision = bench.tick(12)
    assert decision.mode is Mode.HOLDING and 'pose too old' in decision.reason
    assert np.ptp(bench.positions()[-4:], axis=0) == pytest.approx(np.zeros(3))
    bench.reports = True
    assert bench.tick().reason == 'no action chunk'


def test_nan_pose_ages_out(bench: Bench) -> None:
    """A pose that is not finite is counted and does not keep the watchdog quiet."""
    bench.reports = False
    for _ in range(10):
        bench.gate.add_pose(bench.now, (math.nan, 0.0, 0.0), UP, 'base_link')
        decision = bench.tick()
    assert 'pose too old' in decision.reason
    assert bench.gate.counters['pose refused: pose is not finite'] == 10


def test_nothing_is_commanded_before_any_pose() -> None:
    """There is no pose to hold yet, so nothing is published, least of all zeros."""
    bench = Bench()
    bench.reports = False
    assert bench.tick(3).command is None


def test_empty_chunk_pauses_at_once(bench: Bench) -> None:
    """The policy's own stop does not wait for the dead-man; the next chunk resumes."""
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick(2)
    assert bench.gate.offer(IncomingChunk((), 'base_link', bench.now, [], []), bench.now) is None
    assert bench.tick().reason == 'the policy paused'
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert bench.tick().mode is Mode.EXECUTING


def test_estop_holds_until_reset_and_a_fresh_chunk(bench: Bench) -> None:
    """During the e-stop only the hold pose is commanded, and no chunk is even accepted."""
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick(4)
    bench.gate.estop.update(True)
    stopped = bench.tick().command
    assert stopped is not None
    assert 'e-stop' in str(bench.gate.offer(chunk(bench.now), bench.now))
    assert bench.tick(10).mode is Mode.ESTOPPED
    assert bench.positions()[-10:] == pytest.approx(np.array([stopped.pose.position] * 10))
    bench.gate.estop.update(False)
    assert bench.tick().mode is Mode.ESTOPPED
    before_reset = bench.now
    assert bench.gate.reset_estop(bench.now)[0]
    assert 'not newer' in str(bench.gate.offer(chunk(before_reset), bench.now))
    assert bench.tick().mode is Mode.HOLDING
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert bench.tick().mode is Mode.EXECUTING


def test_an_arm_moved_by_hand_is_held_where_it_is(bench: Bench) -> None:
    """Holding never pulls the arm back over more than the step limit."""
    bench.tick()
    bench.follows, bench.arm = False, np.array([0.4, 0.2, 0.2])
    assert bench.tick(3).command is not None
    assert bench.commands[-1].pose.position == pytest.approx([0.4, 0.2, 0.2])


def test_uncommanded_orientation_does_not_creep(bench: Bench) -> None:
    """A chunk without rotation keeps the orientation of the start, whatever is measured later."""
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick()
    tilted = (0.0, 0.0, math.sin(0.1), math.cos(0.1))
    for _ in range(4):
        bench.gate.add_pose(bench.now + 0.01, tuple(bench.arm), tilted, 'base_link')
        bench.gate.offer(chunk(bench.now + 0.01), bench.now + 0.02)
        bench.tick()
    assert bench.commands[-1].pose.quaternion == pytest.approx(UP)


def test_every_altered_command_is_counted(bench: Bench) -> None:
    """A chunk beyond several limits is executed within them, each cause counted."""
    bench.gate.offer(chunk(bench.now, dx=0.2, width=0.5), bench.now)
    decision = bench.tick(6)
    for cause in ('step', 'linear_velocity', 'gripper_width'):
        assert bench.gate.counters[f'limited by {cause}'] > 0
    assert bench.gate.counters['commands altered'] == 6
    assert decision.requested is not None and decision.requested.gripper == 0.5
    assert 'gripper_width' in decision.reason
    assert bench.commands[-1].gripper == 0.08


def test_a_late_tick_earns_no_jump(bench: Bench) -> None:
    """After a stall of the gate itself the next command moves at most two periods' worth."""
    bench.gate.offer(chunk(bench.now, dx=0.05), bench.now)
    bench.tick(2)
    before = bench.arm
    bench.now += 0.25
    bench.tick()
    assert np.linalg.norm(bench.arm - before) <= 0.6 * 0.1 + 1e-6


def test_deactivation_returns_the_safety_action(bench: Bench) -> None:
    """Deactivating in motion holds the measured pose; afterwards nothing is commanded."""
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick(4)
    last = bench.gate.deactivate(bench.now)
    measured = bench.commands[-2].pose.position
    assert last is not None and last.pose.position == pytest.approx(measured)
    assert last.linear == pytest.approx(np.zeros(3))
    assert bench.tick().command is None
    assert 'not active' in str(bench.gate.offer(chunk(bench.now), bench.now))


def test_velocity_robot_gets_the_velocity_of_the_target_and_zero_on_fault() -> None:
    """A twist command integrates to the chunk's displacement; every fault is zero velocity."""
    bench = Bench(replace(CONTRACT, fault_action='stop',
                          command=CommandTopics('twist', 'twist')))
    bench.tick()
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick(40)
    travelled = sum((command.linear for command in bench.commands), np.zeros(3)) * 0.05
    assert travelled == pytest.approx([0.08, 0.0, 0.0], abs=1e-6)
    assert bench.commands[-1].linear == pytest.approx(np.zeros(3))


def test_capture_to_command_age_is_measured_once_a_chunk(bench: Bench) -> None:
    """The age of the observation behind the first command of each chunk is the headline."""
    bench.gate.offer(chunk(bench.now - 0.02), bench.now)
    bench.tick(5)
    summary = bench.gate.capture_to_command.summary()
    assert summary.count == 1
    assert summary.max == pytest.approx(0.07)


def test_a_silent_policy_stops_the_arm_within_the_dead_man_time(bench: Bench) -> None:
    """However long the chunk in force: without a sign of life the arm stops after dead_man."""
    bench.gate.offer(chunk(bench.now, steps=60), bench.now)
    bench.tick(4)
    bench.lives, died = False, bench.now
    while bench.tick().mode is Mode.EXECUTING:
        assert bench.now - died <= CONTRACT.dead_man + 1.0 / CONTRACT.control_rate
    assert bench.tick().reason == 'no action chunk'  # the rest of the chunk is never resumed
    assert bench.now - died > CONTRACT.dead_man


@pytest.mark.parametrize('refused', [None, replace(chunk(0.0), frame='camera')])
def test_a_policy_that_lives_but_sends_nothing_usable_stops_the_arm_as_soon(
        refused: IncomingChunk | None) -> None:
    """However long the chunk in force: nothing of it is executed after its largest age."""
    bench = Bench(LIMITED_AGE)
    bench.tick()
    captured, longest = bench.now, LIMITED_AGE.max_chunk_age
    bench.gate.offer(chunk(captured, steps=60), bench.now)
    while bench.tick().mode is Mode.EXECUTING:
        assert bench.now - captured <= longest + 1.0 / CONTRACT.control_rate
        if refused:
            assert bench.gate.offer(replace(refused, stamp=bench.now), bench.now)
    assert bench.now - captured > longest
    assert bench.tick().reason == 'no action chunk'  # the rest of the chunk is never resumed
    bench.gate.offer(chunk(bench.now), bench.now)
    assert bench.tick().mode is Mode.EXECUTING


def test_a_chunk_without_any_sign_of_life_moves_nothing() -> None:
    """Whoever sends chunks must also say that it is alive."""
    bench = Bench()
    bench.lives = False
    bench.tick()
    bench.gate.offer(chunk(bench.now), bench.now)
    assert bench.tick().reason == 'sign of life of the policy never received'


def interlocked() -> Bench:
    """Return a bench with a robot that must be enabled."""
    bench = Bench(replace(CONTRACT, interlock='enable'))
    bench.tick(2)
    return bench


def test_interlock_commands_nothing_before_it_is_given() -> None:
    """Until ~/enable is called no command leaves, not even a hold, and a chunk changes nothing."""
    bench = interlocked()
    bench.gate.offer(chunk(bench.now), bench.now)
    decision = bench.tick(5)
    assert not bench.commands and 'not enabled' in decision.reason
    assert bench.gate.deactivate(bench.now) is None


def test_interlock_needs_a_chunk_from_after_it() -> None:
    """A chunk that waited does not start the arm at the moment of enabling."""
    bench = interlocked()
    bench.gate.offer(chunk(bench.now), bench.now)
    assert bench.gate.enable(True, bench.now)[0]
    assert bench.tick().mode is Mode.HOLDING
    assert bench.gate.offer(chunk(bench.now), bench.now) is None
    assert bench.tick().mode is Mode.EXECUTING


def test_interlock_taken_back_holds_and_activation_takes_it_back() -> None:
    """Disabling holds the arm where it is; after a new activation it must be given anew."""
    bench = interlocked()
    bench.gate.enable(True, bench.now)
    bench.gate.offer(chunk(bench.now), bench.now)
    bench.tick(3)
    bench.gate.enable(False, bench.now)
    stopped = bench.tick().command
    assert stopped is not None and stopped.linear == pytest.approx(np.zeros(3))
    bench.gate.deactivate(bench.now)
    bench.gate.activate(bench.now)
    assert bench.tick().command is None


def test_interlock_is_refused_during_an_estop() -> None:
    """Enabling is no way around the e-stop."""
    bench = interlocked()
    bench.gate.estop.update(True)
    assert not bench.gate.enable(True, bench.now)[0]
    assert bench.tick().command is None


def test_motion_ramps_in_after_every_hold() -> None:
    """From each start the speed limit rises over ramp_in, so the first commands are slow."""
    bench = Bench(replace(CONTRACT, ramp_in=0.5))
    for _ in range(2):
        bench.tick()
        start = bench.arm
        bench.gate.offer(chunk(bench.now, dx=0.06, steps=5), bench.now)
        bench.tick()
        assert np.linalg.norm(bench.arm - start) <= 0.6 * 0.05 * 0.1 + 1e-6
        bench.tick(30)  # until the dead-man holds
