# SPDX-License-Identifier: Apache-2.0
"""The listener's rules for joint trajectories: each finds what breaks it, a healthy one none."""

from dataclasses import replace

import numpy as np
import pytest

from bench.drill.joint_watch import CLOCK, JointNumbers, JointWatch
from bench.drill.reaction import reaction
from bench.drill.robots import drill_contract
from bench.drill.watch import Sample
from vla_drop_ros.simulation.scene import ARM_JOINTS, HOME
from vla_drop_ros.types import FloatArray

NUMBERS = JointNumbers.read(drill_contract('joints')[0])
PERIOD = NUMBERS.period
TURN = np.eye(7)[0]  # the first joint


def watch(numbers: JointNumbers = NUMBERS) -> JointWatch:
    """Return a watch that has heard where the arm is; wall and node time are the same."""
    one = JointWatch(numbers)
    for heard in (one.poses, one.truth):
        heard.append(Sample(0.0, 0.0, HOME))
    return one


def send(one: JointWatch, tick: int, positions: FloatArray, stamp: float = 0.0) -> None:
    """Send the command of tick ``tick``, from 1 on."""
    one.trajectory(tick * PERIOD, stamp, ARM_JOINTS, [(NUMBERS.lead, positions.tolist())])


def drive(one: JointWatch, speeds: list[float], first: int = 1) -> FloatArray:
    """Send one command a speed of the first joint [rad/s], from home on; return where it ends."""
    place = HOME.copy()
    for tick, speed in enumerate(speeds, first):
        place = place + TURN * speed * PERIOD
        send(one, tick, place)
    return place


def rules(one: JointWatch) -> list[str]:
    """Return the rules that were broken once all is judged, each once."""
    one.settle(1e9)
    return list(dict.fromkeys(found.rule for found in one.violations))


def test_a_healthy_motion_breaks_nothing() -> None:
    """Speed that grows as fast as it may, full speed, a stop on the spot, and the way back."""
    one = watch()
    ramp = [min(2.0, 8.0 * PERIOD * tick) for tick in range(1, 16)]
    drive(one, [0.0, *ramp, 0.0, 0.0, *(-speed for speed in ramp), 0.0])
    one.width(0.5, [0.08])
    assert rules(one) == []


@pytest.mark.parametrize(('names', 'points', 'stamp', 'rule'), [
    (ARM_JOINTS, [(0.1, HOME.tolist())], 3.0, 'stamp'),
    (ARM_JOINTS[:6], [(0.1, HOME[:6].tolist())], 0.0, 'form'),
    ((*ARM_JOINTS[:6], 'elbow'), [(0.1, HOME.tolist())], 0.0, 'form'),
    (ARM_JOINTS, [(0.1, HOME.tolist())] * 2, 0.0, 'form'), (ARM_JOINTS, [], 0.0, 'form'),
    (ARM_JOINTS, [(0.1, HOME[:6].tolist())], 0.0, 'form'),
    (ARM_JOINTS, [(0.05, HOME.tolist())], 0.0, 'lead'),
    (ARM_JOINTS, [(0.1, [float('nan')] * 7)], 0.0, 'finite')])
def test_what_is_no_command_of_the_contract_is_found(
        names: tuple[str, ...], points: list[tuple[float, list[float]]], stamp: float,
        rule: str) -> None:
    """A stamp, other joints, several points, another time to reach it, not a number."""
    one = watch()
    one.trajectory(PERIOD, stamp, names, points)
    assert rules(one) == [rule]


def test_joints_are_matched_by_name() -> None:
    """Another order is the same command."""
    one = watch()
    one.trajectory(PERIOD, 0.0, ARM_JOINTS[::-1], [(NUMBERS.lead, HOME[::-1].tolist())])
    assert rules(one) == []
    np.testing.assert_array_equal(one.commands[-1].position, HOME)


def test_a_position_beyond_the_range_is_found_unless_the_arm_is_there() -> None:
    """The range grows to where the arm is, and no further."""
    beyond = HOME.copy()
    beyond[3] = NUMBERS.high[3] + 0.01
    one = watch()
    for heard in (one.poses, one.truth):
        heard.append(Sample(0.01, 0.01, beyond))
    send(one, 1, beyond)
    assert rules(one) == []
    send(one, 2, beyond + 0.01 * np.eye(7)[3])
    assert rules(one) == ['range']


def test_a_jump_of_one_joint_is_found() -> None:
    """Each joint has a largest jump of its own."""
    one = watch()
    send(one, 1, HOME)
    send(one, 2, HOME + TURN * 0.21)
    assert 'step' in rules(one)


@pytest.mark.parametrize(('factor', 'broken'), [(1.0, []), (0.9, ['speed'])])
def test_a_speed_that_lasts_is_found_to_a_tenth(factor: float, broken: list[str]) -> None:
    """Over half a second the uncertain time of a command matters no more."""
    one = watch(replace(NUMBERS, velocities=NUMBERS.velocities * factor))
    drive(one, [0.0, *(min(2.0, 0.4 * tick) for tick in range(1, 20))])
    assert rules(one) == broken


@pytest.mark.parametrize(('factor', 'broken'), [(1.0, []), (0.4, ['speed growth'])])
def test_a_speed_that_grows_too_fast_is_found(factor: float, broken: list[str]) -> None:
    """From rest, and through it to the other side: 8 rad/s^2 where 3.2 are allowed."""
    ramp = [min(1.6, 8.0 * PERIOD * tick) for tick in range(1, 8)]
    numbers = replace(NUMBERS, accelerations=NUMBERS.accelerations * factor)
    for speeds in (ramp, [-speed for speed in ramp], [-0.2, -0.2, *ramp]):
        one = watch(numbers)
        drive(one, [0.0, *speeds])
        assert rules(one) == broken


def test_a_hold_jumps_back_to_the_arm_only() -> None:
    """To a measured position it may jump, and moves from rest there; to no other."""
    one = watch()
    drive(one, [0.0, 0.4, 0.8, 1.2, 1.6, 2.0])
    back = HOME + TURN * 0.1
    one.poses.append(Sample(0.33, 0.33, back))
    send(one, 7, back)
    send(one, 8, back)
    assert rules(one) == []
    send(one, 9, back + TURN * 0.19)
    assert rules(one) == ['speed']


def test_a_new_gate_begins_where_the_arm_is() -> None:
    """After a restart the first command is held against the measured joints."""
    one = watch()
    send(one, 1, HOME)
    one.settle(1.0)
    one.restarted()
    send(one, 5, HOME + TURN * 0.15)
    assert rules(one) == ['begin']


def test_while_it_is_carried_and_in_silence_nothing_moves() -> None:
    """During a new scene a command follows the arm; from a dead gate none may come."""
    one = watch()
    send(one, 1, HOME)
    one.carry(True)
    one.poses.append(Sample(0.09, 0.09, HOME + 0.5))
    send(one, 2, HOME + 0.5)
    assert rules(one) == []
    send(one, 3, HOME + 0.51)
    one.silence = 'of a dead gate'
    send(one, 4, HOME + 0.51)
    assert sorted(rules(one)) == ['carried', 'silence']


def test_the_stop_is_in_the_time_of_the_graph() -> None:
    """Commands have no stamp: their time is what the clock said when they were sent."""
    one = watch()
    one.node_time = lambda wall: wall + 100.0
    drive(one, [0.0, 0.2, 0.4, 0.4, 0.0, 0.0, 0.0])
    found = reaction(one, wall=0.12, node=100.12, until=0.5)
    assert found.stop_node == pytest.approx(0.20 - 0.12)
    assert found.commanded == pytest.approx(0.4 * 2 * PERIOD)
    assert found.ends_safely and CLOCK < PERIOD
    assert not reaction(one, wall=0.12, node=100.12, until=0.21).ends_safely
