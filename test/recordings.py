# SPDX-License-Identifier: Apache-2.0
"""Recordings of an invented robot, written without ROS."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SPEED = 0.1  # [m/s] along x
LEAD = 0.05  # how far the command is ahead of the arm, [m]


class Recording:
    """A bag in the making; every message is received when the one before was, plus a little."""

    def __init__(self, path: Path, namespace: str = '') -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import get_typestore, Stores
        self.path, self._prefix = path, f'/{namespace}' if namespace else ''
        self._types = get_typestore(Stores.ROS2_HUMBLE)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Any] = {}
        self._received = 77_000_000_000  # another clock than that of the stamps

    def write(self, topic: str, kind: str, **fields: Any) -> None:
        """Write a message of a type such as std_msgs/msg/String."""
        name = f'{self._prefix}/{topic}'
        if name not in self._connections:
            self._connections[name] = self._writer.add_connection(
                name, kind, typestore=self._types)
        self._received += 1_000
        self._writer.write(self._connections[name], self._received, self._types.serialize_cdr(
            self.make(kind, **fields), kind))

    def make(self, kind: str, **fields: Any) -> Any:
        """Return a message."""
        return self._types.types[kind](**fields)

    def header(self, stamp: float, frame: str = 'base_link') -> Any:
        """Return a header."""
        total = round(stamp * 1e9)
        return self.make('std_msgs/msg/Header', frame_id=frame, stamp=self.make(
            'builtin_interfaces/msg/Time', sec=total // 10**9, nanosec=total % 10**9))

    def image(self, camera: str, stamp: float, encoding: str = 'rgb8') -> None:
        """Write a picture of 20 x 20 pixels that shows its stamp."""
        value = round(stamp * 100) % 256
        self.write(f'{camera}_camera/image_raw', 'sensor_msgs/msg/Image',
                   header=self.header(stamp, camera), height=20, width=20, encoding=encoding,
                   is_bigendian=0, step=60, data=np.full(1200, value, np.uint8))

    def pose(self, stamp: float, x: float, topic: str = 'ee_pose', frame: str = 'base_link',
             turn: float = 0.0) -> None:
        """Write a pose at (x, 0, 0.3), turned about z [rad]."""
        self.write(topic, 'geometry_msgs/msg/PoseStamped', header=self.header(stamp, frame),
                   pose=self.make('geometry_msgs/msg/Pose',
                                  position=self.make('geometry_msgs/msg/Point', x=x, y=0.0, z=0.3),
                                  orientation=self.make(
                                      'geometry_msgs/msg/Quaternion', x=0.0, y=0.0,
                                      z=float(np.sin(turn / 2)), w=float(np.cos(turn / 2)))))

    def twist(self, stamp: float, vx: float, topic: str = 'target_pose') -> None:
        """Write a velocity along x."""
        zero = self.make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)
        self.write(topic, 'geometry_msgs/msg/TwistStamped', header=self.header(stamp),
                   twist=self.make('geometry_msgs/msg/Twist', angular=zero, linear=self.make(
                       'geometry_msgs/msg/Vector3', x=vx, y=0.0, z=0.0)))

    def joints(self, stamp: float, width: float) -> None:
        """Write the fingers."""
        self.write('joint_states', 'sensor_msgs/msg/JointState', header=self.header(stamp),
                   name=['finger_joint1'], position=np.array([width / 2]),
                   velocity=np.zeros(0), effort=np.zeros(0))

    def width(self, *values: float) -> None:
        """Write a gripper command."""
        layout = self.make('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
        self.write('gripper_command', 'std_msgs/msg/Float64MultiArray', layout=layout,
                   data=np.array(values))

    def say(self, text: str) -> None:
        """Write an instruction."""
        self.write('instruction', 'std_msgs/msg/String', data=text)

    def drive(self, begin: float = 5.0, duration: float = 1.0, *, commands: bool = True,
              cameras: Callable[[float], Sequence[str]] = lambda stamp: ('front', 'wrist'),
              ) -> None:
        """Write a robot in motion: state at 50 Hz, then commands at 20 Hz, images at 10 Hz.

        The arm is at x = 0.1 * stamp, its command LEAD further; the opening is 0.04, commanded
        0.03. The images of an instant come before its state.
        """
        for tick in range(round(duration * 100) + 1):
            stamp = begin + tick / 100
            if tick % 10 == 0:
                for camera in cameras(stamp):
                    self.image(camera, stamp)
            if tick % 2 == 0:
                self.pose(stamp, SPEED * stamp)
                self.joints(stamp, 0.04)
            if commands and tick % 5 == 0:
                self.pose(stamp, SPEED * stamp + LEAD, 'target_pose')
                self.width(0.03)

    def close(self) -> Path:
        """Return the finished bag."""
        self._writer.close()
        return self.path
