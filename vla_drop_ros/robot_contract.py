# SPDX-License-Identifier: Apache-2.0
"""The robot contract: one YAML a robot, validated whole at load; what is missing stops the start.

Every problem is collected and named in one error, so that a new robot is described in one round.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, cast, Literal

import yaml

from vla_drop_ros.errors import ActionSpecMismatchError, ContractError, unknown
from vla_drop_ros.types import (
    ActionSpec,
    CameraSpec,
    GRIPPER_NAME,
    ROTATION_NAMES,
    TRANSLATION_NAMES,
)

POSE_STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'ee.qx', 'ee.qy', 'ee.qz', 'ee.qw')
GRIPPER_STATE_NAME = 'gripper.width'
JOINT_STATE_PREFIX = 'joint.'
AXES = TRANSLATION_NAMES

Adapter = Literal['pose', 'twist']
FaultAction = Literal['hold', 'stop']
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stream:
    """One input topic.

    Attributes:
        topic: relative topic name.
        max_age: oldest header stamp still used, [s].
        latency: how much older than its stamp the measurement really is, [s].

    """

    topic: str
    max_age: float
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class GripperState:
    """Opening width [m] = position of ``joint`` * ``scale``."""

    joint: str
    scale: float


@dataclass(frozen=True, slots=True)
class RobotAction:
    """What the robot can execute; the names and units of ``ActionSpec``."""

    names: tuple[str, ...]
    frame: str
    reference: Literal['delta', 'absolute']


@dataclass(frozen=True, slots=True)
class Command:
    """Where commands go.

    Attributes:
        adapter: ``pose`` sends PoseStamped, ``twist`` sends TwistStamped, in the base frame.
        topic: relative topic of the arm command.
        gripper_topic: topic of Float64MultiArray, data[0] = width [m]; None without a gripper.

    """

    adapter: Adapter
    topic: str
    gripper_topic: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What no command may exceed.

    Attributes:
        workspace: (low, high) for x, y, z of the end effector in the base frame, [m].
        linear_velocity: largest speed of the commanded target, [m/s].
        angular_velocity: largest rotation rate of the commanded target, [rad/s].
        step: largest jump between two commands, and largest lead over the measured pose, [m].
        gripper_width: (low, high), [m]; None without a gripper.

    """

    workspace: tuple[Range, Range, Range]
    linear_velocity: float
    angular_velocity: float
    step: float
    gripper_width: Range | None


@dataclass(frozen=True, slots=True)
class RobotContract:
    """Everything that deployment needs to know about one robot.

    Attributes:
        robot: name of the robot.
        control_rate: rate at which the gate commands, [Hz].
        base_frame: frame of poses, commands and limits.
        end_effector_frame: frame whose pose is measured and commanded.
        action: what the robot can execute.
        cameras: camera key -> stream.
        max_skew: largest stamp difference between the cameras of one observation, [s].
        pose: PoseStamped of the end effector in the base frame.
        joints: JointState; None when nothing needs joints.
        gripper: how to read the gripper width; None without a gripper.
        command: where commands go.
        limits: what no command may exceed.
        dead_man: seconds without a usable chunk until the fault action.
        fault_action: ``hold`` the measured pose (adapter pose) or ``stop`` with zero twist
            (adapter twist).
        dry_run: compute and report, command nothing.

    """

    robot: str
    control_rate: float
    base_frame: str
    end_effector_frame: str
    action: RobotAction
    cameras: Mapping[str, Stream]
    max_skew: float
    pose: Stream
    joints: Stream | None
    gripper: GripperState | None
    command: Command
    limits: Limits
    dead_man: float
    fault_action: FaultAction
    dry_run: bool

    def check_policy(self, spec: ActionSpec, cameras: Mapping[str, CameraSpec],
                     state_names: Iterable[str]) -> None:
        """Refuse a policy that this robot cannot execute or feed, naming the field.

        Raises:
            ActionSpecMismatchError: the action language differs.
            ContractError: a camera or a state value is not on this robot.

        """
        self._check_action(spec)
        for key in cameras:
            if key not in self.cameras:
                raise ContractError(
                    f'{self.robot}: {unknown("camera", key, self.cameras)} Add it under cameras '
                    'in the robot contract, or choose a checkpoint trained without it.')
        for name in state_names:
            self._check_state_name(name)

    def _check_action(self, spec: ActionSpec) -> None:
        extra = [name for name in spec.names if name not in self.action.names]
        problem = ''
        if extra:
            problem = (f'action.names: the checkpoint commands {extra}, the robot executes '
                       f'{list(self.action.names)}')
        elif spec.frame != self.action.frame:
            problem = (f'action.frame: the checkpoint acts in {spec.frame!r}, the robot in '
                       f'{self.action.frame!r}')
        elif spec.reference != self.action.reference:
            problem = (f'action.reference: the checkpoint sends {spec.reference!r} actions, the '
                       f'robot takes {self.action.reference!r}')
        elif spec.period < 1.0 / self.control_rate - 1e-9:
            problem = (f'action period {spec.period} s is shorter than the control period '
                       f'{1.0 / self.control_rate:.4g} s; raise control_rate to at least '
                       f'{1.0 / spec.period:.4g} Hz')
        if problem:
            raise ActionSpecMismatchError(
                f'{self.robot}: {problem}. Use a checkpoint made for this robot.')

    def _check_state_name(self, name: str) -> None:
        is_joint = name.startswith(JOINT_STATE_PREFIX)
        if name not in (*POSE_STATE_NAMES, GRIPPER_STATE_NAME) and not is_joint:
            valid = (*POSE_STATE_NAMES, GRIPPER_STATE_NAME, JOINT_STATE_PREFIX + '<joint>')
            raise ContractError(f'{self.robot}: {unknown("state value", name, valid)}')
        if is_joint and self.joints is None:
            raise ContractError(
                f'{self.robot}: the checkpoint reads {name!r}; add state.joints to the contract')
        if name == GRIPPER_STATE_NAME and self.gripper is None:
            raise ContractError(
                f'{self.robot}: the checkpoint reads {name!r}; add state.gripper to the contract')


def load_contract(path: str | Path) -> RobotContract:
    """Read and validate a robot contract.

    Raises:
        ContractError: the file cannot be read, or anything in it is missing, unknown or out of
            range; all problems are named at once.

    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise ContractError(
            f'robot contract {path}: {error.strerror}; see config/robots for examples') from error
    except yaml.YAMLError as error:
        raise ContractError(f'robot contract {path} is not valid YAML: {error}') from error
    if not isinstance(data, dict):
        raise ContractError(
            f'robot contract {path}: expected a mapping, got {type(data).__name__}')
    return parse_contract(data, source=str(path))


def parse_contract(data: Mapping[str, Any], source: str = 'robot contract') -> RobotContract:
    """Build a contract from plain YAML types; ``source`` names it in the error."""
    reader = _Reader(data)
    contract = _read(reader)
    reader.refuse_unread()
    if not reader.problems:
        reader.problems += _contradictions(contract)
    if reader.problems:
        lines = '\n  '.join(reader.problems)
        raise ContractError(f'{source}: refusing to start, {len(reader.problems)} problem(s):\n  '
                            f'{lines}')
    return contract


def _read(reader: '_Reader') -> RobotContract:
    names = reader.names('action.names', (*TRANSLATION_NAMES, *ROTATION_NAMES, GRIPPER_NAME))
    has_gripper = GRIPPER_NAME in names or reader.has('state.gripper')
    gripper = GripperState(
        joint=reader.text('state.gripper.joint'),
        scale=reader.number('state.gripper.scale', positive=True)) if has_gripper else None
    if has_gripper:
        reader.choice('command.gripper.type', ('float64_multi_array',))
    needs_joints = has_gripper or reader.has('state.joints')
    return RobotContract(
        robot=reader.text('robot'),
        control_rate=reader.number('control_rate', positive=True),
        base_frame=reader.text('frames.base'),
        end_effector_frame=reader.text('frames.end_effector'),
        action=RobotAction(
            names=names,
            frame=reader.text('action.frame'),
            reference=cast(Literal['delta', 'absolute'],
                           reader.choice('action.reference', ('delta', 'absolute')))),
        cameras={key: reader.stream(f'cameras.{key}') for key in reader.keys('cameras')},
        max_skew=reader.number('max_skew', positive=True),
        pose=reader.stream('state.pose'),
        joints=reader.stream('state.joints') if needs_joints else None,
        gripper=gripper,
        command=Command(
            adapter=cast(Adapter, reader.choice('command.adapter', ('pose', 'twist'))),
            topic=reader.text('command.topic'),
            gripper_topic=reader.text('command.gripper.topic') if has_gripper else None),
        limits=_read_limits(reader, has_gripper),
        dead_man=reader.number('dead_man', positive=True),
        fault_action=cast(FaultAction, reader.choice('fault_action', ('hold', 'stop'))),
        dry_run=reader.boolean('dry_run'))


def _read_limits(reader: '_Reader', has_gripper: bool) -> Limits:
    x, y, z = (reader.range(f'limits.workspace.{axis}') for axis in AXES)
    return Limits(
        workspace=(x, y, z),
        linear_velocity=reader.number('limits.linear_velocity', positive=True),
        angular_velocity=reader.number('limits.angular_velocity', positive=True),
        step=reader.number('limits.step', positive=True),
        gripper_width=reader.range('limits.gripper_width') if has_gripper else None)


def _contradictions(contract: RobotContract) -> list[str]:
    """Return what is well-formed but cannot be true together."""
    problems = []
    if contract.action.frame != contract.base_frame:
        problems.append(f'action.frame {contract.action.frame!r} must be frames.base '
                        f'{contract.base_frame!r}: limits are checked there')
    needed = 'hold' if contract.command.adapter == 'pose' else 'stop'
    if contract.fault_action != needed:
        problems.append(
            f'fault_action {contract.fault_action!r}: adapter {contract.command.adapter!r} needs '
            f'{needed!r} (a pose controller holds a pose, a velocity controller stops)')
    if contract.dead_man < 2.0 / contract.control_rate:
        problems.append(f'dead_man {contract.dead_man} s is shorter than two control periods '
                        f'({2.0 / contract.control_rate:.4g} s)')
    return problems


class _Reader:
    """Reads dotted keys and collects every problem instead of stopping at the first."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._read: set[str] = set()
        self.problems: list[str] = []

    def has(self, key: str) -> bool:
        return self._find(key) is not None

    def keys(self, key: str) -> list[str]:
        value = self._take(key, dict, 'a mapping with at least one entry')
        if value == {}:
            self.problems.append(f'{key}: must have at least one entry')
        return [str(name) for name in value or {}]

    def stream(self, key: str) -> Stream:
        latency = self.number(f'{key}.latency') if self.has(f'{key}.latency') else 0.0
        return Stream(self.text(f'{key}.topic'), self.number(f'{key}.max_age', positive=True),
                      latency)

    def text(self, key: str) -> str:
        value = self._take(key, str, 'text')
        if value == '':
            self.problems.append(f'{key}: must not be empty')
        return value or ''

    def choice(self, key: str, valid: tuple[str, ...]) -> str:
        value = self.text(key)
        if value and value not in valid:
            self.problems.append(f'{key}: {value!r} must be one of {list(valid)}')
        return value

    def boolean(self, key: str) -> bool:
        return bool(self._take(key, bool, 'true or false'))

    def number(self, key: str, positive: bool = False) -> float:
        value = self._take(key, (int, float), 'a number')
        if value is None:
            return math.nan
        return self._checked(key, value, positive)

    def range(self, key: str) -> Range:
        value = self._take(key, list, '[low, high]')
        if value is None:
            return (math.nan, math.nan)
        if len(value) != 2 or not all(_is_number(v) for v in value) or not value[0] < value[1]:
            self.problems.append(f'{key}: {value} must be two finite numbers, low < high')
            return (math.nan, math.nan)
        return (float(value[0]), float(value[1]))

    def names(self, key: str, valid: tuple[str, ...]) -> tuple[str, ...]:
        value = self._take(key, list, f'a list from {list(valid)}') or []
        bad = [name for name in value if name not in valid]
        if bad or len(set(map(str, value))) != len(value):
            self.problems.append(f'{key}: {value} must be distinct and from {list(valid)}')
            return ()
        return tuple(value)

    def refuse_unread(self) -> None:
        """Name every key that nothing reads: mostly a misspelt one."""
        self.problems += [f'{key}: unknown key' for key in _leaves(self._data)
                          if not any(key == read or key.startswith(f'{read}.')
                                     for read in self._read)]

    def _checked(self, key: str, value: float, positive: bool) -> float:
        if not _is_number(value) or value < 0 or (positive and value == 0):
            self.problems.append(f'{key}: {value} must be a finite number '
                                 f'{"> 0" if positive else ">= 0"}')
        return float(value)

    def _find(self, key: str) -> Any:
        value: Any = self._data
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _take(self, key: str, kind: Any, expected: str) -> Any:
        value = self._find(key)
        if not isinstance(value, Mapping):
            self._read.add(key)
        if value is None:
            self.problems.append(f'{key}: missing, expected {expected}')
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problems.append(f'{key}: {value!r} must be {expected}')
            return None
        return value


def _is_number(value: object) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and math.isfinite(value))


def _leaves(data: Mapping[str, Any], prefix: str = '') -> list[str]:
    keys = []
    for name, value in data.items():
        key = f'{prefix}{name}'
        keys += _leaves(value, f'{key}.') if isinstance(value, Mapping) else [key]
    return keys
