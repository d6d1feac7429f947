# SPDX-License-Identifier: Apache-2.0
"""A rig is what people state of it; what is wrong in it is named by its field."""

from hashlib import sha256
import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.resources import share_path
from vla_drop_ros.trials.rig import CAMERA_FIELDS, FIELDS, load_rig, parse_rig

WHOLE = """
robot_model: FR3
robot_serial: '007'
cameras:
  - {name: front, serial: 'a1', intrinsics_file: front.yaml, extrinsics_file: tf.yaml,
     exposure: 120, white_balance: auto}
  - {name: wrist, intrinsics_sha256: ''}
calibration_date: 2026-11-30
lux: 450
ambient_temperature: 21.5
operator_trained: true
notes:
"""


def test_what_is_stated_is_kept(tmp_path: Path) -> None:
    """As plain JSON, with the hash of the calibration; what is left empty is not stated."""
    (tmp_path / 'front.yaml').write_text('fx: 600')
    (tmp_path / 'tf.yaml').write_text('x: 1')
    (tmp_path / 'rig.yaml').write_text(WHOLE)
    found = load_rig(tmp_path / 'rig.yaml')
    assert json.loads(json.dumps(found, allow_nan=False)) == found == {
        'robot_model': 'FR3', 'robot_serial': '007', 'calibration_date': '2026-11-30',
        'cameras': [{'name': 'front', 'serial': 'a1', 'intrinsics_file': 'front.yaml',
                     'exposure': 120, 'white_balance': 'auto', 'extrinsics_file': 'tf.yaml',
                     'extrinsics_sha256': sha256(b'x: 1').hexdigest(),
                     'intrinsics_sha256': sha256(b'fx: 600').hexdigest()}, {'name': 'wrist'}],
        'lux': 450, 'ambient_temperature': 21.5, 'operator_trained': True}


@pytest.mark.parametrize(('data', 'says'), [
    ({'robot_modell': 'FR3'}, r'robot_modell.*robot_model'),
    ({'robot_serial': 7}, r'robot_serial: 7 must be text; put a number in quotes'),
    ({'lux': -1}, r'lux: -1 must be a number from 0 to 200000 \[lx\]'),
    ({'lux': True}, r'lux: True must be a number'),
    ({'ambient_temperature': float('nan')}, r'ambient_temperature: nan must be'),
    ({'operator_trained': 'yes'}, r"operator_trained: 'yes' must be true or false"),
    ({'calibration_date': 'last week'}, r'calibration_date: .* must be a date like'),
    ({'cameras': {'front': {}}}, r'cameras: .* must be a list of mappings'),
    ({'cameras': ['front']}, r'cameras\[0\]: .front. must be a mapping'),
    ({'cameras': [{'serial': 'a'}]}, r'cameras\[0\]\.name: missing'),
    ({'cameras': [{'name': 'a'}, {'name': 'b', 'gain': 3}]}, r'cameras\[1\]\..*gain.*exposure'),
    ({'cameras': [{'name': 'a', 'intrinsics_sha256': 'abc'}]},
     r"cameras\[0\]\.intrinsics_sha256: 'abc' must be 64 hex digits"),
    ({'cameras': [{'name': 'a', 'intrinsics_file': 'none.yaml'}]},
     r'cameras\[0\]\.intrinsics_file: .none.yaml.'),
    ({7: 1}, r'7.*robot_model'), ([], 'expected a mapping'), (None, 'expected a mapping')])
def test_what_is_wrong_is_named(data: Any, says: str, tmp_path: Path) -> None:
    """By its field, with what would be right."""
    with pytest.raises(TrialError, match=f'(?s){says}'):
        parse_rig(data, tmp_path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """A rig is mended in one round; a hash of another file is found."""
    (tmp_path / 'front.yaml').write_text('fx: 600')
    with pytest.raises(TrialError, match=r'(?s)2 problem.*lux.*cameras\[0\].*leave one of'):
        parse_rig({'lux': 'bright', 'cameras': [
            {'name': 'front', 'intrinsics_file': 'front.yaml', 'intrinsics_sha256': 'a' * 64}]},
            tmp_path)


@pytest.mark.parametrize(('text', 'says'), [
    (None, 'No such file.*config/rigs'), (b'a: [', 'not valid YAML'),
    (b'calibration_date: 2026-13-45', 'not valid YAML'), (b'notes: \xff', 'not valid YAML')])
def test_a_file_that_is_none(tmp_path: Path, text: bytes | None, says: str) -> None:
    """It is named, with what is wrong."""
    path = tmp_path / 'rig.yaml'
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(TrialError, match=f'rig.yaml.*{says}'):
        load_rig(path)


def test_the_example_shows_every_field() -> None:
    """It loads as it is, and whoever copies it forgets none."""
    path = share_path('config', 'rigs', 'example.yaml')
    found, text = load_rig(path), path.read_text(encoding='utf-8')
    assert found['robot_model'] and [one['name'] for one in found['cameras']] == ['front', 'wrist']
    assert all(f'{name}:' in text for name in (*FIELDS, *CAMERA_FIELDS))
