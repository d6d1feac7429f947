# SPDX-License-Identifier: Apache-2.0
"""Every key of a robot contract: kind, unit, bounds, meaning, and when it is needed.

The reader, the JSON schema and the reference page are made from this one table.
"""

from dataclasses import dataclass
from typing import Literal

from vla_drop_ros.robot_contract import (
    ADAPTERS,
    FAULT_ACTIONS,
    GRIPPER_TYPES,
    INTERLOCKS,
    TRANSPORTS,
)

Kind = Literal['text', 'frame', 'topic', 'choice', 'number', 'range', 'boolean', 'names']
Need = Literal['always', 'optional', 'poses', 'joints', 'measured pose', 'measured joints',
               'gripper', 'joint_trajectory', 'unitless servo']
Path = tuple[str, ...]

CAMERA, JOINT = '<camera>', '<joint>'
NEEDS: dict[Need, str] = {
    'always': 'always',
    'optional': 'may be left out',
    'poses': 'when action.names are of x y z rx ry rz',
    'joints': 'when action.names are of joint.<joint>',
    'measured pose': 'when action.names are of x y z rx ry rz; else together or not at all',
    'measured joints': 'when joints are commanded or there is a gripper; else together or not '
                       'at all',
    'gripper': 'when action.names have gripper, or state.gripper is there',
    'joint_trajectory': 'when command.adapter is joint_trajectory',
    'unitless servo': 'both or none, with adapter twist',
}
"""When a key has to be there, in words."""

MILLIMETRES = 'is this in mm? m is needed'
DEGREES = 'is this in degrees? rad is needed'
MILLISECONDS = 'is this in ms? s is needed'


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the YAML.

    Attributes:
        name: dotted; ``<camera>`` and ``<joint>`` stand for names that the user chooses.
        kind: what the value is.
        meaning: one line, for people.
        need: when the key has to be there.
        unit: of a number, '' without one.
        low: smallest sane number.
        high: largest sane number.
        positive: the number must be greater than 0, not just not less than ``low``.
        beyond: the likely mistake when a number lies outside of the bounds.
        choices: valid texts of a choice.

    """

    name: str
    kind: Kind
    meaning: str
    need: Need = 'always'
    unit: str = ''
    low: float = 0.0
    high: float = 0.0
    positive: bool = False
    beyond: str = ''
    choices: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Return the parts of the name."""
        return tuple(self.name.split('.'))


def _time(name: str, meaning: str, high: float, need: Need = 'always',
          positive: bool = True) -> Key:
    return Key(name, 'number', meaning, need, 's', 0.0, high, positive, MILLISECONDS)


def _limit(name: str, meaning: str, unit: str, high: float, need: Need) -> Key:
    hint = DEGREES if 'rad' in unit else MILLIMETRES
    return Key(name, 'number', meaning, need, unit, 0.0, high, True, hint)


def _stream(name: str, meaning: str, need: Need) -> tuple[Key, ...]:
    return (
        Key(f'{name}.topic', 'topic', meaning, need),
        _time(f'{name}.max_age', 'oldest measurement still used: age of its stamp plus latency',
              10.0, need),
        _time(f'{name}.latency', 'how much older than its stamp the measurement really is', 2.0,
              'optional', positive=False))


KEYS: tuple[Key, ...] = (
    Key('robot', 'text', 'name of the robot, for logs and reports'),
    Key('control_rate', 'number', 'rate at which the gate commands; at least 1 / period of the '
        "checkpoint's actions", 'always', 'Hz', 1.0, 500.0, True,
        'is this a period? a rate in Hz is needed'),
    Key('frames.base', 'frame', 'frame of poses, commands and limits'),
    Key('frames.end_effector', 'frame', 'frame whose pose is measured and commanded'),
    Key('action.names', 'names', 'what the robot executes: of x y z rx ry rz, or joint.<joint> in '
        "the controller's order; gripper for an opening width"),
    Key('action.frame', 'frame', 'frame of x .. rz; must be frames.base'),
    Key('action.reference', 'choice', 'delta: displacement a step; absolute: target a step',
        choices=('delta', 'absolute')),
    *_stream(f'cameras.{CAMERA}', 'sensor_msgs/Image, or CompressedImage with transport '
             'compressed', 'always'),
    Key(f'cameras.{CAMERA}.transport', 'choice', 'raw (when left out) or compressed (JPEG, PNG)',
        'optional', choices=TRANSPORTS),
    _time('max_skew', 'largest difference of stamps between the cameras of one observation', 1.0),
    *_stream('state.pose', 'geometry_msgs/PoseStamped of frames.end_effector in frames.base',
             'measured pose'),
    *_stream('state.joints', 'sensor_msgs/JointState', 'measured joints'),
    Key('state.gripper.joint', 'text', 'joint of state.joints that tells the opening', 'gripper'),
    Key('state.gripper.scale', 'number', 'opening width = offset + position * scale; negative if '
        'the position grows while closing', 'gripper', 'm/rad or 1', -10.0, 10.0, False,
        MILLIMETRES),
    Key('state.gripper.offset', 'number', 'opening width at position 0', 'optional', 'm', -1.0,
        1.0, False, MILLIMETRES),
    Key('command.adapter', 'choice', 'pose: PoseStamped; twist: TwistStamped; joint_trajectory: '
        'JointTrajectory of one point', choices=ADAPTERS),
    Key('command.topic', 'topic', 'topic of the arm command'),
    Key('command.gripper.type', 'choice', 'float64_multi_array: data[0] = width; '
        'joint_trajectory: position of state.gripper.joint; the others: an action of '
        'control_msgs', 'gripper', choices=GRIPPER_TYPES),
    Key('command.gripper.topic', 'topic', 'topic, or name of the action', 'gripper'),
    Key('command.gripper.hysteresis', 'number', 'smallest change of width that is sent',
        'optional', 'm', 0.0, 0.1, False, MILLIMETRES),
    Key('command.gripper.effort', 'number', 'largest force of an action goal; 0 leaves it to the '
        'driver', 'optional', 'N', 0.0, 1000.0),
    _time('command.lead', 'time until the point of a joint trajectory is to be reached', 2.0,
          'joint_trajectory'),
    Key('command.servo.linear_scale', 'number', 'speed that a unitless 1.0 means to MoveIt Servo; '
        'leave out with command_in_type speed_units', 'unitless servo', 'm/s', 0.0, 5.0, True,
        MILLIMETRES),
    Key('command.servo.angular_scale', 'number', 'the same for turning', 'unitless servo',
        'rad/s', 0.0, 15.0, True, DEGREES),
    Key('command.servo.switch_command_type', 'topic', 'service moveit_msgs/ServoCommandType, '
        'called on activation', 'optional'),
    Key('command.servo.pause', 'topic', 'service std_srvs/SetBool: released on activation, set on '
        'deactivation', 'optional'),
    *(Key(f'limits.workspace.{axis}', 'range', f'{axis} of the end effector in frames.base',
          'poses', 'm', -10.0, 10.0, False, MILLIMETRES) for axis in 'xyz'),
    _limit('limits.linear_velocity', 'largest speed of the commanded target', 'm/s', 5.0, 'poses'),
    _limit('limits.angular_velocity', 'largest rotation rate of the commanded target', 'rad/s',
           15.0, 'poses'),
    _limit('limits.linear_acceleration', 'how fast the velocity may grow or turn; braking is free',
           'm/s^2', 100.0, 'poses'),
    _limit('limits.angular_acceleration', 'the same for turning', 'rad/s^2', 500.0, 'poses'),
    _limit('limits.step', 'largest jump between two commands, and lead over the measured pose',
           'm', 0.5, 'poses'),
    Key(f'limits.joints.{JOINT}.position', 'range', 'of the joint', 'joints', 'rad or m', -25.0,
        25.0, False, DEGREES),
    _limit(f'limits.joints.{JOINT}.velocity', 'largest speed of the commanded position',
           'rad/s or m/s', 15.0, 'joints'),
    _limit(f'limits.joints.{JOINT}.acceleration', 'how fast the speed may grow; braking is free',
           'rad/s^2 or m/s^2', 500.0, 'joints'),
    _limit(f'limits.joints.{JOINT}.step', 'largest jump between two commands, and lead over the '
           'measured position', 'rad or m', 1.6, 'joints'),
    Key('limits.gripper_width', 'range', 'opening width that may be commanded', 'gripper', 'm',
        0.0, 0.5, False, MILLIMETRES),
    _time('ramp_in', 'time over which the speed limit rises when motion starts', 10.0,
          positive=False),
    _time('dead_man', 'time without a usable chunk, or a sign of life of the policy, until the '
          'fault action', 10.0),
    _time('max_chunk_age', 'time from capture after which nothing more of a chunk is executed; '
          'left out: to its end and dead_man', 10.0, 'optional'),
    Key('fault_action', 'choice', 'hold the measured pose (adapters pose, joint_trajectory) or '
        'stop with zero twist (adapter twist)', choices=FAULT_ACTIONS),
    Key('interlock', 'choice', 'enable: nothing is commanded until the service ~/enable is '
        'called; none: for simulators', choices=INTERLOCKS),
    Key('dry_run', 'boolean', 'compute and report, command nothing'),
)
"""In the order of the file."""

_BY_PATH = {key.path: key for key in KEYS}


def find_key(path: Path) -> Key | None:
    """Return the key that a path of a YAML file is, or None."""
    return _BY_PATH.get(_general(path))


def children(path: Path) -> set[str]:
    """Return the names that may stand below a path; names of the user's are not among them."""
    place = _general(path)
    return {key.path[len(place)] for key in KEYS
            if len(key.path) > len(place) and key.path[:len(place)] == place}


def _general(path: Path) -> Path:
    """Return the path with the names that a user chose replaced by their placeholder."""
    if path[:1] == ('cameras',) and len(path) > 1:
        return ('cameras', CAMERA, *path[2:])
    if path[:2] == ('limits', 'joints') and len(path) > 2:
        return ('limits', 'joints', JOINT, *path[3:])
    return path
