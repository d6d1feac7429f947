# SPDX-License-Identifier: Apache-2.0
"""A locked study cannot be changed unseen, and its schedule is sealed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.design import Design, Stopping
from vla_drop_ros.trials.locked_study import load_study, lock, LockedStudy, open_schedule


def identity(checkpoint: str) -> str:
    """Return a made-up identity."""
    return checkpoint[-1] * 64


@pytest.fixture(name='study')
def _study(design: Design, tmp_path: Path) -> LockedStudy:
    return lock(replace(design, stopping=Stopping('exact_paired', 30)), tmp_path / 'study',
                identity, '1.0')


def test_what_was_locked_is_what_is_loaded(study: LockedStudy, tmp_path: Path) -> None:
    """Design, commitment and thresholds come back, and the identities are in."""
    again = load_study(tmp_path / 'study')
    assert again.to_dict() == study.to_dict()
    assert again.design.arms[1].hash == 'f' * 64
    assert open_schedule(tmp_path / 'study', again).commitment == study.commitment


def test_when_and_what_was_locked(design: Design, tmp_path: Path) -> None:
    """The time, and what the manifests said; a study of 0.5 says neither and is still read."""
    path = tmp_path / 'study' / 'study.json'
    before = datetime.now(timezone.utc).replace(microsecond=0)
    lock(replace(design, stopping=Stopping('fixed', 30)), path.parent, identity, '1.0',
         summarise=lambda where: {'manifest_sha256': where[-1] * 64})
    study = load_study(path.parent)
    assert before <= datetime.fromisoformat(study.locked) <= datetime.now(timezone.utc)
    assert set(study.checkpoints) == {arm.name for arm in design.arms}
    data = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {'locked': '2020-01-01T00:00:00+00:00'}, {'checkpoints': {}}, {'told': ''}]
    for change in changes:
        path.write_text(json.dumps(data | change))
        with pytest.raises(TrialError, match='changed afterwards'):
            load_study(path.parent)
    old = {key: value for key, value in data.items()
           if key not in ('locked', 'checkpoints', 'told')}
    path.write_text(json.dumps(old))
    again = load_study(path.parent)
    assert json.loads(json.dumps(again.to_dict())) == old and again.locked == ''


@pytest.mark.parametrize('change', [
    lambda d: d['design'].update(margin=0.3), lambda d: d['design'].update(seed=9),
    lambda d: d['design']['arms'][1].update(hash='0' * 64),
    lambda d: d.update(digest='0' * 64), lambda d: d.update(format=9),
    lambda d: d['boundaries']['non_inferior']['thresholds'].__setitem__(29, 0.1),
    lambda d: d['boundaries'].pop('worse'), lambda d: d.pop('commitment'),
    lambda d: d['design'].pop('margin')])
def test_every_change_afterwards_is_found(
        study: LockedStudy, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Margin, arms, seed, thresholds: a changed file is refused with words."""
    path = tmp_path / 'study' / 'study.json'
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(TrialError):
        load_study(tmp_path / 'study')


def test_another_secret_is_not_the_studys(study: LockedStudy, tmp_path: Path) -> None:
    """A schedule that was drawn again is found by the commitment."""
    (tmp_path / 'study' / 'secret').write_text('00' * 32)
    with pytest.raises(TrialError, match='not the secret'):
        open_schedule(tmp_path / 'study', study)


def test_a_study_is_locked_once(study: LockedStudy, design: Design, tmp_path: Path) -> None:
    """Locking into the same folder is refused; so are two arms that are one checkpoint."""
    with pytest.raises(TrialError, match='locked already'):
        lock(design, tmp_path / 'study', identity, '1.0')
    with pytest.raises(TrialError, match='same checkpoint'):
        lock(design, tmp_path / 'other', lambda checkpoint: '1' * 64, '1.0')
    with pytest.raises(TrialError, match='no locked study'):
        load_study(tmp_path / 'nowhere')


def test_a_study_without_horizon_is_loaded_as_it_was_locked(design: Design,
                                                            tmp_path: Path) -> None:
    """'anytime' needs no horizon; the locked file says 0, and 0 is read again."""
    study = lock(replace(design, stopping=Stopping('anytime', 0)), tmp_path / 'study', identity,
                 '1.0')
    assert load_study(tmp_path / 'study').to_dict() == study.to_dict()


@pytest.mark.parametrize('change', ['changed', 'removed'])
def test_a_reference_picture_that_was_changed_is_found(design: Design, tmp_path: Path,
                                                       change: str) -> None:
    """Its hash is part of the design; without pictures the design has the digest it always had."""
    picture = {design.conditions[1].id: b'as it was'}
    study = lock(design, tmp_path / 'study', lambda name: f'{len(name):064}', '1.0',
                 pictures=picture)
    assert study.design.digest == load_study(tmp_path / 'study').design.digest
    bare = lock(design, tmp_path / 'bare', lambda name: f'{len(name):064}', '1.0')
    assert study.design.digest != bare.design.digest
    assert 'picture' not in (tmp_path / 'bare' / 'study.json').read_text()
    path = tmp_path / 'study' / 'references' / f'{design.conditions[1].id}.jpg'
    path.write_bytes(b'otherwise')
    if change == 'removed':
        path.unlink()
    with pytest.raises(TrialError, match=f'picture of {design.conditions[1].id}'):
        load_study(tmp_path / 'study')
