# SPDX-License-Identifier: Apache-2.0
"""The policy is asked once a replan period, for the newest instruction only."""

from pathlib import Path

import pytest

from vla_drop_ros.robot_contract import load_contract
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

    def run(self, seconds: float) -> list[Request[str]]:
        """Return the requests made meanwhile."""
        requests = []
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            self.sync.add_image('front', self.now, 'image')
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
