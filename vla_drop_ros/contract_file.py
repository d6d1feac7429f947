# SPDX-License-Identifier: Apache-2.0
"""A robot contract from YAML: validated whole at load; what is missing stops the start.

Every problem is collected and named in one error, so that a new robot is described in one round.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, Literal

from vla_drop_ros.contracts.document import Document, read_document
from vla_drop_ros.contracts.reader import Problem, Reader, shown
from vla_drop_ros.contracts.rules import contradictions
from vla_drop_ros.errors import ContractError
from vla_drop_ros.robot_contract import (
    ADAPTERS,
    CameraStream,
    CartesianLimits,
    Command,
    FAULT_ACTIONS,
    GRIPPER_TYPES,
    GripperCommand,
    GripperState,
    INTERLOCKS,
    JointLimits,
    Limits,
    RobotAction,
    RobotContract,
    Servo,
    Stream,
    TRANSPORTS,
)
from vla_drop_ros.types import GRIPPER_NAME, JOINT_PREFIX, TRANSLATION_NAMES

REFERENCES = ('delta', 'absolute')


def load_contract(path: str | Path) -> RobotContract:
    """Read and validate a robot contract.

    Raises:
        ContractError: the file cannot be read, or anything in it is missing, unknown or out of
            range; all problems are named at once.

    """
    contract, problems = examine(read_file(path))
    return _accepted(contract, problems, str(path))


def parse_contract(data: Mapping[str, Any], source: str = 'robot contract') -> RobotContract:
    """Build a contract from plain YAML types; ``source`` names it in the error.

    Raises:
        ContractError: as ``load_contract``.

    """
    contract, problems = examine(Document(data))
    return _accepted(contract, problems, source)


def read_file(path: str | Path) -> Document:
    """Read the YAML of a contract; nothing in it is checked.

    Raises:
        ContractError: the file cannot be read, or is no YAML.

    """
    source = f'robot contract {path}'
    try:
        text = Path(path).read_text(encoding='utf-8')
    except OSError as error:
        raise ContractError(
            f'{source}: {error.strerror}; see config/robots for examples') from error
    except ValueError as error:  # not UTF-8, or a NUL in the name
        raise ContractError(f'{source} is no text: {error}') from error
    return read_document(text, source)


def examine(document: Document) -> tuple[RobotContract | None, list[Problem]]:
    """Return the contract and every problem; a contract with problems is None."""
    if not isinstance(document.data, Mapping):
        return None, [Problem(('file',), 0, f'expected a mapping, got {shown(document.data)}')]
    reader = Reader(document)
    contract = _read(reader)
    reader.refuse_unread()
    if not reader.problems:
        for path, said in contradictions(contract):
            reader.refuse(path, said)
    problems = sorted(reader.problems, key=lambda problem: problem.line)
    return (None if problems else contract), problems


def _accepted(contract: RobotContract | None, problems: list[Problem],
              source: str) -> RobotContract:
    if contract is None:
        lines = '\n  '.join(map(str, problems))
        raise ContractError(f'{source}: refusing to start, {len(problems)} problem(s):\n  {lines}')
    return contract


def _read(reader: Reader) -> RobotContract:
    names = reader.action_names('action', 'names')
    grips = GRIPPER_NAME in names or reader.has('state', 'gripper')
    in_joints = any(name.startswith(JOINT_PREFIX) for name in names)
    has_pose = not in_joints or reader.has('state', 'pose')
    has_joints = grips or in_joints or reader.has('state', 'joints')
    return RobotContract(
        robot=reader.text('robot'),
        control_rate=reader.number('control_rate'),
        base_frame=reader.text('frames', 'base'),
        end_effector_frame=reader.text('frames', 'end_effector'),
        action=RobotAction(names, reader.text('action', 'frame'), cast(
            Literal['delta', 'absolute'], reader.choice(REFERENCES, 'action', 'reference'))),
        cameras={key: _read_camera(reader, key) for key in reader.names_of('cameras')},
        max_skew=reader.number('max_skew'),
        pose=_read_stream(reader, 'state', 'pose') if has_pose else None,
        joints=_read_stream(reader, 'state', 'joints') if has_joints else None,
        gripper=_read_gripper_state(reader) if grips else None,
        command=_read_command(reader, grips),
        limits=_read_limits(reader, grips, names, in_joints),
        ramp_in=reader.number('ramp_in'),
        dead_man=reader.number('dead_man'),
        max_chunk_age=reader.optional('max_chunk_age'),
        fault_action=reader.choice(FAULT_ACTIONS, 'fault_action'),
        interlock=reader.choice(INTERLOCKS, 'interlock'),
        dry_run=reader.boolean('dry_run'))


def _read_stream(reader: Reader, *path: str) -> Stream:
    return Stream(reader.text(*path, 'topic'), reader.number(*path, 'max_age'),
                  reader.optional(*path, 'latency'))


def _read_camera(reader: Reader, key: str) -> CameraStream:
    stream = _read_stream(reader, 'cameras', key)
    path = ('cameras', key, 'transport')
    transport = reader.choice(TRANSPORTS, *path) if reader.has(*path) else TRANSPORTS[0]
    return CameraStream(stream.topic, stream.max_age, stream.latency, transport)


def _read_gripper_state(reader: Reader) -> GripperState:
    path = ('state', 'gripper')
    return GripperState(reader.text(*path, 'joint'), reader.number(*path, 'scale'),
                        reader.optional(*path, 'offset'))


def _read_command(reader: Reader, grips: bool) -> Command:
    adapter = reader.choice(ADAPTERS, 'command', 'adapter')
    in_joints = adapter == 'joint_trajectory'
    return Command(
        adapter, reader.text('command', 'topic'),
        gripper=_read_gripper_command(reader) if grips else None,
        lead=reader.number('command', 'lead') if in_joints else 0.0,
        servo=_read_servo(reader) if adapter == 'twist' else Servo())


def _read_gripper_command(reader: Reader) -> GripperCommand:
    path = ('command', 'gripper')
    return GripperCommand(
        reader.choice(GRIPPER_TYPES, *path, 'type'), reader.text(*path, 'topic'),
        reader.optional(*path, 'hysteresis'), reader.optional(*path, 'effort'))


def _read_servo(reader: Reader) -> Servo:
    path = ('command', 'servo')
    scales = ('linear_scale', 'angular_scale')
    scaled = any(reader.has(*path, name) for name in scales)
    linear, angular = (reader.number(*path, name) if scaled else 0.0 for name in scales)
    switch, pause = (reader.text(*path, name) if reader.has(*path, name) else ''
                     for name in ('switch_command_type', 'pause'))
    return Servo(linear, angular, switch, pause)


def _read_limits(reader: Reader, grips: bool, names: tuple[str, ...], in_joints: bool) -> Limits:
    joints = [name.removeprefix(JOINT_PREFIX) for name in names if name.startswith(JOINT_PREFIX)]
    return Limits(
        cartesian=None if in_joints else _read_cartesian(reader),
        joints={joint: _read_joint(reader, joint) for joint in joints},
        gripper_width=reader.range('limits', 'gripper_width') if grips else None)


def _read_cartesian(reader: Reader) -> CartesianLimits:
    x, y, z = (reader.range('limits', 'workspace', axis) for axis in TRANSLATION_NAMES)
    return CartesianLimits((x, y, z), *(reader.number('limits', name) for name in (
        'linear_velocity', 'angular_velocity', 'linear_acceleration', 'angular_acceleration',
        'step')))


def _read_joint(reader: Reader, joint: str) -> JointLimits:
    path = ('limits', 'joints', joint)
    return JointLimits(reader.range(*path, 'position'), *(
        reader.number(*path, name) for name in ('velocity', 'acceleration', 'step')))
