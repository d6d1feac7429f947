# SPDX-License-Identifier: Apache-2.0
"""The JSON schema and the reference table of robot contracts, made from the table of keys.

Editors complete and check a contract by the schema; what only the reader can say (limits of the
joints that are commanded, frames that agree, times that fit) the schema leaves to it.
"""

import json
import re
from typing import Any

from vla_drop_ros.contracts.keys import CAMERA, JOINT, Key, KEYS, Need, NEEDS, Path
from vla_drop_ros.contracts.reader import FRAME, TOPIC
from vla_drop_ros.types import GRIPPER_NAME, JOINT_PREFIX, ROTATION_NAMES, TRANSLATION_NAMES

SCHEMA_FILE = ('config', 'robots', 'robot_contract.schema.json')
DIALECT = 'https://json-schema.org/draft/2020-12/schema'
Schema = dict[str, Any]

_JOINT = re.escape(JOINT_PREFIX)
_ACTION_NAMES = (*TRANSLATION_NAMES, *ROTATION_NAMES, GRIPPER_NAME)
_IN_JOINTS: Schema = {'properties': {'action': {
    'required': ['names'],
    'properties': {'names': {'contains': {'type': 'string', 'pattern': f'^{_JOINT}'}}}}},
    'required': ['action']}
_GRIPS: Schema = {'anyOf': [
    {'properties': {'action': {
        'required': ['names'], 'properties': {'names': {'contains': {'const': GRIPPER_NAME}}}}},
     'required': ['action']},
    {'properties': {'state': {'required': ['gripper']}}, 'required': ['state']}]}
_HAS_TRAJECTORY: Schema = {'properties': {'command': {
    'required': ['adapter'], 'properties': {'adapter': {'const': 'joint_trajectory'}}}},
    'required': ['command']}
_TWISTS: Schema = {'properties': {'command': {
    'required': ['adapter'], 'properties': {'adapter': {'const': 'twist'}}}},
    'required': ['command']}
# When -> the needs whose keys are then there. Nested groups are required whole by themselves.
_CONDITIONS: tuple[tuple[Schema, tuple[Need, ...]], ...] = (
    (_IN_JOINTS, ('joints', 'measured joints')),
    ({'not': _IN_JOINTS}, ('poses', 'measured pose')),
    (_GRIPS, ('gripper', 'measured joints')),
    (_HAS_TRAJECTORY, ('joint_trajectory',)))
# Without it, these keys have no effect, which the reader refuses.
_WITHOUT: tuple[tuple[Schema, tuple[Path, ...]], ...] = (
    (_IN_JOINTS, (('limits', 'joints'),)),
    ({'not': _IN_JOINTS}, tuple(('limits', name) for name in (
        'workspace', 'linear_velocity', 'angular_velocity', 'linear_acceleration',
        'angular_acceleration', 'step'))),
    (_GRIPS, (('command', 'gripper'), ('limits', 'gripper_width'))),
    (_HAS_TRAJECTORY, (('command', 'lead'),)),
    (_TWISTS, (('command', 'servo'),)))
_GROUPS = (('state', 'pose'), ('state', 'joints'), ('state', 'gripper'), ('command', 'gripper'),
           ('limits', 'workspace'), ('limits', 'joints', JOINT), ('cameras', CAMERA))
"""Sections of which every key that is not optional is there, once the section is."""


def contract_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a robot contract."""
    root = _section(())
    root = {'$schema': DIALECT, 'title': 'vla_drop_ros robot contract',
            'description': 'Everything that deployment needs to know about one robot. '
                           'Units: m, rad, s, Hz.', **root}
    rules: list[Schema] = [{'if': when, 'then': _required(needs)} for when, needs in _CONDITIONS]
    rules += [{'if': when, 'else': {'allOf': [_absent(path) for path in paths]}}
              for when, paths in _WITHOUT]
    rules += [{'if': _TWISTS, 'then': _fault('stop'), 'else': _fault('hold')},
              {'if': _HAS_TRAJECTORY, 'then': _IN_JOINTS, 'else': {'not': _IN_JOINTS}}]
    return {**root, 'allOf': rules}


def schema_text() -> str:
    """Return the text of the schema's file."""
    return json.dumps(contract_schema(), indent=1) + '\n'


def markdown_table() -> str:
    """Return the table of all keys for the reference page."""
    rows = ['| key | value | unit | needed | meaning |', '| --- | --- | --- | --- | --- |']
    for key in KEYS:
        name = f'`{key.name}`'
        meaning = key.meaning.replace('|', '\\|')
        rows.append(f'| {name} | {_value(key)} | {key.unit} | {NEEDS[key.need]} | {meaning} |')
    return '\n'.join(rows) + '\n'


def _value(key: Key) -> str:
    """Return what a key takes, in words."""
    if key.kind == 'choice':
        return ', '.join(f'`{choice}`' for choice in key.choices)
    if key.kind == 'number':
        low = f'{">" if key.positive and not key.low else ">="} {key.low:g}'
        return f'number {low}, <= {key.high:g}'
    if key.kind == 'range':
        return f'[low, high] in {key.low:g} .. {key.high:g}'
    return {'text': 'text', 'frame': 'frame', 'topic': 'ROS name', 'boolean': '`true`, `false`',
            'names': 'list of names'}[key.kind]


def _section(place: Path) -> Schema:
    """Return the schema of a mapping of the file, with everything below it."""
    below = [key for key in KEYS if key.path[:len(place)] == place]
    names = list(dict.fromkeys(key.path[len(place)] for key in below))
    parts = {name: _part((*place, name)) for name in names}
    if names in ([CAMERA], [JOINT]):
        return {'type': 'object', 'minProperties': 1, 'propertyNames': {'minLength': 1},
                'additionalProperties': parts[names[0]]}
    section: Schema = {'type': 'object', 'additionalProperties': False, 'properties': parts}
    needed = [name for name in names if any(
        key.need == 'always' or (place in _GROUPS and key.need != 'optional')
        for key in below if key.path[len(place)] == name)]
    if needed:
        section['required'] = needed
    if place == ('command', 'servo'):
        section['minProperties'] = 1
        pair = ['linear_scale', 'angular_scale']
        section['dependentRequired'] = {one: [other] for one, other in zip(
            pair, reversed(pair), strict=True)}
    return section


def _part(path: Path) -> Schema:
    key = next((key for key in KEYS if key.path == path), None)
    return _section(path) if key is None else _leaf(key)


def _leaf(key: Key) -> Schema:
    unit = f' [{key.unit}]' if key.unit else ''
    said: Schema = {'description': f'{key.meaning}{unit}; needed: {NEEDS[key.need]}'}
    number: Schema = {'type': 'number', 'minimum': key.low, 'maximum': key.high}
    if key.positive:
        number['exclusiveMinimum'] = 0.0
    forms: dict[str, Schema] = {
        'text': {'type': 'string', 'pattern': r'^(?!TODO)[\s\S]*\S'},
        'frame': {'type': 'string', 'pattern': f'^(?!TODO){FRAME.pattern}$'},
        'topic': {'type': 'string', 'pattern': f'^(?!TODO){TOPIC.pattern}$'},
        'boolean': {'type': 'boolean'},
        'choice': {'enum': list(key.choices)},
        'number': number,
        'range': {'type': 'array', 'items': number, 'minItems': 2, 'maxItems': 2},
        'names': {
            'type': 'array', 'minItems': 1, 'uniqueItems': True, 'items': {'anyOf': [
                {'enum': list(_ACTION_NAMES)},
                {'type': 'string', 'pattern': f'^{_JOINT}[\\s\\S]+$'}]}},
    }
    return {**said, **forms[key.kind]}


def _required(needs: tuple[Need, ...]) -> Schema:
    """Return a schema that demands the keys with these needs; the user's names are left out."""
    tree: Schema = {}
    for key in KEYS:
        if key.need in needs:
            place = tree
            for part in key.path:
                if part in (CAMERA, JOINT):
                    break
                place = place.setdefault(part, {})
    return _demand(tree)


def _demand(tree: Schema) -> Schema:
    if not tree:
        return {}
    below = {name: _demand(part) for name, part in tree.items() if part}
    return {'required': list(tree), **({'properties': below} if below else {})}


def _absent(path: Path) -> Schema:
    section, name = path
    return {'properties': {section: {'properties': {name: False}}}}


def _fault(action: str) -> Schema:
    return {'properties': {'fault_action': {'const': action}}}
