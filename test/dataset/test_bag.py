# SPDX-License-Identifier: Apache-2.0
"""A recording gives its messages in order, or says what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.dataset.bag import Bag, IMAGE, NUMBERS, POSE, READABLE, STRING, Wanted
from vla_drop_ros.errors import DatasetError
from vla_drop_ros.runtime.images import rgb_from
from vla_drop_ros.runtime.robot_inputs import pose_values, stamp_of

Record = Callable[..., Any]


@pytest.fixture
def path(record: Record) -> Path:
    """Return a bag of three messages."""
    recording = record()
    recording.say('go')
    recording.image('front', 1.25)
    recording.pose(1.5, 0.4)
    return Path(recording.close())


def test_messages_come_in_order_with_their_fields(path: Path) -> None:
    """Topic, text, picture and pose are what was written."""
    with Bag(path) as bag:
        assert bag.topics['/instruction'] == STRING and bag.counts['/ee_pose'] == 1
        said, image, pose = bag.read(bag.topics)
        assert [topic for topic, _ in bag.read({'/ee_pose', '/instruction'})] == [
            '/instruction', '/ee_pose']
    assert said.message.data == 'go'
    assert rgb_from(image.message).shape == (20, 20, 3) and image.message.data[0] == 125
    assert pose_values(pose.message) == ([0.4, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0])
    assert stamp_of(pose.message) == 1.5


def test_the_file_alone_is_enough(path: Path) -> None:
    """A .mcap that was copied without metadata.yaml is read too."""
    with Bag(next(path.glob('*.mcap'))) as bag:
        assert len(list(bag.read(bag.topics))) == 3


def test_topics_that_nobody_asked_for_are_not_read(record: Record) -> None:
    """Types that this cannot decode do not matter unless they are wanted."""
    recording = record()
    recording.say('go')
    recording.write('flag', 'std_msgs/msg/Bool', data=True)
    with Bag(recording.close()) as bag:
        assert len(list(bag.read({'/instruction'}))) == 1 and not list(bag.read({'/absent'}))
        with pytest.raises(DatasetError, match=r'/flag is of type std_msgs/msg/Bool; valid: '):
            list(bag.read({'/flag'}))


def test_missing_topics_are_named_at_once(path: Path) -> None:
    """What is absent or of another type, what else helps, and what there is."""
    with Bag(path) as bag, pytest.raises(DatasetError) as caught:
        bag.require({'/ee_pose': Wanted((POSE,)), '/instruction': Wanted((NUMBERS,)),
                     '/wrist_camera/image_raw': Wanted((IMAGE,), 'or look away')})
    text = str(caught.value)
    for part in ('/wrist_camera/image_raw (sensor_msgs/msg/Image) is missing (or look away)',
                 '/instruction is std_msgs/msg/String, not std_msgs/msg/Float64MultiArray',
                 'It has: /ee_pose (geometry_msgs/msg/PoseStamped, 1)', '--namespace'):
        assert part in text
    assert '/ee_pose (geometry_msgs/msg/PoseStamped) is missing' not in text


def test_what_is_no_bag_is_named(path: Path, tmp_path: Path) -> None:
    """Nothing there, a text, a folder without metadata, a file that was cut off."""
    (tmp_path / 'notes.txt').write_text('no bag')
    (tmp_path / 'empty').mkdir()
    file = next(path.glob('*.mcap'))
    (tmp_path / 'cut.mcap').write_bytes(file.read_bytes()[:-100])
    for name, said in (('absent', 'does not exist'), ('notes.txt', 'cannot be read as a bag'),
                       ('empty', 'metadata.yaml is missing; give the folder'),
                       ('cut.mcap', 'ros2 bag reindex')):
        with pytest.raises(DatasetError, match=said), Bag(tmp_path / name):
            pass
    (path / 'metadata.yaml').unlink()
    with pytest.raises(DatasetError, match=f'It holds .*{file.name}.*ros2 bag reindex'), Bag(path):
        pass


def test_damage_inside_is_not_taken_for_the_end(path: Path) -> None:
    """Messages that cannot be reached are missed, by number."""
    file = next(path.glob('*.mcap'))
    data = bytearray(file.read_bytes())
    begin = data.index(b'go\0') - 40
    data[begin:begin + 60] = bytes(60)
    file.write_bytes(data)
    with Bag(path) as bag, pytest.raises(DatasetError, match='is damaged'):
        list(bag.read(bag.topics))


def test_the_messages_are_alike_in_every_ros_2() -> None:
    """One definition fits recordings of all distributions, so none is read from the bag."""
    stores = pytest.importorskip('rosbags.typesys')
    known = [stores.get_typestore(store) for store in stores.Stores
             if store.name.startswith('ROS2')]
    for kind in READABLE:
        assert len({store.hash_rihs01(kind) for store in known}) == 1
