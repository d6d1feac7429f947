# SPDX-License-Identifier: Apache-2.0
"""Where tf says that the end effector is, against the pose topic."""

from collections.abc import Iterator, Mapping

import numpy as np

from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.live.evidence import Evidence, Transform
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime import rotation
from vla_drop_ros.types import FloatArray

NEAR = 0.01
"""How far tf and the pose topic may be apart on a robot that stands still, [m]."""
NEAR_TURN = 0.05
"""The same for turning, [rad]."""
GROUP = 'frames'


def pose_in(base: str, frame: str,
            transforms: Mapping[str, Transform]) -> tuple[FloatArray, FloatArray] | None:
    """Return position [m] and quaternion of a frame in ``base``; None if tf does not join them."""
    up, down = _ancestors(frame, transforms), _ancestors(base, transforms)
    shared = next((name for name in up if name in down), None)
    if shared is None:
        return None
    position, quaternion = up[shared]
    base_position, base_quaternion = down[shared]
    back = base_quaternion * np.array([-1.0, -1.0, -1.0, 1.0])
    return (_turned(position - base_position, back), rotation.multiply(back, quaternion))


def frame_findings(contract: RobotContract, evidence: Evidence) -> Iterator[Finding]:
    """Compare tf with the pose topic, and say which frame the topic is about if not ours."""
    transforms, base, frame = (evidence.transforms, contract.base_frame,
                               contract.end_effector_frame)
    if contract.pose is None:
        return
    if transforms is None:
        yield Finding(GROUP, 'tf', 'skipped', 'tf2_msgs is not there',
                      'install ros-$ROS_DISTRO-tf2-msgs to have frames compared')
        return
    if not transforms:
        yield Finding(GROUP, 'tf', 'remark', 'nothing on /tf and /tf_static: frames not compared',
                      'start robot_state_publisher')
        return
    known = {*transforms, *(one.parent for one in transforms.values())}
    for key, name in (('frames.base', base), ('frames.end_effector', frame)):
        if name not in known:
            yield Finding(GROUP, key, 'fault', f'tf does not know {name!r}',
                          f'it has {", ".join(sorted(known))}')
    heard = evidence.heard['state.pose']
    if not {base, frame} <= known or heard.pose is None:
        return
    expected = pose_in(base, frame, transforms)
    if expected is None:
        yield Finding(GROUP, 'tf', 'fault', f'tf does not join {base!r} and {frame!r}',
                      'one tree is needed: is a static transform missing?')
        return
    yield _compared(base, frame, expected, heard.pose, transforms)


def _compared(base: str, frame: str, expected: tuple[FloatArray, FloatArray],
              measured: tuple[FloatArray, FloatArray],
              transforms: Mapping[str, Transform]) -> Finding:
    apart, turn = _difference(expected, measured)
    if apart <= NEAR and turn <= NEAR_TURN:
        return Finding(GROUP, 'tf', 'ok', f'{frame} in {base} agrees with the pose topic within '
                       f'{apart * 1000:.1f} mm and {turn:.3f} rad')
    matches = [other for other in transforms
               if (pose := pose_in(base, other, transforms)) is not None
               and np.less_equal(_difference(pose, measured), (NEAR, NEAR_TURN)).all()]
    hint = (f'the topic tells the pose of {", ".join(sorted(matches))}: correct '
            'frames.end_effector, or the broadcaster' if matches else
            'let the arm stand still; else the frames of the broadcaster differ')
    return Finding(GROUP, 'tf', 'fault', f'{frame} in {base} is {apart * 1000:.0f} mm and '
                   f'{turn:.2f} rad from the pose topic', hint)


def _difference(one: tuple[FloatArray, FloatArray],
                other: tuple[FloatArray, FloatArray]) -> tuple[float, float]:
    """Return distance [m] and angle [rad]."""
    turn = rotation.between(rotation.normalized(one[1]), rotation.normalized(other[1]))
    return float(np.linalg.norm(one[0] - other[0])), float(np.linalg.norm(turn))


def _ancestors(frame: str, transforms: Mapping[str, Transform],
               ) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return the pose of a frame in itself and in each frame above it."""
    position, quaternion = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
    found = {frame: (position, quaternion)}
    while frame in transforms and transforms[frame].parent not in found:
        above = transforms[frame]
        position = above.position + _turned(position, above.quaternion)
        quaternion = rotation.multiply(above.quaternion, quaternion)
        frame = above.parent
        found[frame] = (position, quaternion)
    return found


def _turned(vector: FloatArray, quaternion: FloatArray) -> FloatArray:
    back = quaternion * np.array([-1.0, -1.0, -1.0, 1.0])
    turned = rotation.multiply(rotation.multiply(quaternion, np.append(vector, 0.0)), back)
    return np.asarray(turned[:3])
