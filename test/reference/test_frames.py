# SPDX-License-Identifier: Apache-2.0
"""Frames come back as written, repeat by their number, and cover what an episode sees."""

from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.reference import frames
from vla_drop_ros.simulation.environment import PickPlaceEnvironment, POLICY_CAMERAS
from vla_drop_ros.simulation.layout import draw_layout
from vla_drop_ros.simulation.scene import MAX_WIDTH, OBJECT_SLOTS
from vla_drop_ros.simulation.tasks import GOALS


@pytest.fixture(scope='module')
def cell() -> PickPlaceEnvironment:
    """Return one cell for all tests; nothing is rendered."""
    return PickPlaceEnvironment()


def test_a_shard_comes_back_as_written(tmp_path: Path) -> None:
    """Pictures and states are read bit for bit, shards in the order of their names."""
    rng = np.random.default_rng(0)
    for name in ('visit-0000', 'still-0001'):
        states = np.zeros(3, frames.STATE)
        states['objects'] = rng.normal(size=(3, OBJECT_SLOTS, 3))
        states['busy'] = [2, 1, 0]
        images = rng.integers(0, 256, (3, 2, 4, 4, 3), np.uint8)
        frames.write(tmp_path / 'new', name, images, states)
    first, last = frames.read(tmp_path / 'new')
    np.testing.assert_array_equal(last.states['busy'], [2, 1, 0])
    assert len(first) == 3
    np.testing.assert_array_equal(first.images, images)
    np.testing.assert_array_equal(first.states, states)


def test_an_unfinished_shard_is_not_read(tmp_path: Path) -> None:
    """Pictures whose states are not there yet, after an interruption, do not count."""
    np.save(tmp_path / 'still-0000.images.npy', np.zeros((2, 2, 4, 4, 3), np.uint8))
    assert frames.read(tmp_path) == []


def test_a_number_is_a_shard(tmp_path: Path, frames_folder: Path) -> None:
    """The same shard number renders the same bytes again, another number other scenes."""
    frames.render_stills(tmp_path, 0, 8)
    first = (frames_folder / 'still-0000.images.npy').read_bytes()
    assert (tmp_path / 'still-0000.images.npy').read_bytes() == first
    states = np.load(tmp_path / 'still-0000.states.npy')
    assert len(np.unique(states['objects'].reshape(8, -1), axis=0)) == 8


def test_training_never_sees_an_evaluation_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scene of a training shard has a seed of a million or more."""
    seeds: list[int] = []

    def pose(cell: PickPlaceEnvironment, seed: int) -> int:
        seeds.append(seed)
        return 0

    monkeypatch.setattr(frames, 'pose_still', pose)
    monkeypatch.setattr(frames, 'snapshot', lambda *_: np.zeros((), frames.STATE)[()])
    monkeypatch.setattr(frames, 'look', lambda cell: 0)
    monkeypatch.setattr(frames, 'write', lambda *_: None)
    for shard in (0, 21, 9000):
        frames.render_stills(Path(), shard, 2)
    assert len(set(seeds)) == 6
    assert min(seeds) >= frames.TRAIN_SEED == 1_000_000


def test_a_snapshot_says_what_the_cell_says(cell: PickPlaceEnvironment) -> None:
    """Every number of a record is that of the cell, to float32."""
    cell.restore(draw_layout(8, 'on_top'))
    record = frames.snapshot(cell, cell.task, 1)
    np.testing.assert_allclose(record['ee'], cell.ee_position, atol=1e-6)
    np.testing.assert_allclose(record['objects'], cell.object_positions, atol=1e-6)
    assert record['width'] == pytest.approx(cell.gripper_width)
    assert GOALS[record['goal']] == 'on_top'
    assert (record['target'], record['reference']) == (cell.task.target, cell.task.reference)
    assert record['busy'] == 1
    for camera, seen in zip(POLICY_CAMERAS, record['seen'], strict=True):
        np.testing.assert_allclose(
            seen[:OBJECT_SLOTS], cell.project(camera, cell.object_positions), atol=1e-5)
    # The robot's left is on the right-hand side of a picture taken from the front.
    left, right = record['seen'][0, OBJECT_SLOTS + 1:]
    assert left[0] > right[0]


def test_stills_cover_what_an_episode_passes_through(cell: PickPlaceEnvironment) -> None:
    """Among 60 stills some hold an object, some hover, some are over a bin; all are in reach."""
    held, over_bin, empty = 0, 0, 0
    for seed in range(60):
        busy = frames.pose_still(cell, seed)
        hand = cell.ee_position
        assert (hand > [0.26, -0.32, 0.01]).all() and (hand < [0.69, 0.32, 0.33]).all()
        assert -1e-3 <= cell.gripper_width <= MAX_WIDTH + 1e-3
        near = np.linalg.norm(cell.object_positions[busy] - hand) < 0.02
        held += bool(near and cell.gripper_width < 0.05)
        over_bin += bool(near and abs(hand[1]) > 0.17)
        empty += not near
    assert held >= 8 and over_bin >= 3 and empty >= 15


def test_a_still_repeats(cell: PickPlaceEnvironment) -> None:
    """A still of a seed is the same whatever the cell showed before."""
    frames.pose_still(cell, 5)
    first = cell.state, cell.object_positions
    frames.pose_still(cell, 6)
    frames.pose_still(cell, 5)
    np.testing.assert_array_equal(first[0], cell.state)
    np.testing.assert_array_equal(first[1], cell.object_positions)
