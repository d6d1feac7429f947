# SPDX-License-Identifier: Apache-2.0
"""Demonstrations begin where something else left the arm, and leave out what they should."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_drop_ros.dataset.reader import Dataset  # noqa: E402 - MuJoCo may be absent
from vla_drop_ros.dataset.writer import DatasetWriter  # noqa: E402
from vla_drop_ros.errors import VlaDropError  # noqa: E402
from vla_drop_ros.reference.demonstrations import asked, demonstrate, pairs  # noqa: E402
from vla_drop_ros.simulation.environment import PickPlaceEnvironment  # noqa: E402

SEEDS = range(500_000, 500_012)


@pytest.fixture(scope='module')
def cell() -> PickPlaceEnvironment:
    """Return the cell, with small pictures."""
    return PickPlaceEnvironment(20)


def record(cell: PickPlaceEnvironment, folder: Path, *drivers: Any, without: Any = (),
           ) -> tuple[Dataset, list[int]]:
    """Return the recorded dataset and the frames of each seed."""
    writer = DatasetWriter(folder, 10, {'front': (20, 20), 'wrist': (20, 20)}, tuple('abcd'),
                           ('x', 'y', 'z', 'gripper'), {}, 'simulated')
    frames = [demonstrate(cell, writer, seed, ('nominal',), drivers, without) for seed in SEEDS]
    writer.close()
    return Dataset(folder), frames


def test_taking_over_begins_elsewhere(cell: PickPlaceEnvironment, tmp_path: Path) -> None:
    """With a wandering driver some episodes begin in another state than the scene's start."""
    alone, first = record(cell, tmp_path / 'alone')
    driven, second = record(cell, tmp_path / 'driven', None)
    starts = [cell.reset(seed).state for seed in SEEDS]

    def moved(dataset: Dataset, frames: list[int]) -> list[bool]:
        begun = dataset.states[dataset.step == 0]
        kept = [start for start, count in zip(starts, frames, strict=True) if count]
        return [bool(np.abs(one - other).max() > 1e-3)
                for one, other in zip(begun, kept, strict=True)]

    assert not any(moved(alone, first)) and alone.episodes == len(SEEDS)
    assert 0 < sum(moved(driven, second)) < driven.episodes
    assert driven.episodes == sum(count > 0 for count in second)


def test_pairs_are_left_out(cell: PickPlaceEnvironment, tmp_path: Path) -> None:
    """No episode asks for a pair that is excluded; the others are all there."""
    goals = {}
    for seed in SEEDS:
        cell.reset(seed)
        goals[seed] = asked(cell)
    unwanted = {goals[SEEDS[0]], goals[SEEDS[1]]}
    _, frames = record(cell, tmp_path / 'some', without=unwanted)
    assert [count > 0 for count in frames] == [goals[seed] not in unwanted for seed in SEEDS]


def test_pairs_are_spelled_out() -> None:
    """Colour and goal, or what is wrong and what is valid."""
    assert pairs(['red:left_bin']) == {('red', 'left_bin')}
    for text, message in (('pink:left_bin', "unknown colour 'pink'"), ('red', "unknown goal ''")):
        with pytest.raises(VlaDropError, match=message):
            pairs([text])
