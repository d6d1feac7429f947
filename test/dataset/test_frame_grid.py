# SPDX-License-Identifier: Apache-2.0
"""Frames lie a period apart; gaps end episodes and are counted, never bridged."""

from collections.abc import Sequence

import numpy as np
import pytest

from vla_drop_ros.dataset.frame_grid import Frame, FrameGrid, NO_IMAGES
from vla_drop_ros.dataset.replay import Fault, Seen
from vla_drop_ros.runtime.observation_sync import Snapshot
from vla_drop_ros.runtime.pose import Pose

POSE = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


def at(stamp: float, instruction: str = 'go', faults: Sequence[Fault] = ()) -> Seen:
    """Return something seen."""
    return Seen(Snapshot(float(stamp), {}, POSE, {}), instruction, tuple(faults))


def pick(stamps: Sequence[float], period: float = 0.1) -> tuple[FrameGrid, list[list[Frame]]]:
    """Return the grid and the episodes of captures at some stamps."""
    grid = FrameGrid(period)
    return grid, split(list(grid.pick([at(stamp) for stamp in stamps])))


def split(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Return the frames by episode."""
    episodes: list[list[Frame]] = []
    for frame in frames:
        if frame.first:
            episodes.append([])
        episodes[-1].append(frame)
    return episodes


def stamps_of(frames: Sequence[Frame]) -> list[float]:
    """Return the capture times."""
    return [frame.seen.stamp for frame in frames]


def test_a_camera_of_the_same_rate_gives_all_its_frames() -> None:
    """Each frame ends where the next begins, the last one a period later."""
    grid, (episode,) = pick(np.arange(3.0, 4.0, 0.1).tolist())
    assert stamps_of(episode) == pytest.approx(np.arange(3.0, 4.0, 0.1))
    assert [frame.end for frame in episode] == pytest.approx(np.arange(3.1, 4.1, 0.1))
    assert not grid.left_out


@pytest.mark.parametrize('rate', [25.0, 30.0, 97.0])
def test_a_faster_camera_gives_the_nearest(rate: float) -> None:
    """The frames do not drift: each is within half a camera period of its instant."""
    grid, (episode,) = pick(np.arange(0.0, 9.94, 1.0 / rate).tolist())
    assert len(episode) == 100 and not grid.left_out
    assert np.abs(np.array(stamps_of(episode)) - 0.1 * np.arange(100)).max() <= 0.5 / rate + 1e-9


def test_jitter_loses_nothing() -> None:
    """Captures that tremble around the grid are one frame each."""
    jitter = np.random.default_rng(0).uniform(-0.02, 0.02, 50)
    stamps = 0.1 * np.arange(50) + jitter
    grid, (episode,) = pick(stamps.tolist())
    assert stamps_of(episode) == pytest.approx(stamps) and not grid.left_out


def test_a_gap_ends_the_episode_and_is_counted() -> None:
    """Three missing captures are three frames left out, not three copies."""
    stamps = [0.1 * i for i in range(20) if i not in (7, 8, 9)]
    grid, episodes = pick(stamps)
    assert [len(episode) for episode in episodes] == [7, 10]
    assert grid.left_out == {NO_IMAGES: 3}
    assert episodes[0][-1].end == pytest.approx(0.7)


def test_a_slower_camera_gives_no_pairs() -> None:
    """Where the frame rate is beyond the camera's, every frame is alone, and that is counted."""
    grid, episodes = pick([0.2 * i for i in range(6)])
    assert [len(episode) for episode in episodes] == [1] * 6 and grid.left_out == {NO_IMAGES: 5}


def test_missing_frames_are_counted_by_what_went_wrong_then() -> None:
    """Two causes in one gap, one before the first frame, one after the last."""
    grid = FrameGrid(0.1)
    captures = [at(1.0, faults=[(0.79, 'early'), (0.85, 'early')]), at(1.1),
                at(1.6, faults=[(1.21, 'dark'), (1.31, 'dark'), (1.41, 'shaky'), (1.5, 'shaky')])]
    frames = list(grid.pick(captures, [(1.7, 'late'), (1.9, 'late')]))
    assert [len(episode) for episode in split(frames)] == [2, 1]
    assert grid.left_out == {'early': 2, 'dark': 2, 'shaky': 2, 'late': 2}


def test_nothing_at_all_is_explained() -> None:
    """Without a single frame the reasons are still counted."""
    grid = FrameGrid(0.1)
    assert not list(grid.pick([], [(1.0, 'dark'), (1.95, 'dark')]))
    assert grid.left_out == {'dark': 9}


def test_a_new_instruction_begins_an_episode() -> None:
    """No frame is shared, none is lost."""
    grid = FrameGrid(0.1)
    frames = grid.pick([at(0.1 * i, 'one' if i < 5 else 'two') for i in range(10)])
    assert [len(episode) for episode in split(list(frames))] == [5, 5] and not grid.left_out
