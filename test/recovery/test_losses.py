# SPDX-License-Identifier: Apache-2.0
"""The loss is the family's; teaching adds the distance to the parent, zero where they agree."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.recovery.losses import Parent, RecoveryLoss
from vla_drop_ros.recovery.recipe import Recipe

TEACH = Recipe(distill_actions=0.5, distill_hidden=2.0)


@pytest.fixture
def parent(tiny_pair: tuple[Path, Path], pruned: Path) -> Parent:
    """Return the parent of the pruned policy."""
    model, manifest = load_checkpoint(tiny_pair[0])
    return Parent(model, manifest, load_manifest(pruned))


def test_without_a_parent_it_is_the_familys(policy: Any, calibration: Any) -> None:
    """One number: the mean of the family's loss."""
    batch = calibration.batches[0]
    found = RecoveryLoss(policy.family, policy.model, Recipe())(batch)
    assert set(found) == {'loss'}
    assert found['loss'] == policy.family.loss(policy.model, batch).mean()


def test_the_parts_add_up(policy: Any, calibration: Any, parent: Parent) -> None:
    """Task + weighted distances; a pruned model is some way from its parent in both."""
    found = RecoveryLoss(policy.family, policy.model, TEACH, parent)(calibration.batches[0])
    assert found['actions'] > 0 and found['hidden'] > 0
    assert found['loss'].item() == pytest.approx(
        (found['task'] + 0.5 * found['actions'] + 2.0 * found['hidden']).item())


def test_the_parent_is_at_no_distance_from_itself(
        tiny_pair: tuple[Path, Path], tiny_policy: Any, calibration: Any) -> None:
    """The same weights give the same answers and states under the same noise."""
    model, manifest = load_checkpoint(tiny_pair[0])
    own = Parent(model, manifest, manifest)
    found = RecoveryLoss(tiny_policy.family, tiny_policy.model, TEACH, own)(
        calibration.batches[0])
    assert found['actions'] < 1e-10 and found['hidden'] < 1e-10


def test_kept_blocks_are_compared_with_what_they_were(pruned: Path, parent: Parent) -> None:
    """Block 1 behind a dropped block 1 is the parent's block 2; untouched stacks map to self."""
    assert list(parent.place('language', 3)) == [0, 2, 3]
    assert list(parent.place('action', 3)) == [0, 2, 3]
    assert list(parent.place('vision', 3)) == [0, 1, 2]


def test_gradients_reach_the_pruned_model_only(
        policy: Any, calibration: Any, parent: Parent) -> None:
    """The parent is frozen and is no part of the module that is trained."""
    policy.model.requires_grad_(True)
    loss = RecoveryLoss(policy.family, policy.model, TEACH, parent)
    assert sum(1 for _ in loss.parameters()) == sum(1 for _ in policy.model.parameters())
    loss(calibration.batches[0])['loss'].backward()
    assert policy.model.action_out_proj.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in parent.model.parameters())


def test_hollow_blocks_are_left_out(
        tmp_path: Path, tiny_pair: tuple[Path, Path], calibration: Any) -> None:
    """A block of which only keys and values are left has no state of its own to compare."""
    from vla_drop_ros.policies.registry import assemble_policy
    from vla_drop_ros.pruning.drop import drop_checkpoint
    from vla_drop_ros.pruning.plan import Plan
    drop_checkpoint(tiny_pair[0], tmp_path / 'kv', Plan(
        {'language': {'keep-kv': (1, 2)}}, dead=True))
    model, manifest = load_checkpoint(tmp_path / 'kv')
    child = assemble_policy(model, manifest, tmp_path / 'kv')
    whole, record = load_checkpoint(tiny_pair[0])
    found = RecoveryLoss(child.family, model, replace(TEACH), Parent(whole, record, manifest))(
        calibration.batches[0])
    assert torch.isfinite(found['hidden']) and found['hidden'] > 0


def test_a_stranger_is_refused(tiny_pair: tuple[Path, Path], pruned: Path, tmp_path: Path,
                               write_tiny: Any) -> None:
    """The message names the parent that is wanted."""
    write_tiny(tmp_path / 'other', scale=0.2)
    model, manifest = load_checkpoint(tmp_path / 'other')
    with pytest.raises(RecoveryError, match="is not the parent of 'pruned', which is"):
        Parent(model, manifest, load_manifest(pruned))
