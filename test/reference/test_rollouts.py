# SPDX-License-Identifier: Apache-2.0
"""Episodes: judged by physics, ended in time, repeated by seed, about the object that is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.reference import frames, rollouts
from vla_drop_ros.reference.train import SPEC
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.simulation.tasks import Task
from vla_drop_ros.types import ActionChunk, Observation


class Reader:
    """A policy that knows the scene, and reads the object to move from the instruction."""

    spec, checkpoint = SPEC, 'reader'

    def __init__(self, cell: PickPlaceEnvironment) -> None:
        self.cell, self.heard = cell, list[str]()

    def reset(self) -> None:
        self.heard.clear()

    def infer(self, observation: Observation, noise: Any = None) -> ActionChunk:
        self.heard.append(observation.instruction)
        words = observation.instruction.split()
        colors = [thing.color for thing in self.cell.objects]
        target, *others = [colors.index(word) for word in words if word in colors]
        task = Task(self.cell.task.goal, target, others[0] if others else None)
        deltas, widths = expert.chunk(self.cell.states(task), SPEC.chunk_length)
        actions = np.column_stack([deltas[0], widths[0]])
        return ActionChunk(observation.stamp, actions, SPEC, latency=0.01)


class Idle(Reader):
    """A policy that does nothing."""

    def infer(self, observation: Observation, noise: Any = None) -> ActionChunk:
        self.heard.append(observation.instruction)
        return ActionChunk(observation.stamp, np.tile([0, 0, 0, 0.08], (8, 1)), SPEC)


@pytest.fixture
def cell() -> Iterator[PickPlaceEnvironment]:
    """Return this process's own cell."""
    yield rollouts._cell()


def test_a_good_policy_succeeds(cell: PickPlaceEnvironment) -> None:
    """The episode ends with success, and tells what moved, how long it took, each latency."""
    latencies: list[float] = []
    policy: Any = Reader(cell)
    episode = rollouts.run_episode(cell, policy, 1, latencies=latencies)
    assert episode.success and episode.moved == episode.named
    assert 4 <= episode.steps < rollouts.MAX_STEPS
    assert latencies == [0.01] * (episode.steps // SPEC.executed_steps)
    assert set(policy.heard) == {cell.instruction}


def test_an_idle_policy_runs_out_of_time(cell: PickPlaceEnvironment,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Without success an episode ends after the limit, nothing moved."""
    monkeypatch.setattr(rollouts, 'MAX_STEPS', 12)
    policy: Any = Idle(cell)
    episode = rollouts.evaluate(policy, 0)
    assert (episode.success, episode.steps, episode.moved) == (False, 12, None)


def test_a_swapped_instruction_is_about_another_object(cell: PickPlaceEnvironment) -> None:
    """The second run of the scene names, and moves, another object to the same goal."""
    policy: Any = Reader(cell)
    first, second = rollouts.swap_instruction(policy, 4)
    assert first.named != second.named
    assert first.goal == second.goal
    assert first.moved == first.named and second.moved == second.named
    assert second.named.split()[0] in policy.heard[0]


def test_actions_add_up(cell: PickPlaceEnvironment) -> None:
    """Displacements are from where the hand was at the start: steps accumulate."""
    cell.reset(0)
    begin = cell.ee_position
    rollouts.execute(cell, np.array([[0.0, 0.0, 0.02, 0.08]] * 3 + [[0.0, 0.0, 0.0, 0.08]] * 3))
    np.testing.assert_allclose(cell.ee_position - begin, [0.0, 0.0, 0.06], atol=3e-3)


@pytest.mark.parametrize('kind', ['demo', 'visit'])
def test_collected_frames_repeat(tmp_path: Path, kind: str, cell: PickPlaceEnvironment) -> None:
    """A shard of visited states is named after who drove, is full, and repeats by its number."""
    driver: Any = Idle(cell) if kind == 'visit' else None

    def collect(name: str, shard: int) -> frames.Frames:
        counts = rollouts.collect(tmp_path / name, shard, 6, driver)
        assert counts['episodes'] >= 1
        assert (tmp_path / name / f'{kind}-{shard:04d}.states.npy').exists()
        return frames.read(tmp_path / name)[0]

    one, again, other = collect('a', 3), collect('b', 3), collect('c', 4)
    assert len(one) == 6
    np.testing.assert_array_equal(one.states, again.states)
    np.testing.assert_array_equal(one.images, again.images)
    assert (one.states != other.states).any()
