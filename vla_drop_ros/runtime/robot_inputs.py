# SPDX-License-Identifier: Apache-2.0
"""From the messages of a robot to what a policy sees: one way, live and out of a bag.

Knows the fields of the standard messages and not their classes, so that the policy node (rclpy)
and the bag reader (no ROS) call the very same functions.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.images import Bridge, form_of, rgb_from
from vla_drop_ros.runtime.observation_sync import ObservationSync, Snapshot, state_vector
from vla_drop_ros.runtime.stream_health import LastBytes
from vla_drop_ros.types import Observation

NANOSECONDS = 1_000_000_000


class TimeFields(Protocol):
    """The fields of builtin_interfaces/Time and Duration."""

    sec: int
    nanosec: int


class HeaderFields(Protocol):
    """The fields of std_msgs/Header."""

    stamp: TimeFields
    frame_id: str


class Stamped(Protocol):
    """Any message with a header."""

    header: HeaderFields


class ImageFields(Stamped, Protocol):
    """The fields that sensor_msgs/Image and CompressedImage share."""

    data: Any


class PoseFields(Stamped, Protocol):
    """The fields of geometry_msgs/PoseStamped."""

    pose: Any


class JointFields(Stamped, Protocol):
    """The fields of sensor_msgs/JointState."""

    name: Sequence[str]
    position: Iterable[float]


class RobotInputs:
    """The streams of one robot, message by message, and the observations made of them.

    Attributes:
        contract: what the streams are.
        sync: where they are joined.

    """

    def __init__(self, contract: RobotContract, bridge: Bridge | None = None) -> None:
        """Have seen nothing yet; images are decoded by ``bridge`` where there is one."""
        self.contract = contract
        self.sync: ObservationSync[Any] = ObservationSync(contract)
        self._bridge = bridge
        self._bytes = {key: LastBytes() for key in contract.cameras}

    def add_image(self, key: str, message: ImageFields) -> None:
        """Take an image of camera ``key``; it is decoded when an observation needs it."""
        self.sync.add_image(key, stamp_of(message), message, form_of(message),
                            self._bytes[key].same(message.data))

    def add_pose(self, message: PoseFields) -> None:
        """Take a measured end-effector pose."""
        self.sync.add_pose(stamp_of(message), *pose_values(message), message.header.frame_id)

    def add_joints(self, message: JointFields) -> None:
        """Take joint positions."""
        self.sync.add_joints(stamp_of(message), joint_values(message.name, message.position))

    def health(self, now: float) -> dict[str, str]:
        """Return what diagnostics show of every stream at ``now`` [s]."""
        return self.sync.health(now)

    def losses(self, now: float) -> dict[str, float]:
        """Return camera key -> share of frames lost lately (0 .. 1), where it is too much."""
        return self.sync.losses(now)

    def observation(self, snapshot: Snapshot[Any], state_names: Sequence[str],
                    instruction: str) -> Observation:
        """Return what a policy with these state values sees of a snapshot.

        Raises:
            ObservationError: an image cannot be decoded, a joint is absent, a value is not finite.

        """
        images = {key: rgb_from(message, self._bridge)
                  for key, message in snapshot.images.items()}
        state = state_vector(snapshot, state_names, self.contract)
        return Observation(snapshot.stamp, images, state, instruction)


def seconds(time: TimeFields) -> float:
    """Return a stamp or duration in [s]."""
    return float(time.sec + time.nanosec / NANOSECONDS)


def stamp_of(message: Stamped) -> float:
    """Return the header stamp of a message, [s]."""
    return seconds(message.header.stamp)


def pose_values(message: PoseFields) -> tuple[list[float], list[float]]:
    """Return position [m] and quaternion x y z w."""
    point, turn = message.pose.position, message.pose.orientation
    return [point.x, point.y, point.z], [turn.x, turn.y, turn.z, turn.w]


def joint_values(names: Sequence[str], positions: Iterable[float]) -> dict[str, float]:
    """Return joint name -> position [rad or m]; names without a position are left out."""
    return dict(zip(names, (float(value) for value in positions), strict=False))
