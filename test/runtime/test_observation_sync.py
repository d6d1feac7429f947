# SPDX-License-Identifier: Apache-2.0
"""Observations are joined by stamp with bounded skew and age; what is missing is named."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import ObservationError
from vla_drop_ros.robot_contract import RobotAction, RobotContract
from vla_drop_ros.runtime.observation_sync import ObservationSync, reads_joints, state_vector
from vla_drop_ros.runtime.watchdog import kind

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
KEYS = ('front', 'wrist')
UP = (0.0, 0.0, 0.0, 1.0)
REAL = replace(CONTRACT, interlock='enable')
JOINTS = ('shoulder', 'elbow')
IN_JOINTS = replace(CONTRACT, pose=None, action=RobotAction(
    tuple(f'joint.{name}' for name in JOINTS), 'base_link', 'absolute'))


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


def drive(sync: ObservationSync[str], speed: float, stamps: Iterable[float],
          unchanged: bool = True) -> list[tuple[str, ...]]:
    """Return the problems of the front camera after each image, while the robot moves [m/s]."""
    found = []
    for stamp in stamps:
        sync.add_pose(stamp, (speed * stamp, 0.0, 0.0), UP, 'base_link')
        sync.add_joints(stamp, {'shoulder': speed * stamp, 'elbow': 0.0})
        sync.add_image('front', stamp, 'picture', '8x6 rgb8', unchanged)
        snapshot, problems = sync.join(stamp, ('front',), False)
        assert (snapshot is None) == bool(problems)
        found.append(problems)
    return found


def ticks(start: float, count: int, period: float = 0.1) -> list[float]:
    """Return stamps [s]."""
    return [start + number * period for number in range(count)]


def test_everything_fresh_makes_a_snapshot() -> None:
    """Images, pose and joints of one instant come together under the capture time."""
    snapshot, problems = filled().join(10.1, KEYS, True)
    assert snapshot is not None and problems == ()
    assert snapshot.images == {'front': 'front 10.0', 'wrist': 'wrist 10.0'}
    assert snapshot.stamp == 10.0 and snapshot.pose is not None
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


def test_broken_streams_are_told_from_skew() -> None:
    """Only what cannot repair itself at the next image is called broken."""
    empty: ObservationSync[str] = ObservationSync(CONTRACT)
    sync = filled(wrist=9.8)
    found = [empty.broken]
    for one, now in ((empty, 10.0), (sync, 10.1), (sync, 10.6), (sync, 10.1)):
        assert one.join(now, KEYS, True)[0] is None
        found.append(one.broken)
    assert found == [False, True, False, True, False]
    sync.add_image('wrist', 10.0, 'again')
    assert sync.join(10.1, KEYS, True)[0] is not None and not sync.broken


@pytest.mark.parametrize('stream', ['pose', 'joints'])
def test_state_far_from_the_images_is_no_observation(stream: str) -> None:
    """Pose and joints are bound to the time of the images, not only to the present."""
    strict = replace(getattr(CONTRACT, stream), max_age=0.15)
    sync: ObservationSync[str] = ObservationSync(replace(CONTRACT, **{stream: strict}))
    sync.add_image('front', 9.8, 'picture')
    sync.add_pose(10.0 if stream == 'pose' else 9.8, (0.0, 0.0, 0.0), UP, 'base_link')
    sync.add_joints(10.0 if stream == 'joints' else 9.8, {'joint1': 0.0})
    snapshot, problems = sync.join(10.05, ('front',), True)
    assert snapshot is None and not sync.broken and len(problems) == 1
    assert 'at the time of the images' in problems[0] and strict.topic in problems[0]


def test_stamps_of_zero_and_the_future_are_named() -> None:
    """A driver without a clock, or with another one, is named, and nothing of it is used."""
    for stamp, said in ((0.0, 'stamped zero'), (11.0, 'stamped in the future')):
        sync = filled()
        sync.add_image('front', stamp, 'picture')
        sync.add_pose(stamp, (0.0, 0.0, 0.0), UP, 'base_link')
        sync.add_joints(stamp, {'joint1': 0.0})
        snapshot, problems = sync.join(10.1, KEYS, True)
        assert snapshot is None and sync.broken
        assert [kind(problem).split(said)[0] for problem in problems] == [
            "camera 'front' ", 'end-effector pose ', 'joint states ']
        assert all(said in problem for problem in problems)


def test_one_stamp_of_zero_is_forgiven() -> None:
    """The next good message of the same stream repairs it."""
    sync = filled()
    sync.add_image('front', 0.0, 'bad')
    sync.add_image('front', 10.05, 'good')
    snapshot, _ = sync.join(10.1, KEYS, True)
    assert snapshot is not None and snapshot.images['front'] in ('front 10.0', 'good')


def test_a_frozen_camera_is_named_while_the_robot_moves() -> None:
    """A live camera that stops changing is found within a few images, and used once it changes."""
    sync: ObservationSync[str] = ObservationSync(CONTRACT)
    assert not any(drive(sync, 0.2, ticks(5.0, 20), unchanged=False))
    problems = drive(sync, 0.2, ticks(7.0, 20))
    assert not any(problems[:4]) and all(problems[7:])
    assert kind(problems[-1][0]) == "camera 'front' frozen" and sync.broken
    assert 'end effector moved' in problems[-1][0] and 'front_camera' in problems[-1][0]
    assert not any(drive(sync, 0.2, ticks(9.0, 3), unchanged=False))


def test_a_scene_that_stands_still_stops_nobody() -> None:
    """While the robot rests, even a real camera may show the same picture for long."""
    sync: ObservationSync[str] = ObservationSync(REAL)
    assert not any(drive(sync, 0.0, ticks(5.0, 20), unchanged=False))
    assert not any(drive(sync, 0.0, ticks(7.0, 300)))


def test_a_simulated_camera_that_never_showed_motion_is_used() -> None:
    """Without noise and without motion in view nothing is wrong; on a real robot it is."""
    assert not any(drive(ObservationSync(CONTRACT), 0.2, ticks(5.0, 50)))
    assert kind(drive(ObservationSync(REAL), 0.2, ticks(5.0, 50))[-1][0]) == (
        "camera 'front' frozen")


def test_a_camera_that_repeats_its_last_stamp_is_frozen() -> None:
    """Messages that keep coming do not hide that they are one and the same."""
    sync: ObservationSync[str] = ObservationSync(CONTRACT)
    for now in ticks(10.0, 10):
        sync.add_pose(now, (0.0, 0.0, 0.0), UP, 'base_link')
        sync.add_image('front', 10.0, 'picture')
        _, problems = sync.join(now, ('front',), False)
    assert 'frozen (the same stamp came 10 times' in problems[0] and sync.broken


def test_a_camera_of_another_size_is_named_until_it_is_set_back() -> None:
    """Size and encoding of the first image hold until configuration; others are not used."""
    sync: ObservationSync[str] = ObservationSync(CONTRACT)
    drive(sync, 0.0, ticks(10.0, 3), unchanged=False)
    for number, form in enumerate(('16x12 rgb8', '8x6 bgr8', '8x6 rgb8')):
        stamp = 10.3 + 0.1 * number
        sync.add_image('front', stamp, form, form)
        sync.add_pose(stamp, (0.0, 0.0, 0.0), UP, 'base_link')
        snapshot, problems = sync.join(stamp, ('front',), False)
        if form == '8x6 rgb8':
            assert snapshot is not None and snapshot.images['front'] == form
        else:
            assert snapshot is None and sync.broken
            assert f'changed its images ({form}, first 8x6 rgb8; set' in problems[0]
    sync.add_image('wrist', 10.4, 'wrist')
    snapshot, _ = sync.join(10.5, KEYS, False)
    assert snapshot is not None and snapshot.images['front'] == '8x6 rgb8'


def test_a_restarted_simulator_is_joined_again() -> None:
    """When the clock was set back, nothing stamped before is mixed with what comes then."""
    sync = filled(front=10.0)
    drive(sync, 0.0, [10.2, 10.3])
    for stamp in (8.9, 9.9, 10.05):
        for key, late in (('front', 0.0), ('wrist', 0.02)):
            sync.add_image(key, stamp - late, f'new {key}', unchanged=True)
        sync.add_pose(stamp, (stamp - 10.0, 0.0, 0.0), UP, 'base_link')
        sync.add_joints(stamp, {'finger_joint1': stamp - 10.0})
    sync.add_image('wrist', 10.0, 'now')
    snapshot, problems = sync.join(10.1, KEYS, True)
    assert not problems and snapshot is not None and snapshot.stamp == 10.0
    assert snapshot.images == {'front': 'new front', 'wrist': 'now'}
    assert snapshot.joints['finger_joint1'] == pytest.approx(0.05)
    assert snapshot.pose is not None and snapshot.pose.position[0] == pytest.approx(0.0)
    assert sync.health(10.1)['front unchanged [s]'] == '1.15'


def test_a_robot_commanded_in_joints_needs_no_pose() -> None:
    """The state comes from the joints alone; poses that come all the same are not looked at."""
    sync: ObservationSync[str] = ObservationSync(IN_JOINTS)
    sync.add_image('front', 10.0, 'picture')
    sync.add_pose(10.0, (0.0, 0.0, 0.0), UP, 'elsewhere')
    assert 'joint states never received' in sync.join(10.0, ('front',), True)[1][0]
    sync.add_joints(9.99, {'shoulder': 0.5, 'elbow': -0.5})
    snapshot, problems = sync.join(10.0, ('front',), True)
    assert not problems and snapshot is not None and snapshot.pose is None
    names = ('joint.elbow', 'joint.shoulder')
    assert state_vector(snapshot, names, IN_JOINTS).tolist() == [-0.5, 0.5]
    with pytest.raises(ObservationError, match="'ee.x'"):
        state_vector(snapshot, ('ee.x',), IN_JOINTS)
    assert not [name for name in sync.health(10.0) if name.startswith('pose')]


def test_a_camera_freezes_on_a_robot_commanded_in_joints() -> None:
    """Its joints tell that it moves; half a radian is what a camera has to notice."""
    real = replace(IN_JOINTS, interlock='enable')
    assert not any(drive(ObservationSync(real), 0.1, ticks(5.0, 40)))
    assert 'joints moved' in drive(ObservationSync(real), 0.5, ticks(5.0, 40))[-1][0]


def test_health_shows_every_stream() -> None:
    """Each stream has its rate, age and losses; a camera has also its picture."""
    sync: ObservationSync[str] = ObservationSync(CONTRACT)
    assert sync.health(5.0)['front age [ms]'] == ''
    drive(sync, 0.0, [stamp for stamp in ticks(5.0, 40) if abs(stamp - 7.5) > 0.15])
    values = sync.health(9.0)
    assert values['front age [ms]'] == values['pose age [ms]'] == '100'
    assert values['front lost'] == values['pose lost'] == values['joints lost'] == '3'
    assert float(values['front rate [Hz]']) == pytest.approx(9.2, abs=0.1)
    assert values['front image'] == '8x6 rgb8' and values['front unchanged [s]'] == '3.90'
    assert values['wrist age [ms]'] == '' and all(isinstance(one, str) for one in values.values())
