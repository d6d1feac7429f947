# SPDX-License-Identifier: Apache-2.0
"""Anything with the fields of the standard messages becomes an observation."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import ObservationError
from vla_drop_ros.runtime.robot_inputs import joint_values, RobotInputs, seconds

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
KEYS = ('front', 'wrist')


def stamped(stamp: float, frame: str = 'base_link', **fields: object) -> SimpleNamespace:
    """Return a message with a header."""
    time = SimpleNamespace(sec=int(stamp), nanosec=round(stamp % 1 * 1e9))
    return SimpleNamespace(header=SimpleNamespace(stamp=time, frame_id=frame), **fields)


def filled(fingers: float = 0.02, encoding: str = 'rgb8') -> RobotInputs:
    """Return inputs that have heard every stream at 1.5 s."""
    inputs = RobotInputs(CONTRACT)
    for key, value in zip(KEYS, (10, 20), strict=True):
        inputs.add_image(key, stamped(1.5, key, height=2, width=2, step=6, encoding=encoding,
                                      data=bytes([value] * 12)))
    inputs.add_pose(stamped(1.5, pose=SimpleNamespace(
        position=SimpleNamespace(x=0.5, y=0.1, z=0.3),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0))))
    inputs.add_joints(stamped(1.5, name=['finger_joint1', 'no_position'], position=[fingers]))
    return inputs


def test_messages_become_an_observation() -> None:
    """Images are decoded, the state is in the order asked for, the instruction is kept."""
    inputs = filled()
    snapshot, problems = inputs.sync.join(1.5, KEYS, True)
    assert snapshot is not None and not problems
    seen = inputs.observation(snapshot, ('gripper.width', 'ee.x', 'ee.z'), 'go')
    assert seen.stamp == 1.5 and seen.instruction == 'go'
    assert seen.state == pytest.approx([0.04, 0.5, 0.3])
    assert {key: int(image[0, 0, 0]) for key, image in seen.images.items()} == {
        'front': 10, 'wrist': 20}


@pytest.mark.parametrize(('fields', 'said'), [
    ({'fingers': np.nan}, 'finite'), ({'encoding': 'nv21'}, 'nv21')])
def test_what_no_policy_should_see_is_refused(fields: dict[str, object], said: str) -> None:
    """Neither a broken joint nor an unknown encoding becomes an observation."""
    inputs = filled(**fields)  # type: ignore[arg-type]
    snapshot, _ = inputs.sync.join(1.5, KEYS, True)
    assert snapshot is not None
    with pytest.raises(ObservationError, match=said):
        inputs.observation(snapshot, ('gripper.width',), 'go')


def seen_by(inputs: RobotInputs, stamp: float, x: float, **front: object) -> tuple[str, ...]:
    """Return the problems after an image of the front camera and a pose."""
    fields = {'height': 6, 'width': 8, 'step': 24, 'encoding': 'rgb8', 'data': PIXELS.tobytes()}
    inputs.add_image('front', stamped(stamp, 'front', **(fields | front)))
    inputs.add_pose(stamped(stamp, pose=SimpleNamespace(
        position=SimpleNamespace(x=x, y=0.0, z=0.3),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0))))
    return inputs.sync.join(stamp, ('front',), False)[1]


@pytest.mark.parametrize('noise', [0, 1])
def test_pixels_that_ignore_motion_freeze_a_camera(noise: int) -> None:
    """The bytes are compared: one bit of noise in one pixel is enough to be alive."""
    inputs = RobotInputs(replace(CONTRACT, interlock='enable'))
    found = []
    for number in range(20):
        pixels = PIXELS.copy()
        pixels[3, 4, 1] ^= noise * (number % 2)
        found.append(seen_by(inputs, 5.0 + 0.1 * number, 0.02 * number, data=pixels.tobytes()))
    assert bool(found[-1]) == (not noise)
    assert noise or "camera 'front' frozen" in found[-1][0]


def test_another_resolution_is_named() -> None:
    """The driver was set to another mode: its images are not given to the policy."""
    inputs = RobotInputs(CONTRACT)
    assert not seen_by(inputs, 5.0, 0.5)
    assert '(4x6 rgb8, first 8x6 rgb8' in seen_by(
        inputs, 5.1, 0.5, width=4, step=12, data=bytes(72))[0]
    assert '(8x6 bgr8, first 8x6 rgb8' in seen_by(inputs, 5.2, 0.5, encoding='bgr8')[0]
    assert not seen_by(inputs, 5.3, 0.5)


def test_compressed_and_raw_cameras_stand_side_by_side() -> None:
    """A JPEG has a size and bytes, too; what is no picture is stored and named when decoded."""
    inputs = filled()
    data = cv2.imencode('.png', PIXELS[..., ::-1])[1].tobytes()
    inputs.add_image('wrist', stamped(1.6, 'wrist', format='rgb8; png compressed bgr8', data=data))
    assert 'changed its images' in inputs.sync.join(1.6, KEYS, True)[1][0]
    inputs = RobotInputs(CONTRACT)
    for stamp, content in ((5.0, data), (5.1, data[:50])):
        inputs.add_image('front', stamped(stamp, 'front', format='png', data=content))
        inputs.add_pose(stamped(stamp, pose=SimpleNamespace(
            position=SimpleNamespace(x=0.5, y=0.0, z=0.3),
            orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0))))
        snapshot, problems = inputs.sync.join(stamp, ('front',), False)
        assert snapshot is not None and not problems
        if content == data:
            seen = inputs.observation(snapshot, ('ee.x',), 'go')
            assert (seen.images['front'] == PIXELS).all()
        else:
            with pytest.raises(ObservationError, match='cannot be decoded'):
                inputs.observation(snapshot, ('ee.x',), 'go')


def test_a_bridge_decodes_the_images() -> None:
    """Whoever hands over cv_bridge has it used."""
    class Bridge:
        def imgmsg_to_cv2(self, img_msg: object, desired_encoding: str = 'passthrough') -> object:
            return np.full((2, 2, 3), 77, np.uint8)

        compressed_imgmsg_to_cv2 = imgmsg_to_cv2

    inputs = RobotInputs(CONTRACT, Bridge())
    seen_by(inputs, 5.0, 0.5, height=2, width=2, step=6, encoding='bgr8', data=bytes(12))
    snapshot, _ = inputs.sync.join(5.0, ('front',), False)
    assert snapshot is not None
    assert (inputs.observation(snapshot, ('ee.x',), 'go').images['front'] == 77).all()


def test_health_is_flat_text() -> None:
    """Diagnostics get what they show as it is: one value a name."""
    values = filled().health(1.7)
    assert values['front age [ms]'] == values['joints age [ms]'] == '200'
    assert values['wrist image'] == '2x2 rgb8' and values['pose lost'] == '0'


def test_stamps_and_joints_are_plain_numbers() -> None:
    """Nanoseconds count, and a name without a position is left out."""
    assert seconds(SimpleNamespace(sec=3, nanosec=250_000_000)) == 3.25
    assert joint_values(['a', 'b'], np.array([1.0], np.float32)) == {'a': 1.0}
