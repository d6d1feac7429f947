# SPDX-License-Identifier: Apache-2.0
"""A process that publishes what a robot would: camera images and, if wanted, its state.

Settings: ``topics`` of the cameras, ``width``, ``height``, ``rate`` [Hz], ``reliable``,
``compressed`` (JPEG of quality 90), ``state`` (pose and joints of the simulated arm as well).
Asked ``{"play": seconds}`` it publishes for so long and tells how many images it ``sent``;
0 seconds: until the end. The stamp of an image is taken right before its message is filled.
"""

import time
from typing import Any

import cv2
from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState

from bench.child import Bench
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import header, pose_message
from vla_drop_ros.nodes.qos import IMAGE, STATE
from vla_drop_ros.types import ImageArray

RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2,
                      reliability=ReliabilityPolicy.RELIABLE)
JPEG_QUALITY = 90
MATCH_PERIOD = 0.01  # [s] between two looks at whether all topics have a reader


class Robot:
    """The publishers of one robot."""

    def __init__(self, node: Node, settings: dict[str, Any]) -> None:
        """Create them and draw an image."""
        self.settings = settings
        kind = CompressedImage if settings.get('compressed') else Image
        qos = RELIABLE if settings.get('reliable') else IMAGE
        self.images = [node.create_publisher(kind, topic, qos) for topic in settings['topics']]
        self.pose = node.create_publisher(PoseStamped, 'ee_pose', STATE)
        self.joints = node.create_publisher(JointState, 'joint_states', STATE)
        rows, columns = np.mgrid[:settings['height'], :settings['width']]
        self.picture: ImageArray = np.stack(  # smooth with some noise: a JPEG of usual size
            [rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
        self.picture ^= np.random.default_rng(0).integers(0, 16, self.picture.shape, np.uint8)
        self.jpeg = cv2.imencode(
            '.jpg', self.picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()

    @property
    def is_heard(self) -> bool:
        """Say whether every camera has a reader."""
        return all(publisher.get_subscription_count() for publisher in self.images)

    def publish(self) -> None:
        """Publish one image a camera, and the state."""
        for publisher in self.images:
            stamp = time.time()
            if self.settings.get('compressed'):
                message = CompressedImage(header=header(stamp, ''), format='jpeg')
                message.data.frombytes(self.jpeg)
            else:
                message = image_message(self.picture, stamp, '')
            publisher.publish(message)
        if self.settings.get('state'):
            stamp = time.time()
            self.pose.publish(pose_message(
                stamp, 'base_link', np.array([0.5, 0.0, 0.3]), np.array([1.0, 0.0, 0.0, 0.0])))
            self.joints.publish(JointState(
                header=header(stamp, ''), name=['finger_joint1'], position=[0.04]))


def main() -> None:
    """Wait for readers, then publish whenever asked."""
    bench = Bench()
    rclpy.init()
    robot = Robot(Node('bench_robot', start_parameter_services=False), bench.settings)
    while not robot.is_heard and not bench.ended.wait(MATCH_PERIOD):
        pass
    bench.tell(heard=True)
    period = 1.0 / bench.settings['rate']
    while (question := bench.asked()) is not None:
        begin, sent = time.monotonic(), 0
        while not question['play'] or sent * period < question['play']:
            robot.publish()
            sent += 1
            if bench.ended.wait(max(0.0, begin + sent * period - time.monotonic())):
                break
        bench.tell(sent=sent * len(robot.images))
    rclpy.shutdown()


if __name__ == '__main__':
    main()
