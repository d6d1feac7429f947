# SPDX-License-Identifier: Apache-2.0
"""The rig that a session was run on, as its people state it: a closed list of fields, in YAML.

All may be left out, or left empty: the report then says that they were not stated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
import math
from pathlib import Path
import re
from typing import Any

import yaml

from vla_drop_ros.errors import TrialError, unknown

SHA256 = re.compile('[0-9a-f]{64}')


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field takes.

    Attributes:
        expected: in words.
        fits: whether a value is of the kind.

    """

    expected: str
    fits: Callable[[Any], bool]


def _span(low: float, high: float, unit: str) -> Kind:
    return Kind(f'a number from {low:g} to {high:g} [{unit}]', lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool)
        and math.isfinite(value) and low <= value <= high))


TEXT = Kind('text; put a number in quotes', lambda value: isinstance(value, str))
SETTING = Kind('text or a number', lambda value: isinstance(value, str) or (
    isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)))
DIGEST = Kind('64 hex digits in quotes', lambda value: (
    isinstance(value, str) and bool(SHA256.fullmatch(value))))
FIELDS: Mapping[str, Kind] = {
    'robot_model': TEXT, 'robot_serial': TEXT, 'controller_version': TEXT, 'gripper': TEXT,
    'fingertip_wear': TEXT,
    'cameras': Kind('a list of mappings, each with a name', lambda value: isinstance(value, list)),
    'calibration_date': Kind('a date like 2026-11-30', lambda value: type(value) is date),
    'lighting': TEXT, 'lux': _span(0.0, 200_000.0, 'lx'),
    'ambient_temperature': _span(-50.0, 80.0, 'C'), 'operator_role': TEXT,
    'operator_trained': Kind('true or false', lambda value: isinstance(value, bool)),
    'notes': TEXT}
CAMERA_FIELDS: Mapping[str, Kind] = {
    'name': TEXT, 'serial': TEXT,
    'intrinsics_sha256': DIGEST,
    'intrinsics_file': TEXT, 'extrinsics_sha256': DIGEST, 'extrinsics_file': TEXT,
    'exposure': SETTING, 'white_balance': SETTING}


def load_rig(path: str | Path) -> dict[str, Any]:
    """Read and validate a rig; return what is stated in it, as plain JSON types.

    Of a camera's ``intrinsics_file`` and ``extrinsics_file``, relative to the rig's file, the hash
    is kept too, as ``intrinsics_sha256`` and ``extrinsics_sha256``.

    Raises:
        TrialError: the file cannot be read, or a field is unknown or not of its kind; all
            problems are named at once.

    """
    path = Path(path).expanduser()
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise TrialError(f'rig {path}: {error.strerror}; see config/rigs for an '
                         'example') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        raise TrialError(f'rig {path} is not valid YAML: {error}') from error
    return parse_rig(data, path.parent, f'rig {path}')


def parse_rig(data: object, folder: Path, source: str = 'rig') -> dict[str, Any]:
    """Build a rig from plain types; ``source`` names it in the error, files are in ``folder``."""
    if not isinstance(data, Mapping):
        raise TrialError(f'{source}: expected a mapping, got {type(data).__name__}')
    problems: list[str] = []
    found = _stated(data, FIELDS, '', problems)
    if 'calibration_date' in found:
        found['calibration_date'] = found['calibration_date'].isoformat()
    if 'cameras' in found:
        found['cameras'] = [_camera(one, f'cameras[{index}]', folder, problems)
                            for index, one in enumerate(found['cameras'])]
    if problems:
        lines = '\n  '.join(problems)
        raise TrialError(f'{source}: {len(problems)} problem(s):\n  {lines}')
    return found


def _stated(data: Mapping[Any, Any], fields: Mapping[str, Kind], where: str,
            problems: list[str]) -> dict[str, Any]:
    """Return the fields that are neither left out nor left empty."""
    found = {}
    for name, value in data.items():
        kind = fields.get(name) if isinstance(name, str) else None
        if kind is None:
            problems.append(f'{where}{unknown("field", str(name), fields)}')
        elif value is None or value in ('', []):
            continue
        elif kind.fits(value):
            found[str(name)] = value
        else:
            problems.append(f'{where}{name}: {value!r} must be {kind.expected}')
    return found


def _camera(data: object, where: str, folder: Path, problems: list[str]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        problems.append(f'{where}: {data!r} must be a mapping')
        return {}
    found = _stated(data, CAMERA_FIELDS, f'{where}.', problems)
    if 'name' not in found:
        problems.append(f'{where}.name: missing, expected that of the robot contract')
    for name in ('intrinsics', 'extrinsics'):
        if f'{name}_file' in found:
            _hash_file(found, name, where, folder, problems)
    return found


def _hash_file(found: dict[str, Any], name: str, where: str, folder: Path,
               problems: list[str]) -> None:
    """Add the hash of a calibration to a camera; one that was stated must be the same."""
    file = found[f'{name}_file']
    try:
        digest = sha256((folder / file).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        problems.append(f'{where}.{name}_file: {file!r}: {error}')
        return
    if found.setdefault(f'{name}_sha256', digest) != digest:
        problems.append(f'{where}.{name}_sha256: is not that of {file}, which is {digest}; leave '
                        'one of the two out')
