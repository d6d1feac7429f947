# SPDX-License-Identifier: Apache-2.0
"""From the folder of a locked study to its checkpoints, all loaded, known by token only."""

from collections.abc import Callable, Iterator, Mapping
import os
from pathlib import Path
from typing import Any

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import TrialError
from vla_drop_ros.manifest import load_manifest, Manifest
from vla_drop_ros.nodes.policy_settings import Check
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.policy_worker import Infers
from vla_drop_ros.runtime.sealed_policies import SealedPolicies
from vla_drop_ros.trials.design import StudyArm
from vla_drop_ros.trials.locked_study import load_study, open_schedule

FAULT_FILE = 'sealed_faults.log'


def open_arms(study: str, contract: RobotContract, load: Callable[[str], Infers], check: Check,
              tell: Callable[[str], object]) -> SealedPolicies:
    """Return the policies of a study, all found, checked, loaded and warmed up.

    Args:
        study: folder of a locked study.
        contract: of the robot.
        load: returns a verified, warmed-up policy for a folder, or raises.
        check: refuses a folder that does not fit the robot or the memory.
        tell: takes progress for people.

    Raises:
        VlaDropError: the study was changed, a checkpoint is not the locked one or does not fit.

    """
    folder = Path(study).expanduser()
    locked = load_study(folder)
    schedule = open_schedule(folder, locked)
    arms = locked.design.arms
    found = {arm.name: _locked_checkpoint(arm) for arm in arms}
    hidden = {word for arm in arms for word in _words(arm, *found[arm.name])}
    for path, _ in found.values():
        check(str(path), contract)
    policies: dict[str, Infers] = {}
    try:
        # In the order of the design, which everybody knows; of the trials it tells nothing.
        for name, (path, _) in found.items():
            tell(f'loading checkpoint {len(policies) + 1} of {len(arms)} of the study')
            check(str(path), contract)  # again: memory is shorter now
            policies[name] = load(str(path))
        sealed = SealedPolicies(policies, schedule.arm_of, hidden, _fault_keeper(folder))
    except BaseException:
        for policy in policies.values():
            policy.close()
        raise
    tell('all checkpoints of the study are in memory; tokens say which one answers')
    return sealed


def _locked_checkpoint(arm: StudyArm) -> tuple[Path, Manifest]:
    """Return where the checkpoint of an arm lies, if it is still the one that was locked."""
    path = find_checkpoint(arm.checkpoint)
    manifest = load_manifest(path)
    if manifest.identity != arm.hash:
        raise TrialError(
            f'checkpoint {str(path)!r} is not the one that the study was locked with: its '
            f'identity is {manifest.short}, the locked one {arm.hash[:12] or "missing"}; bring '
            'that one back, or plan a new study')
    return path, manifest


def _words(arm: StudyArm, path: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the words by which people could tell an arm."""
    yield from (arm.name, arm.checkpoint, str(path), path.name, manifest.name,
                manifest.identity, manifest.short)
    ancestor: Any = manifest.parent
    while isinstance(ancestor, Mapping):
        digest = str(ancestor.get('sha256', ''))
        yield from (str(ancestor.get('name', '')), digest, digest[:12])
        ancestor = ancestor.get('parent')


def _fault_keeper(folder: Path) -> Callable[[str], str]:
    """Return what appends to a file beside the secret that only its owner can read."""
    path = folder / FAULT_FILE

    def keep(text: str) -> str:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)
        except OSError:  # the trial must not end because a disk is full
            return ''
        return FAULT_FILE

    return keep
