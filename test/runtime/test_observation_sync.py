# SPDX-License-Identifier: Apache-2.0
"""Observations are joined by stamp with bounded skew and age; what is missing is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from vla_drop_ros.errors import ObservationError
from vla_drop_ros.robot_contract import load_contract, RobotContract
from vla_drop_ros.runtime.observation_sync import ObservationSync, reads_joints, state_vector

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
KEYS = ('front', 'wrist')
UP = (0.0, 0.0, 0.0, 1.0)


def filled(contract: RobotContract = CONTRACT, front: float = 10.0,
           wrist: float = 10.0) -> ObservationSync[str]:
    """Return a sync with one image a camera, and poses and joints from 9.7 to 10.1 s."""
    sync: ObservationSync[str] = ObservationSync(contract)
    sync.add_image('front', front, f'front {front}')
    sync.add_image('wrist', wrist, f'wrist {wrist}')
    for i in range(5):
        stamp = 9.7 + 0.1 * i
        sync.add_pose(stamp, (stamp, 0.0, 0.0), UP, 'base_link')
        sync.add_joints(stamp, {'finger_joint1': stamp / 1000, 'joint1': 1.0})
    return sync


def test_everything_fresh_makes_a_snapshot() -> None:
    """Images, pose and joints of one instant come together under the capture time."""
    snapshot, problems = filled().join(10.1, KEYS, True)
    assert snapshot is not None and problems == ()
    assert snapshot.images == {'front': 'front 10.0', 'wrist': 'wrist 10.0'}
    assert snapshot.stamp == 10.0
    assert snapshot.pose.position[0] == pytest.approx(10.0)
    assert snapshot.joints['finger_joint1'] == pytest.approx(0.01)


def test_frames_are_matched_by_stamp_not_by_arrival() -> None:
    """The frame nearest to what the slower camera shows is taken, not the newest."""
    sync = filled(wrist=9.9)
    sync.add_image('front', 9.91, 'match')
    snapshot, _ = sync.join(10.1, KEYS, False)
    assert snapshot is not None and snapshot.images['front'] == 'match'
    assert snapshot.stamp == 9.9


def test_skew_is_bounded() -> None:
    """Cameras further apart than max_skew give no observation."""
    snapshot, problems = filled(wrist=9.8).join(10.1, KEYS, False)
    assert snapshot is None and 'not synchronous' in problems[0]


def test_every_missing_stream_is_named_with_its_topic() -> None:
    """An empty start names all cameras, pose and joints at once."""
    sync: ObservationSync[str] = ObservationSync(CONTRACT)
    _, problems = sync.join(10.0, KEYS, True)
    text = '; '.join(problems)
    for part in ("camera 'front'", "camera 'wrist'", 'end-effector pose', 'joint states',
                 'front_camera/image_raw', 'ee_pose'):
        assert part in text


def test_late_camera_is_named() -> None:
    """A camera that stopped is named when its newest image exceeds its own max_age."""
    _, problems = filled().join(10.6, ('front',), False)
    assert "camera 'front' too old" in problems[0]


def test_unused_camera_may_be_absent() -> None:
    """Only the cameras of the checkpoint are waited for."""
    sync = filled()
    snapshot, _ = sync.join(10.1, ('front',), False)
    assert snapshot is not None and set(snapshot.images) == {'front'}


def test_latency_offset_moves_the_capture_time() -> None:
    """A camera whose images are older than their stamps is matched at their true time."""
    cameras = {**CONTRACT.cameras, 'front': replace(CONTRACT.cameras['front'], latency=0.1)}
    snapshot, _ = filled(replace(CONTRACT, cameras=cameras)).join(10.1, KEYS, False)
    assert snapshot is not None and snapshot.stamp == pytest.approx(9.9)


def test_pose_in_a_foreign_frame_is_named() -> None:
    """A pose in another frame is not silently taken for the base frame."""
    sync = filled()
    sync.add_pose(10.2, (0.0, 0.0, 0.0), UP, 'world')
    _, problems = sync.join(10.2, KEYS, False)
    assert "'world'" in problems[0]


def test_state_vector_follows_the_checkpoint() -> None:
    """Values come in the order and units that the checkpoint names."""
    snapshot, _ = filled().join(10.1, KEYS, True)
    assert snapshot is not None
    state = state_vector(snapshot, ('gripper.width', 'ee.x', 'ee.qw', 'joint.joint1'), CONTRACT)
    assert state == pytest.approx([0.02, 10.0, 1.0, 1.0])
    with pytest.raises(ObservationError, match='joint9'):
        state_vector(snapshot, ('joint.joint9',), CONTRACT)


def test_joints_are_read_only_when_named() -> None:
    """A checkpoint that uses the pose alone does not wait for joint states."""
    assert not reads_joints(('ee.x', 'ee.qw'))
    assert reads_joints(('ee.x', 'gripper.width')) and reads_joints(('joint.a',))
