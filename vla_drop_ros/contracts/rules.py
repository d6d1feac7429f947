# SPDX-License-Identifier: Apache-2.0
"""What a contract cannot say at once, and what it can but a careful engineer would ask about."""

from collections.abc import Iterator

from vla_drop_ros.contracts.keys import Path
from vla_drop_ros.robot_contract import RobotContract, Stream
from vla_drop_ros.types import GRIPPER_NAME, JOINT_PREFIX

Said = tuple[Path, str]

SERVO_RATE = 20.0
"""Two twists in the time after which MoveIt Servo halts as it is shipped, [Hz]."""


def contradictions(contract: RobotContract) -> list[Said]:
    """Return what is well-formed but cannot be true together: (key, message)."""
    return [*_language(contract), *_times(contract), *_names(contract)]


def advice(contract: RobotContract) -> list[Said]:
    """Return what may be meant so but is worth a second look: (key, message)."""
    found: list[Said] = []
    if contract.interlock == 'none' and not contract.dry_run:
        found.append((('interlock',), 'none and dry_run false: the robot moves as soon as a '
                      'policy answers; on hardware: interlock enable, dry_run true'))
    if contract.ramp_in == 0.0:
        found.append((('ramp_in',), '0 s: full speed from the first command; try 0.5'))
    if contract.command.adapter == 'twist' and contract.control_rate < SERVO_RATE:
        found.append((('control_rate',), f'{contract.control_rate:g} Hz: MoveIt Servo halts when '
                      f'no twist came for 0.1 s; at least {SERVO_RATE:g}, or raise its '
                      'incoming_command_timeout'))
    for key, stream in contract.cameras.items():
        if contract.max_skew > stream.max_age:
            found.append((('max_skew',), f'{contract.max_skew:g} s is more than max_age of '
                          f'camera {key} ({stream.max_age:g} s), and so has no effect'))
    moves = contract.interlock == 'enable' and not contract.dry_run
    if moves and not any(stream.latency for stream in contract.cameras.values()):
        found.append((('cameras',), 'no camera has a latency: measure it (film a clock, compare '
                      'with the stamp); USB cameras have 0.03 to 0.1 s'))
    if moves and not contract.max_chunk_age:
        found.append((('max_chunk_age',), 'left out: where the policy lives but none of its '
                      'chunks can be used, the last one is executed to its end, and dead_man '
                      'counts from there; try its executed steps and two inferences'))
    gripper = contract.command.gripper
    if gripper and not gripper.type.startswith('float64') and gripper.hysteresis == 0.0:
        found.append((('command', 'gripper', 'hysteresis'),
                      f'0 m with {gripper.type}: every tick sends a goal; try 0.002'))
    return [*found, *_tight_steps(contract)]


def _tight_steps(contract: RobotContract) -> Iterator[Said]:
    """Find steps that are shorter than the way of one control period at full speed."""
    limits, period = contract.limits, 1.0 / contract.control_rate
    steps = {('limits', 'joints', joint, 'step'): (one.step, one.velocity)
             for joint, one in limits.joints.items()}
    if limits.cartesian is not None:
        cartesian = limits.cartesian
        steps['limits', 'step', '', ''] = (cartesian.step, cartesian.linear_velocity)
    for path, (step, velocity) in steps.items():
        if step < velocity * period:
            yield (tuple(part for part in path if part),
                   f'{step:g} is less than one control period at full speed '
                   f'({velocity * period:.3g}): the speed limit is never reached')


def _language(contract: RobotContract) -> Iterator[Said]:
    adapter, action = contract.command.adapter, contract.action
    if action.frame != contract.base_frame:
        yield (('action', 'frame'), f'{action.frame!r} must be frames.base '
               f'{contract.base_frame!r}: limits are checked there')
    if contract.base_frame == contract.end_effector_frame:
        yield ('frames', 'end_effector'), 'must not be frames.base'
    if action.joints and len(action.joints) + (GRIPPER_NAME in action.names) != len(action.names):
        yield (('action', 'names'), f'{list(action.names)} mix joints and poses; a robot is '
               'commanded in one of them')
    elif bool(action.joints) != (adapter == 'joint_trajectory'):
        yield (('command', 'adapter'), f'{adapter!r}: joint_trajectory needs action.names of the '
               f'form {JOINT_PREFIX}<joint>, pose and twist need names from x y z rx ry rz')
    needed = 'stop' if adapter == 'twist' else 'hold'
    if contract.fault_action != needed:
        yield (('fault_action',), f'{contract.fault_action!r}: adapter {adapter!r} needs '
               f'{needed!r} (a position controller holds, a velocity controller stops)')
    if contract.gripper is not None and contract.gripper.scale == 0.0:
        yield ('state', 'gripper', 'scale'), 'must not be 0: no width could be told or commanded'
    if contract.gripper is not None and contract.gripper.joint in action.joints:
        yield (('state', 'gripper', 'joint'), f'{contract.gripper.joint!r} is commanded as '
               f'{JOINT_PREFIX}{contract.gripper.joint} already; the gripper is its own joint')


def _times(contract: RobotContract) -> Iterator[Said]:
    period = 1.0 / contract.control_rate
    if contract.dead_man < 2.0 * period:
        yield (('dead_man',), f'{contract.dead_man:g} s is shorter than two control periods '
               f'({2.0 * period:.4g} s)')
    if 0.0 < contract.max_chunk_age < 2.0 * period:
        yield (('max_chunk_age',), f'{contract.max_chunk_age:g} s is shorter than two control '
               f'periods ({2.0 * period:.4g} s)')
    for path, stream in _streams(contract):
        if stream.latency >= stream.max_age:
            yield ((*path, 'latency'), f'{stream.latency:g} s must be less than max_age '
                   f'({stream.max_age:g} s), or nothing is ever fresh')
        if stream.max_age > contract.dead_man:
            yield ((*path, 'max_age'), f'{stream.max_age:g} s is longer than dead_man '
                   f'({contract.dead_man:g} s): the robot would move on what is older than the '
                   'time after which it has to stop')
        if stream is contract.measured and stream.max_age < period:
            yield ((*path, 'max_age'), f'{stream.max_age:g} s is shorter than one control period '
                   f'({period:.4g} s): the measurement would be late at every tick')


def _names(contract: RobotContract) -> Iterator[Said]:
    """Find one name given to two things, mostly a line that was copied and not edited."""
    seen: dict[str, Path] = {}
    for path, stream in _streams(contract):
        yield from _taken((*path, 'topic'), stream.topic, seen)
    command = contract.command
    yield from _taken(('command', 'topic'), command.topic, seen)
    if command.gripper is not None:
        yield from _taken(('command', 'gripper', 'topic'), command.gripper.topic, seen)


def _taken(path: Path, topic: str, seen: dict[str, Path]) -> Iterator[Said]:
    if topic in seen:
        yield path, f'{topic!r} is the topic of {".".join(seen[topic])} already'
    seen.setdefault(topic, path)


def _streams(contract: RobotContract) -> Iterator[tuple[Path, Stream]]:
    for key, camera in contract.cameras.items():
        yield ('cameras', key), camera
    for name, stream in (('pose', contract.pose), ('joints', contract.joints)):
        if stream is not None:
            yield ('state', name), stream
