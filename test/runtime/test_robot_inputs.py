# SPDX-License-Identifier: Apache-2.0
"""Anything with the fields of the standard messages becomes an observation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_drop_ros.errors import ObservationError
from vla_drop_ros.robot_contract import load_contract
from vla_drop_ros.runtime.robot_inputs import joint_values, RobotInputs, seconds

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
    ({'fingers': np.nan}, 'finite'), ({'encoding': 'yuv422'}, 'yuv422')])
def test_what_no_policy_should_see_is_refused(fields: dict[str, object], said: str) -> None:
    """Neither a broken joint nor an unknown encoding becomes an observation."""
    inputs = filled(**fields)  # type: ignore[arg-type]
    snapshot, _ = inputs.sync.join(1.5, KEYS, True)
    assert snapshot is not None
    with pytest.raises(ObservationError, match=said):
        inputs.observation(snapshot, ('gripper.width',), 'go')


def test_stamps_and_joints_are_plain_numbers() -> None:
    """Nanoseconds count, and a name without a position is left out."""
    assert seconds(SimpleNamespace(sec=3, nanosec=250_000_000)) == 3.25
    assert joint_values(['a', 'b'], np.array([1.0], np.float32)) == {'a': 1.0}
