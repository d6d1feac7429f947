# SPDX-License-Identifier: Apache-2.0
"""The listener's rules: each finds what breaks it, and a healthy stream breaks none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.drill.reaction import apart, reaction
from bench.drill.watch import CommandWatch, Numbers, Sample, SETTLING

CONTRACT = Path(__file__).resolve().parents[3] / 'config/robots/simulated_arm.yaml'
NUMBERS = Numbers.read(yaml.safe_load(CONTRACT.read_text(encoding='utf-8')))
DOWN = (1.0, 0.0, 0.0, 0.0)
START = np.array([0.5, 0.0, 0.3])
Point = tuple[float, float, float]


def watch(numbers: Numbers = NUMBERS) -> CommandWatch:
    """Return a watch that has heard where the arm is."""
    one = CommandWatch(numbers)
    for heard in (one.poses, one.truth):
        heard.append(Sample(0.0, 0.0, START, np.array(DOWN)))
    return one


def command(one: CommandWatch, number: int, place: Point, frame: str = 'base_link') -> None:
    """Send the command of tick ``number``, from 1 on; wall and node time are the same."""
    time = number * NUMBERS.period
    one.command(time, time, frame, place, DOWN)


def rules(one: CommandWatch) -> list[str]:
    """Return what was broken once all is judged."""
    one.settle(1e9)
    return [found.rule for found in one.violations]


def test_a_healthy_motion_breaks_nothing() -> None:
    """Full speed from the arm on, inside the box, is what a contract allows."""
    one = watch()
    for tick in range(1, 10):
        command(one, tick, (0.5, 0.6 * 0.05 * tick, 0.3))
    one.width(0.5, [0.08])
    assert rules(one) == []


@pytest.mark.parametrize(('place', 'rule'), [
    ((0.5, 0.0, -0.01), 'workspace'), ((float('nan'), 0.0, 0.3), 'finite'),
    ((0.0, 0.0, 0.0), 'zeros'), ((0.5, 0.035, 0.3), 'speed'), ((0.5, 0.09, 0.3), 'step')])
def test_each_rule_finds_what_breaks_it(place: Point, rule: str) -> None:
    """Outside, not a number, the zero pose, too fast, too far at once."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    command(one, 2, place)
    assert rule in rules(one)


def test_frame_stamp_and_orientation_are_looked_at() -> None:
    """A pose in another frame, without a time or without an orientation is none."""
    one = watch()
    one.command(0.1, 0.0, 'tool', (0.5, 0.0, 0.3), (0.0, 0.0, 0.0, 0.0))
    assert {'frame', 'stamp', 'unit'} <= set(rules(one))


@pytest.mark.parametrize('values', [[0.081], [-0.001], [float('nan')], [], [0.01, 0.01]])
def test_widths_stay_in_the_range(values: list[float]) -> None:
    """One finite width within the limits, nothing else."""
    one = watch()
    one.width(0.1, values)
    assert rules(one) == ['gripper']


def test_an_arm_outside_may_come_in_but_not_go_on() -> None:
    """The box grows to where the arm is, and no further."""
    one = watch()
    one.poses.append(Sample(0.01, 0.01, np.array([0.5, 0.52, 0.3])))
    command(one, 1, (0.5, 0.519, 0.3))
    assert rules(one) == []
    command(one, 2, (0.5, 0.53, 0.3))
    assert rules(one) == ['workspace']


def test_a_hold_jumps_back_to_the_arm_only() -> None:
    """Faster than the limit is allowed to a pose that was measured, to no other."""
    one = watch()
    for tick in range(1, 3):
        command(one, tick, (0.5, 0.03 * tick, 0.3))
    one.poses.append(Sample(0.12, 0.12, np.array([0.5, 0.01, 0.3])))
    command(one, 3, (0.5, 0.01, 0.3))
    assert rules(one) == []
    command(one, 4, (0.5, 0.06, 0.3))
    assert rules(one) == ['speed']


def test_a_hold_at_an_old_pose_does_not_pull_the_arm() -> None:
    """Where the arm was long ago is further than a step from where it is: no place to hold."""
    one = watch()
    late = 2.0
    one.poses.append(Sample(late, late, START + [0.0, 0.1, 0.0]))
    one.command(late, late, 'base_link', (0.5, 0.1, 0.3), DOWN)
    one.command(late + 0.05, late + 0.05, 'base_link', (0.5, 0.0, 0.3), DOWN)
    assert rules(one) == ['step']


def test_a_clock_that_jumps_earns_no_motion() -> None:
    """Twenty seconds between two stamps allow one tick of motion."""
    one = watch()
    one.command(0.05, 0.05, 'base_link', (0.5, 0.0, 0.3), DOWN)
    one.command(0.10, 20.05, 'base_link', (0.5, 0.05, 0.3), DOWN)
    one.command(0.15, 0.05, 'base_link', (0.5, 0.0, 0.2), DOWN)
    assert rules(one) == ['speed', 'step', 'speed']


def test_silence_means_silence() -> None:
    """Whoever may not command is found at the first message, arm or gripper."""
    one = watch()
    one.silence = 'of a dead gate'
    command(one, 1, (0.5, 0.0, 0.3))
    one.width(0.1, [0.04])
    assert rules(one) == ['silence', 'silence']


def test_a_new_gate_begins_where_the_arm_is() -> None:
    """After a restart the first command is held against the measured pose."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    one.settle(1.0)
    one.restarted()
    command(one, 30, (0.5, 0.2, 0.3))
    assert rules(one) == ['begin']


@pytest.mark.parametrize('heard', [True, False])
def test_a_new_robot_is_not_sent_to_where_the_old_one_was(heard: bool) -> None:
    """Neither the last command nor the last pose of before may be the first thing it hears."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    one.settle(1.0)
    one.carry(True)
    one.restarted()
    if heard:
        one.poses.append(Sample(1.9, 0.1, START - [0.1, 0.0, 0.0]))
    one.command(2.0, 0.2, 'base_link', (0.5, 0.0, 0.3), DOWN)
    assert rules(one) == ['begin']


def test_a_new_robot_is_held_where_it_was_just_heard() -> None:
    """Far from the old place, in a time that has begun anew."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    one.settle(1.0)
    one.carry(True)
    one.restarted()
    one.poses.append(Sample(1.9, 0.1, START - [0.1, 0.0, 0.0]))
    for tick in range(3):
        one.command(2.0 + tick, 0.2 + tick, 'base_link', (0.4, 0.0, 0.3), DOWN)
    assert rules(one) == []


def test_while_it_is_carried_the_arm_is_only_held() -> None:
    """During a new scene a command follows the measured pose, over any distance."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    one.carry(True)
    one.poses.append(Sample(0.09, 0.09, np.array([0.4, 0.3, 0.3])))
    command(one, 2, (0.4, 0.3, 0.3))
    assert rules(one) == []
    command(one, 3, (0.4, 0.31, 0.3))
    assert rules(one) == ['carried']


def test_judgement_waits_for_the_pose_that_a_hold_repeats() -> None:
    """A pose that is heard right after the hold counts."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    command(one, 2, (0.5, 0.05, 0.3))
    one.settle(0.1 + SETTLING / 2)
    one.poses.append(Sample(0.11, 0.11, np.array([0.5, 0.05, 0.3])))
    assert rules(one) == []


def test_a_listener_that_lags_still_waits_for_the_pose() -> None:
    """What counts is when a command was heard: the pose of its time comes as late."""
    one = watch()
    command(one, 1, (0.5, 0.0, 0.3))
    one.command(0.1, 0.1, 'base_link', (0.5, 0.05, 0.3), DOWN, heard=0.6)
    one.settle(0.6 + SETTLING / 2)
    one.poses.append(Sample(0.11, 0.11, np.array([0.5, 0.05, 0.3])))
    assert rules(one) == []


def test_the_reaction_ends_with_the_last_change() -> None:
    """Stop, distances and the first hold are measured from the fault; what came before is not."""
    one = watch()
    for tick in range(1, 11):
        command(one, tick, (0.5, 0.01 * min(tick, 6), 0.3))
        one.truth.append(Sample(0.05 * tick, 0.05 * tick, START + [0.1, 0.01 * tick, 0.0]))
    found = reaction(one, wall=0.21, node=0.2, until=0.5)
    assert found.commands == 6
    assert found.stop_wall == pytest.approx(0.09)
    assert found.stop_node == pytest.approx(0.10)
    assert found.held_wall == pytest.approx(0.14)
    assert found.last_wall == pytest.approx(0.29)
    assert found.commanded == pytest.approx(0.02)
    assert found.physical == pytest.approx(0.06)
    assert found.fastest == pytest.approx(0.2)


def test_how_far_apart_two_spans_lie_is_the_smallest_distance() -> None:
    """The arm has left all of the first span all through the second; one not heard tells none."""
    path = [Sample(9.0, 0.1 * i, np.array([0.1 * i, 0.0, 0.0])) for i in range(11)]
    assert apart(path, (0.0, 0.21), (0.59, 1.0)) == pytest.approx(0.4)
    back = [*path, Sample(9.0, 1.1, np.array([0.15, 0.0, 0.0]))]
    assert apart(back, (0.0, 0.21), (0.59, 1.1)) == pytest.approx(0.05)
    assert apart(path, (0.0, 0.21), (2.0, 3.0)) == 0.0


def start_to_move(numbers: Numbers, speed: float, turn: float = 0.0) -> list[str]:
    """Stand for two ticks, then move or turn at once; return what was broken."""
    one = watch(numbers)
    at = 0.0
    for tick in range(1, 6):
        at += numbers.period * (tick > 2)
        time, angle = tick * numbers.period, turn * at / 2.0
        one.command(time, time, 'base_link', (0.5, speed * at, 0.3),
                    (np.cos(angle), np.sin(angle), 0.0, 0.0))
    return rules(one)


@pytest.mark.parametrize(('speed', 'turn', 'rule'), [
    (0.5, 0.0, 'speed growth'), (0.0, 0.8, 'turn growth')])
def test_twice_the_acceleration_is_found_and_the_limit_is_none(
        speed: float, turn: float, rule: str) -> None:
    """From rest to a speed that is allowed: what is wrong is how fast, and it is told once."""
    assert start_to_move(replace(NUMBERS, growth=10.0, turn_growth=16.0), speed, turn) == []
    assert start_to_move(replace(NUMBERS, growth=5.0, turn_growth=8.0), speed, turn) == [rule]
    assert start_to_move(replace(NUMBERS, growth=9.9, turn_growth=15.9), speed, turn) == [rule]


def test_a_corner_is_growth_and_a_stop_is_none() -> None:
    """At full speed a corner breaks a limit that a stop on the spot does not."""
    one = watch(replace(NUMBERS, growth=2.0))
    ends = [0.0, 0.0, 0.005, 0.015, 0.03, 0.03, 0.03, 0.035]
    for tick, y in enumerate(ends, 1):
        command(one, tick, (0.5, y, 0.3))
    assert rules(one) == []
    command(one, len(ends) + 1, (0.506, ends[-1], 0.3))
    assert rules(one) == ['speed growth']


def test_a_jump_back_to_the_arm_gives_no_swing() -> None:
    """After a hold far back the target starts from rest, whatever way it jumped."""
    one = watch(replace(NUMBERS, growth=2.0))
    command(one, 1, (0.5, 0.0, 0.3))
    command(one, 2, (0.5, 0.003, 0.3))
    one.poses.append(Sample(0.14, 0.14, np.array([0.5, -0.05, 0.3])))
    command(one, 3, (0.5, -0.05, 0.3))
    command(one, 4, (0.5, -0.07, 0.3))
    assert rules(one) == ['speed growth']


def test_a_late_command_has_to_accelerate_again() -> None:
    """Who moved less than his speed during a gap may not be back at it with the next command."""
    one = watch(replace(NUMBERS, growth=1.0))
    for time, y in ((0.05, 0.0), (0.1, 0.0), (0.15, 0.0025), (0.2, 0.0075), (0.5, 0.0075),
                    (0.55, 0.0275)):
        one.command(time, time, 'base_link', (0.5, y, 0.3), DOWN)
    assert rules(one) == ['speed growth']


def test_an_orientation_may_not_jump_but_to_that_of_the_arm() -> None:
    """Faster than the rate of turn is only the way back to what was measured."""
    one = watch()
    for tick, angle in enumerate((0.0, 0.04, 0.08, 0.0, 0.2), 1):
        time = tick * NUMBERS.period
        one.command(time, time, 'base_link', (0.5, 0.0, 0.3),
                    (np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0))
    assert rules(one) == ['turn']
