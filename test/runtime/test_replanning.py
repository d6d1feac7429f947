# SPDX-License-Identifier: Apache-2.0
"""The policy is asked once a replan period, for the newest instruction only."""

from pathlib import Path

import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.runtime.observation_sync import ObservationSync
from vla_drop_ros.runtime.replanning import NO_INSTRUCTION, PAUSED, Replanner, Request
from vla_drop_ros.types import ActionSpec

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
SPEC = ActionSpec(('x',), 'base_link', 'delta', 0.1, 8, 4)


class Bench:
    """Streams at 20 Hz and a replanner that is asked as often."""

    def __init__(self, period: float = 0.0) -> None:
        self.sync: ObservationSync[str] = ObservationSync(CONTRACT)
        self.replanner = Replanner(self.sync, period)
        self.now = 10.0

    def run(self, seconds: float, dead: str = '', age: float = 0.0) -> list[Request[str]]:
        """Return the requests made meanwhile; ``dead`` is a camera that gives nothing.

        Images are ``age`` [s] old when they come.
        """
        requests = []
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            if dead != 'front':
                self.sync.add_image('front', self.now - age, 'image')
            self.sync.add_pose(self.now, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 'base_link')
            requests.append(self.replanner.request(self.now, SPEC, ('front',), ('ee.x',)))
        return [request for request in requests if request is not None]


def test_nothing_is_asked_without_an_instruction() -> None:
    """No instruction and an empty one are told apart, and neither infers."""
    bench = Bench()
    assert bench.run(1.0) == [] and bench.replanner.waiting == NO_INSTRUCTION
    assert not bench.replanner.instruct('  ')
    assert bench.run(1.0) == [] and bench.replanner.waiting == PAUSED


@pytest.mark.parametrize(('period', 'expected'), [(0.0, 5), (0.2, 10)])
def test_period_is_the_executed_steps_unless_set(period: float, expected: int) -> None:
    """By default a chunk is asked for whenever the executed steps have passed."""
    bench = Bench(period)
    bench.replanner.instruct('go')
    assert len(bench.run(2.0)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize('age', [0.0, 0.05, 0.2])
def test_the_period_is_of_capture_time(age: float) -> None:
    """Old images do not make the policy ask earlier than after the executed steps."""
    bench = Bench()
    bench.replanner.instruct('go')
    stamps = [request.snapshot.stamp for request in bench.run(6.0, age=age)]
    assert len(stamps) > 12
    assert [after - before for before, after in zip(stamps, stamps[1:], strict=False)] == (
        pytest.approx([0.4] * (len(stamps) - 1)))


def test_new_instruction_is_due_at_once_and_voids_the_old() -> None:
    """A new instruction does not wait for the period, and belongs to a newer episode."""
    bench = Bench()
    bench.replanner.instruct('left')
    first = bench.run(0.1)[0]
    bench.replanner.instruct('right')
    second = bench.run(0.05)[0]
    assert (first.instruction, second.instruction) == ('left', 'right')
    assert second.episode == bench.replanner.episode > first.episode


def test_the_same_observation_is_not_asked_about_twice() -> None:
    """While no newer image arrives there is nothing new to infer."""
    bench = Bench(0.01)
    bench.replanner.instruct('go')
    bench.run(0.1)
    assert bench.replanner.request(bench.now + 0.02, SPEC, ('front',), ('ee.x',)) is None


def test_problems_are_kept_for_the_operator() -> None:
    """When an observation cannot be joined the reasons stay readable."""
    bench = Bench()
    bench.replanner.instruct('go')
    assert bench.replanner.request(10.0, SPEC, ('front', 'wrist'), ()) is None
    assert any('wrist' in problem for problem in bench.replanner.problems)


def test_a_broken_stream_pauses_once_and_begins_an_episode() -> None:
    """The first look after the break says so, the next ones do not, and old chunks are void."""
    bench = Bench()
    bench.replanner.instruct('go')
    first = bench.run(0.5)[0]
    look = (('front',), ('ee.x',))
    assert not bench.replanner.breaks(bench.now, *look)
    bench.run(1.0, dead='front')
    assert bench.replanner.breaks(bench.now, *look)
    assert bench.replanner.episode > first.episode
    assert not bench.replanner.breaks(bench.now + 0.05, *look)
    again = bench.run(0.1)
    assert again and again[0].episode == bench.replanner.episode
    assert not bench.replanner.breaks(bench.now, *look)
    bench.run(1.0, dead='front')
    assert bench.replanner.breaks(bench.now, *look)


def test_nothing_pauses_that_is_not_asked() -> None:
    """Without an instruction a dead camera is a problem to report, no reason to pause."""
    bench = Bench()
    assert not bench.replanner.breaks(10.0, ('front',), ())
    assert bench.replanner.problems


def test_skew_is_a_problem_and_no_break() -> None:
    """Cameras that are apart for a moment give no observation, and the arm goes on."""
    bench = Bench()
    bench.replanner.instruct('go')
    bench.run(0.15)
    bench.sync.add_image('wrist', bench.now - 0.3, 'image')
    assert not bench.replanner.breaks(bench.now, ('front', 'wrist'), ())
    assert 'not synchronous' in bench.replanner.problems[0]


def test_nothing_is_asked_before_the_steps_are_over() -> None:
    """Not even about what was seen before that, at the first instant after it."""
    bench = Bench()
    bench.replanner.instruct('go')
    first = bench.run(0.1)[0]
    end = first.snapshot.stamp + 1.2
    bench.replanner.hold_off(end)
    following = bench.run(2.0)[0]
    assert end <= following.snapshot.stamp <= end + 0.11
    bench.replanner.hold_off(bench.now + 9.0)
    bench.replanner.instruct('another')
    assert bench.run(0.1), 'a new instruction is due at once'


def test_what_is_no_instruction_stops_the_old_one() -> None:
    """The reason is kept until the next instruction."""
    bench = Bench()
    bench.replanner.instruct('go')
    assert not bench.replanner.instruct('go\x00')
    assert bench.run(1.0) == [] and bench.replanner.instruction == ''
    assert 'control character' in bench.replanner.waiting == f'paused: {bench.replanner.refused}'
    bench.replanner.instruct('go')
    assert bench.run(0.1) and not bench.replanner.refused


def test_a_clock_set_back_is_no_reason_to_wait() -> None:
    """After a simulator restart the policy is asked at once, not when time has caught up."""
    bench = Bench()
    bench.replanner.instruct('go')
    assert bench.run(0.5)
    bench.now = 1.0
    assert bench.run(0.5)


def test_nothing_is_asked_while_nobody_may_be_obeyed() -> None:
    """Who watches stops the robot once, says why, and lets it go on with a new episode."""
    bench, fault = Bench(), ['']
    bench.replanner = Replanner(bench.sync, 0.0, lambda now: fault[0])
    bench.replanner.instruct('go')
    assert bench.run(1.0)
    fault[0] = 'sign of life of trial_node too old'
    breaks = [bench.replanner.breaks(bench.now, ('front',), ('ee.x',)) for _ in range(3)]
    assert breaks == [True, False, False] and bench.replanner.problems[0] == fault[0]
    assert bench.run(1.0) == []
    fault[0] = ''
    assert bench.run(1.0) and not bench.replanner.problems
