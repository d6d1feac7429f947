# SPDX-License-Identifier: Apache-2.0
"""Begin a robot contract from one of rosetta (version 2), which knows topics but no limits.

What it does not say becomes a key with TODO, which the reader refuses by name: nobody can forget
a limit. Custom encoders and decoders are never imported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
import re
from typing import Any

from vla_drop_ros.contract_file import read_file
from vla_drop_ros.contracts.keys import CAMERA, JOINT, Key, KEYS, Need
from vla_drop_ros.contracts.keys import Path as KeyPath
from vla_drop_ros.contracts.reader import shown, TODO
from vla_drop_ros.errors import ContractError
from vla_drop_ros.types import GRIPPER_NAME, JOINT_PREFIX

IMAGES = {'sensor_msgs/msg/Image': 'raw', 'sensor_msgs/msg/CompressedImage': 'compressed'}
JOINT_STATE, TRAJECTORY = 'sensor_msgs/msg/JointState', 'trajectory_msgs/msg/JointTrajectory'
POSE, TWIST = 'geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/TwistStamped'
IMAGE_KEY = 'observation.images.'
POSITION = 'position.'
TWISTS = {f'twist.{part}.{axis}': f'{turn}{axis}'
          for part, turn in (('linear', ''), ('angular', 'r')) for axis in 'xyz'}
GRIPPERS = re.compile('grip|finger|jaw|knuckle')
PLAIN = re.compile(r'[A-Za-z_/][A-Za-z0-9_./]*')
NOT_TEXT = {'y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'}
HEADER = """\
# yaml-language-server: $schema=robot_contract.schema.json
# Begun from a contract of rosetta. Every TODO has to become a value before the robot moves:
# `vla_drop contract check` names them, docs/robot_contract.md explains them. Units: m, rad, s, Hz.
"""


@dataclass(slots=True)
class Conversion:
    """A contract that is begun.

    Attributes:
        text: YAML; every key that has to be there, with a value or TODO.
        taken: what came from the source, a line each.
        left_out: what the source says and this contract cannot, with the reason.
        missing: keys that are TODO.

    """

    text: str = ''
    taken: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def convert_rosetta(path: str | Path) -> Conversion:
    """Read a contract of rosetta and return the beginning of one of ours.

    Raises:
        ContractError: it cannot be read, or is no contract of rosetta version 2.

    """
    data = read_file(path).data
    if not isinstance(data, Mapping) or not {'robot_type', 'actions'} <= data.keys():
        raise ContractError(f'{path} is no contract of rosetta: robot_type and actions are needed')
    if not all(isinstance(data.get(name, {}), Mapping) for name in ('observations', 'actions')):
        raise ContractError(f'{path} is a contract of rosetta version 1 (lists); bring it to '
                            'version 2 first, where observations and actions are mappings')
    interface = data.get('robot_interface', 'ros2')
    if interface != 'ros2':
        raise ContractError(f'{path}: robot_interface {shown(interface)} must be ros2')
    return _Converter(data).convert()


@dataclass(frozen=True, slots=True)
class _Source:
    """One pipeline of rosetta: a topic, what is taken of it, and what is done to that."""

    key: str
    topic: str
    kind: str
    select: tuple[str, ...]
    apply: tuple[Any, ...]
    align: Mapping[str, Any]

    @property
    def positions(self) -> list[str]:
        """Return the joints whose positions are selected."""
        return [name.removeprefix(POSITION) for name in self.select if name.startswith(POSITION)]

    @property
    def in_degrees(self) -> bool:
        """Say whether the policy sees degrees."""
        return 'rad2deg' in self.apply


class _Converter:
    """Collects values by key of our table."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._values: dict[KeyPath, Any] = {}
        self._cameras: list[str] = []
        self._joints: list[str] = []
        self._held: list[str] = []
        self._result = Conversion()

    def convert(self) -> Conversion:
        """Take what can be taken, and write everything that is needed."""
        self._take(('robot',), str(self._data['robot_type']), 'robot_type')
        rate = self._data.get('fps')
        if isinstance(rate, int | float) and math.isfinite(rate) and rate > 0:
            self._take(('control_rate',), float(rate), 'fps')
        for source in _sources(self._data, 'observations'):
            self._observation(source)
        for source in _sources(self._data, 'actions'):
            self._action(source)
        for section in self._data:
            if section in ('tasks', 'teleop', 'rewards', 'signals', 'info', 'complementary_data',
                           'adjunct'):
                self._result.left_out.append(f'{section}: no part of a robot contract')
        if self._held:
            self._result.left_out.append(f'align hold of {", ".join(self._held)}: takes a message '
                                         'however old; max_age has to say how old it may be')
        self._values |= {('interlock',): 'enable', ('dry_run',): True}
        self._write()
        return self._result

    def _observation(self, source: _Source) -> None:
        if source.kind in IMAGES:
            name = source.key.removeprefix(IMAGE_KEY)
            self._cameras.append(name)
            self._stream(('cameras', name), source)
            self._values['cameras', name, 'transport'] = IMAGES[source.kind]
        elif source.kind == JOINT_STATE and ('state', 'joints', 'topic') not in self._values:
            self._stream(('state', 'joints'), source)
            for joint in filter(GRIPPERS.search, source.positions):
                self._values.setdefault(('state', 'gripper', 'joint'), joint)
            self._degrees(source, 'states')
        elif source.kind == POSE and ('state', 'pose', 'topic') not in self._values:
            self._stream(('state', 'pose'), source)
        else:
            self._leave(source, 'is not read here')

    def _action(self, source: _Source) -> None:
        names = self._values.setdefault(('action', 'names'), [])
        adapter = self._values.get(('command', 'adapter'))
        if adapter is not None and not (adapter == 'joint_trajectory' and source.positions):
            self._leave(source, 'is a second command: one controller is commanded here')
        elif source.positions and source.kind in (JOINT_STATE, TRAJECTORY):
            self._joint_action(source, names)
        elif source.kind == TWIST and all(name in TWISTS for name in source.select):
            names += [TWISTS[name] for name in source.select]
            self._values['command', 'adapter'] = 'twist'
            self._values['fault_action',] = 'stop'
            self._take(('command', 'topic'), source.topic, source.key)
            self._result.left_out.append(
                f'{source.key}: its actions are velocities; here they are displacements a step '
                '(action.reference delta), so the checkpoint has to be trained that way')
        else:
            self._leave(source, 'is not commanded here')

    def _joint_action(self, source: _Source, names: list[str]) -> None:
        for joint in source.positions:
            if GRIPPERS.search(joint):
                self._values.setdefault(('state', 'gripper', 'joint'), joint)
                if GRIPPER_NAME not in names:
                    names.append(GRIPPER_NAME)
                self._result.left_out.append(
                    f'{source.key} {joint}: here the gripper is commanded by its width in m; the '
                    'checkpoint has to be trained that way')
            else:
                names.append(f'{JOINT_PREFIX}{joint}')
                self._joints.append(joint)
        if not self._joints:
            return
        self._values['action', 'reference'] = 'absolute'
        self._values['command', 'adapter'] = 'joint_trajectory'
        self._values['fault_action',] = 'hold'
        if source.kind == TRAJECTORY:
            self._take(('command', 'topic'), source.topic, source.key)
        else:
            self._leave(source, 'as a command: a joint trajectory controller is needed')
        self._degrees(source, 'actions')
        self._clamps(source)

    def _clamps(self, source: _Source) -> None:
        """Take bounds; behind rad2deg they are in degrees."""
        degrees = False
        for operator in source.apply:
            degrees = degrees or operator == 'rad2deg'
            clamp = operator.get('clamp') if isinstance(operator, Mapping) else None
            if not isinstance(clamp, Mapping):
                continue
            bounds = [one for one in (clamp.get('min'), clamp.get('max'))
                      if isinstance(one, int | float) and math.isfinite(one)]
            if len(bounds) == 2:
                turned = [round(math.radians(one), 4) if degrees else float(one) for one in bounds]
                for joint in source.positions:
                    if joint in self._joints:
                        self._take(('limits', 'joints', joint, 'position'), turned,
                                   f'clamp of {source.key}')

    def _stream(self, path: KeyPath, source: _Source) -> None:
        self._take((*path, 'topic'), source.topic, source.key)
        strategy, tolerance = source.align.get('strategy'), source.align.get('tolerance_ms')
        if strategy == 'asof' and isinstance(tolerance, int | float) and tolerance > 0:
            self._take((*path, 'max_age'), tolerance / 1000.0, f'tolerance_ms of {source.key}')
        elif strategy == 'hold':
            self._held.append(source.key)
        if source.align.get('timeline') == 'receive':
            self._result.left_out.append(
                f'{source.key} timeline receive: here ages are those of header.stamp')

    def _degrees(self, source: _Source, what: str) -> None:
        if source.in_degrees:
            self._result.left_out.append(
                f'{source.key} rad2deg: a checkpoint trained by it has {what} in degrees; here '
                'they are in rad, so convert its normalisation or train again')

    def _leave(self, source: _Source, why: str) -> None:
        self._result.left_out.append(f'{source.key}: {source.kind} on {source.topic} {why}')

    def _take(self, path: KeyPath, value: Any, origin: str) -> None:
        self._values[path] = value
        self._result.taken.append(f'{".".join(path)}: {_text(value)} (from {origin})')

    def _write(self) -> None:
        """Write every key that is needed, in the order of the table."""
        tree: dict[str, Any] = {}
        for key in KEYS:
            for path in self._paths(key):
                if not self._is_needed(key, path):
                    continue
                place = tree
                for part in path[:-1]:
                    place = place.setdefault(part, {})
                value = self._values.get(path, TODO)
                if value in (TODO, []):
                    value = TODO
                    self._result.missing.append('.'.join(path))
                unit = f' [{key.unit}]' if key.unit else ''
                hint = f'   # {key.meaning}{unit}' if value == TODO else ''
                place[path[-1]] = f'{_text(value)}{hint}'
        self._result.text = HEADER + '\n'.join(_lines(tree, 0)) + '\n'

    def _paths(self, key: Key) -> list[KeyPath]:
        """Return a path for each camera or joint, or the one."""
        for placeholder, names in ((CAMERA, self._cameras or ['TODO']), (JOINT, self._joints)):
            if placeholder in key.path:
                return [tuple(name if part == placeholder else part for part in key.path)
                        for name in names]
        return [key.path]

    def _is_needed(self, key: Key, path: KeyPath) -> bool:
        in_joints = bool(self._joints)
        grips = (GRIPPER_NAME in self._values.get(('action', 'names'), ())
                 or ('state', 'gripper', 'joint') in self._values)
        has_pose = ('state', 'pose', 'topic') in self._values
        has_joints = ('state', 'joints', 'topic') in self._values
        needs: dict[Need, bool] = {
            'always': True, 'optional': path in self._values, 'joints': in_joints,
            'poses': not in_joints, 'measured pose': not in_joints or has_pose,
            'measured joints': in_joints or grips or has_joints, 'gripper': grips,
            'joint_trajectory': in_joints, 'unitless servo': False}
        return needs[key.need]


def _sources(data: Mapping[str, Any], section: str) -> Iterator[_Source]:
    """Yield every pipeline of a section; what is malformed is passed over as nothing to take."""
    for key, entry in data.get(section, {}).items():
        for one in entry if isinstance(entry, list) else [entry]:
            channel = one.get('channel') if isinstance(one, Mapping) else None
            if not isinstance(channel, Mapping) or not isinstance(channel.get('topic'), str):
                raise ContractError(f'{section}.{key}: a channel with a topic is needed')
            align = one.get('align')
            yield _Source(str(key), channel['topic'], str(channel.get('type')),
                          tuple(map(str, _list(one.get('select')))),
                          tuple(_list(one.get('apply'))),
                          align if isinstance(align, Mapping) else {})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _lines(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yield YAML of nested sections of text."""
    for name, value in tree.items():
        head = f'{"  " * depth}{_text(name)}:'
        if isinstance(value, Mapping):
            yield head
            yield from _lines(value, depth + 1)
        else:
            yield f'{head} {value}'


def _text(value: Any) -> str:
    """Return YAML of a plain value, quoted only where it must be."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT:
        return value
    if isinstance(value, list):
        return f'[{", ".join(map(_text, value))}]'
    return json.dumps(value)
