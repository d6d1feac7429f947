# SPDX-License-Identifier: Apache-2.0
"""A study on disk: its design, locked before the first trial, and the sealed schedule.

``study.json`` holds the design with the identities of the checkpoints, its sha256, the sha256 of
the secret from which the schedule is drawn, and the thresholds of the stopping rule. Whoever
changes any of it afterwards is found out at the next load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from hashlib import sha256
import json
import os
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.design import Design, parse_design
from vla_drop_ros.trials.evidence import boundaries, check_boundaries, Progress, Terms
from vla_drop_ros.trials.reference_pictures import changed_references, write_references
from vla_drop_ros.trials.sealed_schedule import new_secret, read_secret, SealedSchedule

STUDY_FILE, SECRET_FILE = 'study.json', 'secret'
FORMAT = 1


@dataclass(frozen=True, slots=True)
class LockedStudy:
    """What is fixed.

    Attributes:
        design: with the identity of every checkpoint.
        commitment: sha256 of the secret.
        boundaries: of the stopping rule, by hypothesis; empty for other rules.
        tool_version: version of this package that locked it.
        locked: when, UTC; '' in studies of 0.5 and before.
        checkpoints: arm -> what its manifest said then, ``summary``; empty where nobody said.

    """

    design: Design
    commitment: str
    boundaries: Mapping[Any, Boundary]
    tool_version: str
    locked: str = ''
    checkpoints: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        told = {'locked': self.locked, 'checkpoints': dict(self.checkpoints)}
        told = {key: value for key, value in told.items() if value}
        return {'format': FORMAT, **told, **({'told': _digest(told)} if told else {}),
                'design': self.design.to_dict(), 'digest': self.design.digest,
                'commitment': self.commitment, 'tool_version': self.tool_version,
                'boundaries': {name: one.to_dict() for name, one in self.boundaries.items()}}


def lock(design: Design, folder: Path, identify: Callable[[str], str], tool_version: str,
         progress: Progress | None = None, pictures: Mapping[str, bytes] | None = None,
         summarise: Callable[[str], Mapping[str, Any]] | None = None) -> LockedStudy:
    """Lock a design into a folder.

    Args:
        design: as people wrote it.
        folder: is created; a study in it is never overwritten.
        identify: returns the identity of a checkpoint, 64 hex digits.
        tool_version: version of this package.
        progress: of the stopping rule's thresholds, which take seconds to minutes.
        pictures: of the scenes as JPEG, by condition; None: there are none.
        summarise: returns what the manifest of a checkpoint says; None: nobody knows.

    Raises:
        TrialError: the folder holds a study, or cannot be written.

    """
    path = folder / STUDY_FILE
    if path.exists():
        raise TrialError(f'{path} exists: the study is locked already; choose another folder')
    shown = pictures or {}
    whole = replace(design, arms=tuple(
        replace(arm, hash=identify(arm.checkpoint)) for arm in design.arms),
        conditions=tuple(replace(one, picture=sha256(shown[one.id]).hexdigest()
                                 if one.id in shown else '') for one in design.conditions))
    hashes = [arm.hash for arm in whole.arms]
    if len(set(hashes)) != len(hashes):
        raise TrialError('two arms are the same checkpoint: '
                         f'{", ".join(arm.checkpoint for arm in whole.arms)}')
    found = boundaries(Terms.of(whole), progress=progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_references(folder, shown)
    except OSError as error:
        raise TrialError(f'cannot create {folder}: {error.strerror}') from error
    schedule = SealedSchedule(whole, new_secret(folder / SECRET_FILE))
    told = {} if summarise is None else {
        arm.name: dict(summarise(arm.checkpoint)) for arm in design.arms}
    study = LockedStudy(whole, schedule.commitment, found, tool_version,
                        datetime.now(timezone.utc).isoformat(timespec='seconds'), told)
    partial = path.with_suffix('.partial')
    try:
        with partial.open('w', encoding='utf-8') as file:
            json.dump(study.to_dict(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        raise TrialError(f'cannot write {path}: {error.strerror}') from error
    return study


def load_study(folder: Path) -> LockedStudy:
    """Return the study in a folder, if nothing was changed since it was locked.

    Raises:
        TrialError: there is none, it is of another format, or something was changed.

    """
    path = folder / STUDY_FILE
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise TrialError(f'{folder} holds no locked study ({error.strerror}); make one with '
                         'vla_drop trials plan DESIGN -o FOLDER') from error
    except ValueError as error:
        raise TrialError(f'{path} is damaged: {error}') from error
    if not isinstance(data, dict) or data.get('format') != FORMAT:
        raise TrialError(f'{path} is no study of format {FORMAT}')
    try:
        design = parse_design(_without_empty(data['design']), str(path))
        found: dict[Any, Boundary] = {
            name: Boundary.from_dict(one) for name, one in data['boundaries'].items()}
        study = LockedStudy(design, str(data['commitment']), found, str(data['tool_version']),
                            str(data.get('locked', '')), dict(data.get('checkpoints', {})))
        told = {key: data[key] for key in ('locked', 'checkpoints') if key in data}
        digest, unchanged = data['digest'], data.get('told', '') == (_digest(told) if told else '')
    except (KeyError, TypeError, AttributeError) as error:
        raise TrialError(f'{path} is damaged: {error!r}') from error
    if digest != design.digest:
        raise TrialError(f'{path}: the design was changed after it was locked')
    if not unchanged:
        raise TrialError(f'{path}: what it says of its checkpoints, or when it was locked, was '
                         'changed afterwards')
    changed = changed_references(folder, design)
    if changed:
        raise TrialError(f'{path}: the reference picture of {", ".join(changed)} was changed or '
                         'removed after it was locked; bring it back, or plan a new study')
    terms = Terms.of(design)
    if terms.rule == 'exact_paired':
        check_boundaries(found, terms)
    return study


def open_schedule(folder: Path, study: LockedStudy) -> SealedSchedule:
    """Return the schedule of a study; whoever calls this can know which arm runs.

    Raises:
        TrialError: the secret is missing, or another one than the study was locked with.

    """
    schedule = SealedSchedule(study.design, read_secret(folder / SECRET_FILE))
    if schedule.commitment != study.commitment:
        raise TrialError(f'{folder / SECRET_FILE} is not the secret of this study')
    return schedule


def _digest(told: Mapping[str, Any]) -> str:
    """Return sha256 of what a study says beside its design, in a canonical form."""
    return sha256(json.dumps(told, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def _without_empty(design: Mapping[str, Any]) -> dict[str, Any]:
    """Return a design as people write it: an empty rubric is left out."""
    return {key: value for key, value in design.items() if key != 'rubric' or value}
