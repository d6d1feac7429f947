# SPDX-License-Identifier: Apache-2.0
"""Proxies: zero against itself, larger for a pruned model, critical where things happen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.recovery.proxies import critical, measure
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.samples import Frames, Samples


def frames(speeds: list[float], gripper: list[float]) -> Frames:
    """Return one frame whose chunk moves along x."""
    actions = np.zeros((1, len(speeds), 4))
    actions[0, :, 0], actions[0, :, 3] = speeds, gripper
    return Frames((), actions, np.ones((1, len(speeds))))


def test_critical_is_slow_or_near_a_gripper_change() -> None:
    """Two steps around the change, and steps below a quarter of the median speed."""
    found = critical(frames([1.0] * 8, [0.08] * 4 + [0.0] * 4), 8, 3)
    assert found[0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    found = critical(frames([1.0, 1.0, 0.1, 1.0, 1.0], [0.08] * 5), 5, 3)
    assert found[0].tolist() == [0, 0, 1, 0, 0]
    assert critical(frames([1.0, 0.1, 1.0], [0.0, 0.08, 0.0]), 3, None)[0].tolist() == [0, 1, 0]


def test_what_is_behind_the_end_is_never_critical() -> None:
    """Repeated last actions do not count."""
    one = frames([1.0, 1.0, 0.0, 0.0], [0.08] * 4)
    cut = Frames((), one.actions, np.array([[1.0, 1.0, 0.0, 0.0]]))
    assert critical(cut, 4, 3).sum() == 0


def test_the_parent_is_faithful_to_itself(tiny_policy: Any, dataset: Dataset) -> None:
    """No distance, full agreement, and the noise still spreads the answers."""
    found = measure(tiny_policy, tiny_policy, Samples(dataset, tiny_policy, Recipe()), 5)
    assert found['fidelity_error'] == 0 and found['gripper_agreement'] == 1
    assert found['noise_spread'] > 0 and found['action_error'] > 0
    assert found['held_out_loss'] > 0 and np.isfinite(found['critical_error'])


def test_a_pruned_policy_is_less_faithful(
        policy: Any, tiny_policy: Any, dataset: Dataset, pruned: Path) -> None:
    """Dropping a block moves the answers under the same noise."""
    found = measure(policy, tiny_policy, Samples(dataset, policy, Recipe()), 5)
    assert found['fidelity_error'] > 1e-3
    assert found == pytest.approx(measure(policy, tiny_policy, Samples(
        dataset, policy, Recipe(seed=4)), 5))
