# SPDX-License-Identifier: Apache-2.0
"""The listener's rules for velocities: each finds what breaks it, a healthy stream breaks none."""

from dataclasses import replace

import numpy as np
import pytest

from bench.drill.reaction import reaction
from bench.drill.robots import drill_contract
from bench.drill.twist_watch import TwistWatch
from bench.drill.watch import Numbers, Sample

NUMBERS = Numbers.read(drill_contract('twist')[0])
PERIOD = NUMBERS.period
REST = (0.0, 0.0, 0.0)
Velocity = tuple[float, float, float]


def arm(one: TwistWatch, time: float, place: Velocity) -> None:
    """Let the robot say where it is; wall and node time are the same."""
    one.truth.append(Sample(time, time, np.array(place)))


def send(one: TwistWatch, tick: int, linear: Velocity, angular: Velocity = REST,
         frame: str = 'base_link') -> None:
    """Send the command of tick ``tick``, from 1 on."""
    one.twist(tick * PERIOD, tick * PERIOD, frame, linear, angular)


def ramp(one: TwistWatch, tick: int) -> None:
    """Move and turn a little one tick before ``tick``, so that growth is no matter there."""
    send(one, tick - 1, (0.0, 0.25, 0.0), (0.0, 0.0, 0.5))


def rules(one: TwistWatch) -> list[str]:
    """Return what was broken once all is judged."""
    one.settle(1e9)
    return [found.rule for found in one.violations]


def test_a_healthy_motion_breaks_nothing() -> None:
    """Full speed in the box, and a stop on the spot, are what a contract allows."""
    one, y = TwistWatch(NUMBERS), 0.0
    for tick, speed in enumerate((0.0, 0.5, 0.6, 0.6, 0.6, 0.0, 0.0), 1):
        arm(one, tick * PERIOD - 0.01, (0.5, y, 0.3))
        send(one, tick, (0.0, speed, 0.0))
        y += speed * PERIOD
    assert rules(one) == []


@pytest.mark.parametrize(('linear', 'angular', 'rule'), [
    ((0.0, 0.61, 0.0), REST, 'speed'), ((0.45, 0.45, 0.0), REST, 'speed'),
    (REST, (0.0, 0.0, 1.01), 'turn'), ((0.0, float('nan'), 0.0), REST, 'finite'),
    (REST, (float('inf'), 0.0, 0.0), 'finite')])
def test_each_rule_finds_what_breaks_it(linear: Velocity, angular: Velocity, rule: str) -> None:
    """Too fast in one axis or in all together, turning too fast, not a number."""
    one = TwistWatch(NUMBERS)
    arm(one, 0.0, (0.5, 0.0, 0.3))
    ramp(one, 2)
    send(one, 2, linear, angular)
    assert rules(one) == [rule]


def test_frame_and_stamp_are_looked_at() -> None:
    """A velocity in another frame or without a time is none."""
    one = TwistWatch(NUMBERS)
    one.twist(0.1, 0.0, 'tool', REST, REST)
    assert rules(one) == ['frame', 'stamp']


@pytest.mark.parametrize(('factor', 'broken'), [(1.0, False), (0.98, True)])
def test_growth_is_held_against_the_time_since_the_last_command(
        factor: float, broken: bool) -> None:
    """From rest, of speed and of turning; the limit itself is allowed."""
    for linear, angular, rule in (((0.0, 0.5, 0.0), REST, 'speed growth'),
                                  (REST, (0.0, 0.0, 1.0), 'turn growth')):
        one = TwistWatch(replace(NUMBERS, growth=10.0 * factor, turn_growth=20.0 * factor))
        send(one, 1, REST)
        send(one, 2, linear, angular)
        assert rules(one) == ([rule] if broken else [])


def test_a_first_twist_starts_from_rest() -> None:
    """Neither at the start nor after a restart is there a speed to begin with."""
    one = TwistWatch(NUMBERS)
    send(one, 1, (0.0, 0.6, 0.0))
    assert rules(one) == ['speed growth']
    one.restarted()
    send(one, 2, (0.0, 0.6, 0.0))
    assert rules(one) == ['speed growth', 'speed growth']


def test_a_corner_is_growth_and_a_stop_is_none() -> None:
    """Braking is free, turning around is not."""
    one = TwistWatch(replace(NUMBERS, growth=6.0))
    for tick, velocity in enumerate(((0.0, 0.3, 0.0), REST, (0.0, 0.3, 0.0),
                                     (0.3, 0.0, 0.0)), 1):
        send(one, tick, velocity)
    assert rules(one) == []
    send(one, 5, (0.0, -0.31, 0.0))
    assert rules(one) == ['speed growth']


def test_a_twist_that_holds_too_long_is_a_step() -> None:
    """What a command moves until the next one is no further than the largest jump."""
    one = TwistWatch(replace(NUMBERS, step=0.02))
    send(one, 1, (0.0, 0.3, 0.0))
    send(one, 2, (0.0, 0.3, 0.0))
    assert rules(one) == []
    send(one, 4, (0.0, 0.3, 0.0))
    assert rules(one) == ['step']


def test_a_twist_that_leads_out_of_the_box_is_found() -> None:
    """From where the arm was, carried on by the twists since, until the next command is due."""
    one = TwistWatch(NUMBERS)
    arm(one, 0.09, (0.5, 0.46, 0.3))
    ramp(one, 2)
    send(one, 2, (0.0, 0.6, 0.0))  # 0.46 + 0.01 * 0.25 + 0.03
    assert rules(one) == []
    send(one, 3, (0.0, 0.6, 0.0))  # without news of the arm: 0.03 more
    assert rules(one) == ['workspace']


def test_an_arm_outside_may_come_in_but_not_go_on() -> None:
    """The box grows to where the arm is, and no further."""
    one = TwistWatch(NUMBERS)
    arm(one, 0.09, (0.5, 0.52, 0.3))
    send(one, 2, (0.0, -0.3, 0.0))
    assert rules(one) == []
    arm(one, 0.24, (0.5, 0.52, 0.3))
    send(one, 5, (0.0, 0.1, 0.0))
    assert rules(one) == ['workspace']


def test_while_it_is_carried_and_in_silence_nothing_moves() -> None:
    """During a new scene only zero is allowed, from a dead gate not even that."""
    one = TwistWatch(NUMBERS)
    one.carry(True)
    send(one, 1, REST)
    assert rules(one) == []
    send(one, 2, (0.0, 0.01, 0.0))
    one.silence = 'of a dead gate'
    send(one, 3, REST)
    assert sorted(rules(one)) == ['carried', 'silence']


def test_the_stop_is_the_first_zero_and_zero_is_the_safe_end() -> None:
    """Two equal velocities are motion; what ends with one has not stopped."""
    one = TwistWatch(NUMBERS)
    for tick in range(1, 7):
        send(one, tick, (0.0, 0.3, 0.0) if tick < 5 else REST)
    found = reaction(one, wall=0.12, node=0.12, until=0.5)
    assert found.stop_node == pytest.approx(0.25 - 0.12)
    assert found.held_wall == pytest.approx(0.25 - 0.12)
    assert found.commanded == pytest.approx(0.3 * 3 * PERIOD)
    assert found.ends_safely
    assert not reaction(one, wall=0.12, node=0.12, until=0.21).ends_safely
    assert reaction(one, wall=0.12, node=0.12, until=0.21).stop_node == pytest.approx(0.08)
