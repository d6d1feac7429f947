# SPDX-License-Identifier: Apache-2.0
"""A contract in words, with units, as one would explain it beside the robot."""

from collections.abc import Iterator

from vla_drop_ros.robot_contract import Range, RobotContract, Stream
from vla_drop_ros.types import TRANSLATION_NAMES

MESSAGES = {'pose': 'geometry_msgs/PoseStamped', 'twist': 'geometry_msgs/TwistStamped',
            'joint_trajectory': 'trajectory_msgs/JointTrajectory'}
GRIPPERS = {'float64_multi_array': 'topic of std_msgs/Float64MultiArray, data[0] = width',
            'joint_trajectory': 'topic of trajectory_msgs/JointTrajectory',
            'parallel_gripper_command': 'action control_msgs/ParallelGripperCommand',
            'gripper_command': 'action control_msgs/GripperCommand'}


def in_words(contract: RobotContract) -> str:
    """Return the contract as text, a line a fact."""
    return '\n'.join(_lines(contract)) + '\n'


def _lines(contract: RobotContract) -> Iterator[str]:
    period = 1.0 / contract.control_rate
    yield (f'{contract.robot}: {contract.end_effector_frame} in {contract.base_frame}, commanded '
           f'at {contract.control_rate:g} Hz (every {period * 1000:.3g} ms)')
    yield (f'actions    {" ".join(contract.action.names)}, {contract.action.reference} in '
           f'{contract.action.frame}')
    for key, camera in contract.cameras.items():
        yield f'camera     {key}: {_stream(camera)}, {camera.transport}'
    yield f'           stamps of one observation at most {_ms(contract.max_skew)} apart'
    yield from _state(contract)
    yield from _command(contract)
    yield from _limits(contract)
    yield (f'motion     full speed {contract.ramp_in:g} s after it starts; without a chunk for '
           f'{contract.dead_man:g} s: {contract.fault_action}')
    yield ('           nothing of a chunk '
           + (f'{contract.max_chunk_age:g} s after its images' if contract.max_chunk_age else
              f'{contract.dead_man:g} s after its last step, however long it is'))
    yield ('interlock  ' + ('nothing moves until the service ~/enable is called'
                            if contract.interlock == 'enable' else
                            'NONE: moves as soon as a policy answers'))
    yield ('dry run    ' + ('yes: computes and reports, commands nothing' if contract.dry_run else
                            'NO: commands are sent'))


def _state(contract: RobotContract) -> Iterator[str]:
    if contract.pose is not None:
        yield f'pose       {_stream(contract.pose)}'
    if contract.joints is not None:
        yield f'joints     {_stream(contract.joints)}'
    if contract.gripper is not None:
        gripper = contract.gripper
        yield (f'gripper    width [m] = {gripper.offset:g} + {gripper.scale:g} * position of '
               f'{gripper.joint}')


def _command(contract: RobotContract) -> Iterator[str]:
    command = contract.command
    lead = f', due {_ms(command.lead)} later' if command.lead else ''
    yield f'command    {command.topic}: {MESSAGES[command.adapter]}{lead}'
    servo = command.servo
    if servo.linear_scale:
        yield (f'           unitless: 1.0 means {servo.linear_scale:g} m/s and '
               f'{servo.angular_scale:g} rad/s')
    for name in filter(None, (servo.switch_command_type, servo.pause)):
        yield f'           calls {name}'
    if command.gripper is not None:
        gripper = command.gripper
        yield (f'           {gripper.topic}: {GRIPPERS[gripper.type]}, from '
               f'{gripper.hysteresis * 1000:g} mm of change'
               + (f', at most {gripper.effort:g} N' if gripper.effort else ''))


def _limits(contract: RobotContract) -> Iterator[str]:
    limits, period = contract.limits, 1.0 / contract.control_rate
    cartesian = limits.cartesian
    if cartesian is not None:
        for axis, bounds in zip(TRANSLATION_NAMES, cartesian.workspace, strict=True):
            yield f'limit      {axis} {_bounds(bounds)} m'
        yield (f'           {cartesian.linear_velocity:g} m/s (that is '
               f'{cartesian.linear_velocity * period * 1000:.3g} mm a command), '
               f'{cartesian.linear_acceleration:g} m/s^2')
        yield (f'           {cartesian.angular_velocity:g} rad/s, '
               f'{cartesian.angular_acceleration:g} rad/s^2; jump and lead at most '
               f'{cartesian.step * 1000:g} mm')
    for joint, one in limits.joints.items():
        yield (f'limit      {joint} {_bounds(one.position)} rad, {one.velocity:g} rad/s, '
               f'{one.acceleration:g} rad/s^2, jump and lead at most {one.step:g} rad')
    if limits.gripper_width is not None:
        yield f'           gripper {_bounds(limits.gripper_width)} m'


def _stream(stream: Stream) -> str:
    late = f', really {_ms(stream.latency)} older' if stream.latency else ''
    usable = _ms(stream.max_age - stream.latency)
    return f'{stream.topic}, used up to {usable} after its stamp{late}'


def _ms(seconds: float) -> str:
    return f'{seconds * 1000:g} ms'


def _bounds(bounds: Range) -> str:
    return f'{bounds[0]:g} .. {bounds[1]:g}'
