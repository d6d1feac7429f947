# SPDX-License-Identifier: Apache-2.0
"""An episode with an injected latency: what is measured of it, and that the latency is real."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('mujoco')

from bench.chunk_episode import (  # noqa: E402 - after the check
    CONTROL_RATE,
    jerk,
    run_episode,
    takeover_jumps,
    Way,
)
from vla_drop_ros.contract_file import load_contract  # noqa: E402
from vla_drop_ros.simulation.environment import PickPlaceEnvironment  # noqa: E402
from vla_drop_ros.simulation.opengl import prepare_rendering  # noqa: E402
from vla_drop_ros.types import ActionChunk, ActionSpec, Observation  # noqa: E402

CONTRACT = load_contract(
    Path(__file__).resolve().parents[2] / 'config/robots/simulated_arm.yaml')


class Drift:
    """A policy that always wants to go on along x, 2 cm a step, and keeps what it is given."""

    spec = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 4)
    checkpoint = 'drift'

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def reset(self) -> None:
        self.seen.clear()

    def infer(self, observation: Observation) -> ActionChunk:
        self.seen.append(observation)
        return ActionChunk(observation.stamp, np.tile([0.02, 0.0, 0.0, 0.08], (8, 1)), self.spec)


@pytest.fixture(scope='module')
def cell() -> Any:
    """Return one cell for the whole file."""
    prepare_rendering()
    found = PickPlaceEnvironment()
    yield found
    found.close()


def test_jerk_is_the_third_derivative() -> None:
    """Of a cubic it is constant, of a line zero; three points have none."""
    times = 0.1 * np.arange(8.0)
    cubic = np.stack([times ** 3, 2 * times ** 3, np.zeros(8)], 1)
    assert np.allclose(jerk(cubic, 0.1), 6.0 * np.sqrt(5.0))
    assert np.allclose(jerk(cubic * 0 + times[:, None], 0.1), 0.0)
    assert jerk(cubic[:3], 0.1).shape == (0,)


def test_a_jump_belongs_to_the_takeover_before_it() -> None:
    """A kink of 0.5 m/s counts at a takeover up to two ticks earlier, and nowhere else."""
    path = np.zeros((12, 3))
    path[6:, 0] = 0.02 * np.arange(1, 7)  # from rest to 0.5 m/s between ticks 5 and 6
    found = [takeover_jumps(path, [tick], 0.04)[0] for tick in (3, 4, 5, 6, 7)]
    assert np.allclose(found, [0.0, 0.5, 0.5, 0.5, 0.0])
    assert takeover_jumps(path, [1, 11], 0.04).shape == (0,)


@pytest.mark.parametrize('latency', [0.04, 0.2])
def test_a_chunk_comes_as_late_as_asked_for(
        cell: Any, latency: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves before the first chunk is there; the next look waits for the period."""
    monkeypatch.setattr('bench.chunk_episode.TIME_LIMIT', 1.2)
    policy = Drift()
    found = run_episode(cell, policy, CONTRACT, Way('asynchronous'), latency, 0)  # type: ignore[arg-type]
    stamps = [seen.stamp for seen in policy.seen]
    assert np.allclose(np.diff(stamps), 0.4) and found.refused == 0
    ticks = round((1.2 - latency) * CONTROL_RATE)
    assert abs(found.ticks - ticks) <= 1 and not found.success
    assert found.seconds == pytest.approx(1.2, abs=0.05)


def test_only_real_time_chunking_is_told_what_will_happen(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix comes with the second chunk, and its first step makes up for the arm's lag."""
    monkeypatch.setattr('bench.chunk_episode.TIME_LIMIT', 1.6)
    prefixes = {}
    for mode in ('asynchronous', 'real_time_chunking', 'synchronous'):
        policy = Drift()
        run_episode(cell, policy, CONTRACT, Way(mode), 0.2, 0)  # type: ignore[arg-type]
        prefixes[mode] = [seen.prefix for seen in policy.seen]
    assert not any(prefixes['asynchronous'] + prefixes['synchronous'])
    first, second, third, *_ = prefixes['real_time_chunking']
    assert first is None and second is not None and third is not None
    assert (len(second.actions), second.frozen) == (4, 4)
    assert third.frozen == 2  # 0.2 s of latency, in steps of 0.1 s
    assert np.allclose(second.actions[1:, 0], 0.02)
    assert 0.02 < second.actions[0, 0] < 0.08  # the measured arm is behind the commanded one


def test_synchronous_stands_still_while_it_thinks(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy looks only when all executed steps are over; latency costs time, no steps."""
    monkeypatch.setattr('bench.chunk_episode.TIME_LIMIT', 2.0)
    policy = Drift()
    run_episode(cell, policy, CONTRACT, Way('synchronous'), 0.2, 0)  # type: ignore[arg-type]
    assert np.allclose(np.diff([seen.stamp for seen in policy.seen]), 0.6, atol=0.05)


def test_the_same_seed_gives_the_same_motion(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ran in the cell before."""
    monkeypatch.setattr('bench.chunk_episode.TIME_LIMIT', 1.0)
    one, _, again = (run_episode(
        cell, Drift(), CONTRACT, Way('asynchronous', 0.1), 0.1, seed)  # type: ignore[arg-type]
        for seed in (3, 4, 3))
    assert np.array_equal(one.measured, again.measured)
    assert np.array_equal(one.commanded, again.commanded) and len(one.jumps) == 1
