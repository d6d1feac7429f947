# SPDX-License-Identifier: Apache-2.0
"""The streams of a contract are found in a recording, and so is the robot's time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.dataset.robot_topics import absolute, find_topics, RobotTopics, StampClock
from vla_drop_ros.errors import DatasetError

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
Record = Callable[..., Any]


def find(path: Path, namespace: str = '', **needed: bool) -> RobotTopics:
    """Return the topics of a bag; everything is needed unless said otherwise."""
    with Bag(path) as bag:
        return find_topics(bag, CONTRACT, ('front', 'wrist'), namespace=namespace, **{
            'joints': True, 'instruction': True, 'command': True, 'gripper': True, **needed})


def test_names_are_resolved_as_the_nodes_do(record: Record) -> None:
    """Relative names begin at the root or at the namespace; absolute ones stay."""
    assert [absolute('a/b', ''), absolute('a', '/left/'), absolute('/a', 'left')] == [
        '/a/b', '/left/a', '/a']
    recording = record(namespace='left')
    recording.say('go')
    recording.drive(duration=0.1)
    found = find(recording.close(), 'left')
    assert found.cameras == {'/left/front_camera/image_raw': 'front',
                             '/left/wrist_camera/image_raw': 'wrist'}
    assert (found.command, found.gripper) == ('/left/target_pose', '/left/gripper_command')


def test_compressed_images_are_found_under_their_usual_name(record: Record) -> None:
    """Where only the compressed topic of image_transport was recorded, it is taken."""
    recording = record()
    recording.drive(duration=0.1, cameras=lambda stamp: ('front',))
    recording.write('wrist_camera/image_raw/compressed', 'sensor_msgs/msg/CompressedImage',
                    header=recording.header(5.0), format='png', data=np.zeros(1, np.uint8))
    found = find(recording.close(), instruction=False)
    assert found.cameras['/wrist_camera/image_raw/compressed'] == 'wrist'


def test_what_is_not_needed_may_be_absent(record: Record) -> None:
    """Without commands and instruction a bag still does for measured actions and a task."""
    recording = record()
    recording.drive(duration=0.1, commands=False)
    found = find(recording.close(), command=False, gripper=False, instruction=False)
    assert (found.command, found.gripper, found.instruction) == (None, None, None)
    assert found.motion == {'/ee_pose', '/joint_states'}
    assert '/instruction' not in found.inputs


def test_ways_out_are_named(record: Record) -> None:
    """Who lacks commands or the instruction hears what else can be done."""
    recording = record()
    recording.drive(duration=0.1, commands=False)
    with pytest.raises(DatasetError) as caught:
        find(recording.close())
    for part in ('/instruction (std_msgs/msg/String) is missing (or say with --task',
                 '/target_pose', '--actions measured'):
        assert part in str(caught.value)


def test_time_is_that_of_the_stamps(record: Record) -> None:
    """The newest stamp is now; what has no stamp, or zero, happens now."""
    recording, clock = record(), StampClock()
    recording.pose(7.5, 0.1)
    recording.pose(7.25, 0.1)
    recording.say('go')
    recording.pose(0.0, 0.1)
    with Bag(recording.close()) as bag:
        times = []
        for _, message in bag.read(bag.topics):
            clock.advance(message)
            times.append(clock.time_of(message))
    assert times == [7.5, 7.25, 7.5, 7.5]
