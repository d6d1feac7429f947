# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump, activations and wrong measurements: the gate forgets what is void."""

from dataclasses import replace
import math
from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.gate import Command, CommandGate, Decision, IncomingChunk, Mode

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
HOME, UP = (0.5, 0.0, 0.3), (0.0, 0.0, 0.0, 1.0)


def chunk(stamp: float, dx: float = 0.01, steps: int = 8, width: float = 0.04) -> IncomingChunk:
    """Return a chunk along x."""
    return IncomingChunk(('x', 'y', 'z', 'gripper'), 'base_link', stamp,
                         [0.1 * (i + 1) for i in range(steps)], [[dx, 0.0, 0.0, width]] * steps)


class Cell:
    """A gate, a policy that lives, and an arm that stands where it was told to be."""

    def __init__(self, contract: RobotContract = CONTRACT) -> None:
        self.gate, self.now, self.reports = CommandGate(contract), 100.0, True
        self.arm, self.last = np.array(HOME), Command(None, None, None, None)  # type: ignore[arg-type]
        self.gate.activate(self.now)

    def tick(self, count: int = 1) -> Decision:
        """Advance by control periods; return the last decision."""
        for _ in range(count):
            self.now += 0.05
            if self.reports:
                self.gate.add_pose(self.now, tuple(self.arm), UP, 'base_link')
            self.gate.add_heartbeat(self.now)
            decision = self.gate.tick(self.now)
            if decision.command is not None:
                self.last, self.arm = decision.command, decision.command.pose.position
        return decision


@pytest.fixture(name='cell')
def _cell() -> Cell:
    cell = Cell()
    cell.tick()
    return cell


def test_a_clock_set_back_holds_and_then_goes_on(cell: Cell) -> None:
    """A simulator that starts again from 0 stops the arm once; the next fresh chunk moves it."""
    cell.gate.offer(chunk(cell.now, steps=30), cell.now)
    cell.tick(3)
    old, cell.now = cell.now, 5.0
    assert cell.tick().mode is Mode.HOLDING
    assert 'future' in str(cell.gate.offer(chunk(old), cell.now))
    cell.tick()
    assert cell.gate.offer(chunk(cell.now), cell.now) is None
    assert cell.tick().mode is Mode.EXECUTING


def test_a_robot_that_started_again_is_held_where_it_stands(cell: Cell) -> None:
    """Not a word before it says where it is: the old place would pull it there; then, its own."""
    cell.gate.offer(chunk(cell.now, steps=30), cell.now)
    cell.tick(3)
    cell.now, cell.reports, cell.arm = 0.0, False, np.array(HOME) + 0.004
    assert [cell.tick().command for _ in range(5)] == [None] * 5
    cell.reports = True
    for _ in range(3):
        command = cell.tick().command
        assert command is not None
        np.testing.assert_allclose(command.pose.position, np.array(HOME) + 0.004, atol=1e-12)


@pytest.mark.parametrize('back', [0.15, 0.5, 0.9, 50.0])
@pytest.mark.parametrize('away', [0.004, 0.12])
def test_however_little_the_clock_went_back_no_old_place_is_held(
        cell: Cell, back: float, away: float) -> None:
    """A robot that starts again soon after it did has stamps close to the old ones."""
    cell.gate.offer(chunk(cell.now, steps=30), cell.now)
    cell.tick(3)
    cell.now, place = cell.now - 0.05 - back, np.array(HOME) + away
    said = []
    for _ in range(30):
        cell.arm = place
        said.append(cell.tick().command)
    assert said[1] is not None
    for command in said:
        assert command is None or command.pose.position == pytest.approx(place, abs=1e-12)


def test_who_begins_anew_on_a_clock_that_goes_on_is_held_where_it_stands(cell: Cell) -> None:
    """Neither the old place nor the old chunk is used; the next fresh chunk moves the arm."""
    cell.gate.offer(chunk(cell.now, steps=30), cell.now)
    cell.tick(3)
    cell.gate.begin_anew(cell.now)
    cell.reports, cell.arm = False, np.array(HOME) - 0.1
    assert [cell.tick().command for _ in range(5)] == [None] * 5
    cell.reports = True
    for _ in range(5):
        command = cell.tick().command
        assert command is not None
        assert command.pose.position == pytest.approx(np.array(HOME) - 0.1, abs=1e-12)
    assert cell.gate.offer(chunk(cell.now), cell.now) is None
    assert cell.tick().mode is Mode.EXECUTING


def test_a_velocity_robot_is_stopped_at_once_when_the_clock_begins_anew() -> None:
    """It would go on with its last velocity: zero does not need to know where it stands."""
    cell = Cell(replace(CONTRACT, fault_action='stop', command=replace(
        CONTRACT.command, adapter='twist')))
    cell.tick()
    cell.gate.offer(chunk(cell.now, steps=30), cell.now)
    cell.tick(3)
    cell.now, cell.reports = 0.0, False
    for _ in range(5):
        command = cell.tick().command
        assert command is not None and not np.any(command.linear)


@pytest.mark.parametrize('ahead', [0.0, 0.05, 0.09])
def test_a_pose_stamped_a_little_ahead_opens_no_way_out_of_the_box(ahead: float) -> None:
    """Clocks of two machines differ: a velocity robot outside of its box may only come back."""
    cell = Cell(replace(CONTRACT, fault_action='stop', control_rate=50.0, command=replace(
        CONTRACT.command, adapter='twist')))
    cell.reports = False
    assert CONTRACT.limits.cartesian is not None
    high = CONTRACT.limits.cartesian.workspace[0][1]
    sent = {}
    for place in (HOME[0], high + 0.002):
        for tick in range(12):
            cell.gate.add_pose(cell.now + 0.05 + ahead, (place, *HOME[1:]), UP, 'base_link')
            if tick % 4 == 0:
                cell.gate.offer(chunk(cell.now, steps=30), cell.now)
            decision = cell.tick()
        assert decision.mode is Mode.EXECUTING and decision.command is not None
        sent[place] = decision.command.linear[0]
    assert sent[HOME[0]] > 0.0
    assert sent[high + 0.002] <= 0.0


def test_a_twist_that_the_box_lets_go_grows_no_faster_than_allowed() -> None:
    """The measured place trembles at the wall: what was sent is what the next one grows from."""
    assert CONTRACT.limits.cartesian is not None
    limits = replace(CONTRACT.limits.cartesian, linear_acceleration=0.5)
    cell = Cell(replace(
        CONTRACT, fault_action='stop', control_rate=20.0, limits=replace(
            CONTRACT.limits, cartesian=limits), command=replace(
                CONTRACT.command, adapter='twist')))
    cell.reports, rng, sent, braked = False, np.random.default_rng(2), 0.0, 0
    wall = limits.workspace[0][1]
    for tick in range(400):
        place = wall - 0.02 + rng.normal(0.0, 0.01)
        cell.gate.add_pose(cell.now + 0.05, (place, 0.0, 0.3), UP, 'base_link')
        if tick % 4 == 0:
            cell.gate.offer(chunk(cell.now + 0.05, dx=0.02), cell.now + 0.05)
        command = cell.tick().command
        assert command is not None
        assert command.linear[0] - max(0.0, sent) <= 0.05 * limits.linear_acceleration + 1e-5
        braked += command.linear[0] < sent - 0.01
        sent = command.linear[0]
    assert braked > 20


def test_one_pose_of_the_future_is_forgotten_with_the_next_good_one(cell: Cell) -> None:
    """A single wrong stamp holds the arm as long as it is the newest, and no longer."""
    cell.gate.add_pose(cell.now + 10.0, HOME, UP, 'base_link')
    cell.reports = False
    assert 'future' in cell.tick().reason
    cell.reports = True
    cell.tick()
    assert cell.gate.offer(chunk(cell.now), cell.now) is None
    assert cell.tick().mode is Mode.EXECUTING


def test_a_clock_that_trembles_during_the_ramp_never_reverses_motion() -> None:
    """Ticks a little back in time, as clocks that are corrected give, keep speed and direction."""
    cell = Cell(replace(CONTRACT, ramp_in=1.0))
    cell.tick()
    cell.gate.offer(chunk(cell.now, dx=0.03), cell.now)
    cell.tick()
    before = cell.last.pose.position[0]
    for back in (0.095, 0.075, 0.0):
        decision = cell.gate.tick(cell.now - back)
        assert decision.command is not None
        assert decision.command.pose.position[0] >= before - 1e-12


def test_nothing_survives_an_activation() -> None:
    """Neither the gripper's width nor a chunk from before is used, on whatever clock."""
    cell = Cell()
    cell.tick()
    cell.gate.offer(chunk(cell.now, width=0.01), cell.now)
    cell.tick(3)
    cell.gate.deactivate(cell.now)
    old = chunk(cell.now)
    cell.gate.activate(cell.now)
    assert 'not newer' in str(cell.gate.offer(old, cell.now))
    decision = cell.tick()
    assert decision.command is not None and decision.command.gripper is None
    cell.gate.deactivate(cell.now)
    cell.now = 10.0
    cell.gate.activate(cell.now)
    cell.tick(2)
    assert cell.gate.offer(chunk(cell.now), cell.now) is None


def test_one_outlier_moves_no_hold(cell: Cell) -> None:
    """A driver that sends zeros once does not send the arm there, e-stop or not."""
    cell.tick()
    cell.gate.estop.update(True)
    cell.tick()
    cell.reports = False
    for wrong in ((0.0, 0.0, 0.0), (0.9, 0.9, 0.9)):
        cell.gate.add_pose(cell.now + 0.01, wrong, UP, 'base_link')
        command = cell.tick().command
        assert command is not None and command.pose.position == pytest.approx(HOME)


def test_an_arm_turned_by_hand_is_not_turned_back(cell: Cell) -> None:
    """The hold takes a new orientation as it takes a new position."""
    cell.tick()
    cell.reports = False
    turned = (0.0, 0.0, math.sin(0.7), math.cos(0.7))
    for _ in range(4):
        cell.gate.add_pose(cell.now + 0.01, HOME, turned, 'base_link')
        cell.tick()
    assert cell.last.pose.quaternion == pytest.approx(turned)


def test_no_reference_is_made_up_across_a_gap(cell: Cell) -> None:
    """Between two poses far apart in time nothing was measured, so no delta chunk starts there."""
    cell.reports = False
    cell.now += 4.0
    cell.gate.add_pose(cell.now, (0.7, 0.0, 0.3), UP, 'base_link')
    assert 'no measured pose' in str(cell.gate.offer(chunk(cell.now - 0.5), cell.now))
