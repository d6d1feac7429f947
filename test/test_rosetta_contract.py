# SPDX-License-Identifier: Apache-2.0
"""What rosetta says is taken; what it does not say cannot be forgotten."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_drop_ros.contract_file import load_contract, parse_contract
from vla_drop_ros.contracts.reader import TODO
from vla_drop_ros.errors import ContractError
from vla_drop_ros.rosetta_contract import Conversion, convert_rosetta

JOINTS = """\
robot_type: two_joint
robot_interface: ros2
fps: 20
x-qos: &qos {reliability: best_effort, depth: 1}
observations:
  observation.images.left.eye:
    channel: {topic: /eye/compressed, type: sensor_msgs/msg/CompressedImage, qos: *qos}
    align: {strategy: asof, timeline: header, tolerance_ms: 150}
    apply: [resize: [64, 64]]
  observation.state:
    - channel: {topic: /joint_states, type: sensor_msgs/msg/JointState}
      align: {strategy: hold, timeline: receive}
      select: [position.hip, position.knee, position.gripper]
    - channel: {topic: /odom, type: nav_msgs/msg/Odometry}
      align: {strategy: hold, timeline: header}
actions:
  action:
    channel:
      {topic: /leg/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory, safety: hold}
    align: {strategy: hold, timeline: header}
    select: [position.hip, position.knee, position.gripper]
    apply: [rad2deg, clamp: {min: -90, max: 90}]
tasks:
  task: {channel: {topic: /prompt, type: std_msgs/msg/String}}
"""
TWIST = """\
robot_type: cart
robot_interface: ros2
fps: 10
observations:
  observation.images.front:
    channel: {topic: /front/image_raw, type: sensor_msgs/msg/Image}
    align: {strategy: drop, timeline: header}
actions:
  action:
    channel: {topic: /servo/delta, type: geometry_msgs/msg/TwistStamped, safety: zeros}
    align: {strategy: hold, timeline: header}
    select: [twist.linear.x, twist.angular.z]
"""


def convert(folder: Path, text: str) -> tuple[Conversion, dict[str, Any]]:
    """Return the conversion of a text, and its YAML."""
    path = folder / 'rosetta.yaml'
    path.write_text(text, encoding='utf-8')
    conversion = convert_rosetta(path)
    return conversion, yaml.safe_load(conversion.text)


def filled(data: Any, name: str = '') -> Any:
    """Return the contract with a value for each TODO, as its owner would write it."""
    if isinstance(data, dict):
        return {key: filled(value, key) for key, value in data.items()}
    values = {'position': [-1.0, 1.0], 'gripper_width': [0.0, 0.05], 'base': 'base',
              'end_effector': 'tool', 'frame': 'base', 'type': 'joint_trajectory',
              'topic': 'fingers', 'max_age': 0.2, 'scale': 2.0, 'reference': 'delta',
              'step': 0.1, 'dead_man': 0.5, 'max_skew': 0.05}
    return values.get(name, 1.0 if name not in 'xyz' else [0.1, 0.5]) if data == TODO else data


def test_joints_topics_and_clamps_are_taken(tmp_path: Path) -> None:
    """Names, topics, ages and bounds arrive, degrees become rad, the gripper is told apart."""
    conversion, data = convert(tmp_path, JOINTS)
    assert data['robot'] == 'two_joint' and data['control_rate'] == 20.0
    assert data['cameras']['left.eye'] == {
        'topic': '/eye/compressed', 'max_age': 0.15, 'transport': 'compressed'}
    assert data['action']['names'] == ['joint.hip', 'joint.knee', 'gripper']
    assert data['command']['topic'] == '/leg/joint_trajectory'
    assert data['limits']['joints']['knee']['position'] == [-1.5708, 1.5708]
    assert data['state']['gripper']['joint'] == 'gripper'
    assert data['dry_run'] is True and data['interlock'] == 'enable'
    said = '\n'.join(conversion.left_out)
    for expected in ('actions in degrees', '/odom', 'timeline receive', 'width in m', 'tasks'):
        assert expected in said
    assert any('leg/joint_trajectory' in line for line in conversion.taken)


@pytest.mark.parametrize('text', [JOINTS, TWIST])
def test_what_is_missing_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """Exactly the keys that are TODO are refused; with values for them the contract loads."""
    conversion, data = convert(tmp_path, text)
    path = tmp_path / 'mine.yaml'
    path.write_text(conversion.text, encoding='utf-8')
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    lines = str(caught.value).splitlines()[1:]
    assert conversion.missing
    assert {line.split(': ')[1] for line in lines} == set(conversion.missing)
    assert all(f'still {TODO}' in line for line in lines)
    parse_contract(filled(data))


def test_twists_stop(tmp_path: Path) -> None:
    """A twist is commanded by the twist adapter, which stops; it is told to be a velocity."""
    conversion, data = convert(tmp_path, TWIST)
    assert data['action']['names'] == ['x', 'rz'] and data['command']['adapter'] == 'twist'
    assert data['fault_action'] == 'stop' and data['limits']['linear_velocity'] == TODO
    assert any('velocities' in line for line in conversion.left_out)


def test_a_second_command_is_left_out(tmp_path: Path) -> None:
    """One controller is commanded: a base beside the arm does not mix into its names."""
    base = TWIST.split('  action:\n')[1].join(('  action.base:\n', ''))
    conversion, data = convert(tmp_path, JOINTS.replace('tasks:', f'{base}tasks:'))
    assert data['action']['names'] == ['joint.hip', 'joint.knee', 'gripper']
    assert any('second command' in line for line in conversion.left_out)


@pytest.mark.parametrize(('text', 'said'), [
    ('a: 1', 'no contract of rosetta'), ('- 1', 'no contract of rosetta'),
    ('robot_type: a\nactions: [{key: action}]', 'version 1'),
    ('robot_type: a\nrobot_interface: zmq\nactions: {}', 'must be ros2'),
    ('robot_type: a\nactions: {action: {channel: 5}}', 'a channel with a topic')])
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file of another kind, version or interface is named as such."""
    with pytest.raises(ContractError, match=said):
        convert(tmp_path, text)
