# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs/Image and RGB arrays, without a copy where the encoding allows it."""

import cv2
import numpy as np
from sensor_msgs.msg import Image

from vla_drop_ros.errors import ObservationError, unknown
from vla_drop_ros.nodes.messages import header
from vla_drop_ros.types import ImageArray

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
TO_RGB = {'bgr8': cv2.COLOR_BGR2RGB, 'rgba8': cv2.COLOR_RGBA2RGB,
          'bgra8': cv2.COLOR_BGRA2RGB, 'mono8': cv2.COLOR_GRAY2RGB}


def rgb_from(message: Image) -> ImageArray:
    """Return the image as RGB uint8, shape (H, W, 3); rgb8 is a read-only view of the message.

    Raises:
        ObservationError: the encoding is not supported, or sizes and data do not agree.

    """
    if message.encoding not in CHANNELS:
        raise ObservationError(unknown('image encoding', message.encoding, CHANNELS)
                               + ' Set the camera driver to one of them.')
    row = message.width * CHANNELS[message.encoding]
    data = np.frombuffer(message.data, dtype=np.uint8)
    if row == 0 or message.height == 0 or message.step < row or (
            data.size != message.height * message.step):
        raise ObservationError(
            f'image of {message.width}x{message.height} {message.encoding} with step '
            f'{message.step} cannot have {data.size} bytes; check the camera driver')
    image = data.reshape(message.height, message.step)[:, :row]
    image = image.reshape(message.height, message.width, CHANNELS[message.encoding])
    if message.encoding == 'rgb8':
        return image
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), TO_RGB[message.encoding]),
                      dtype=np.uint8)


def image_message(image: ImageArray, stamp: float, frame: str) -> Image:
    """Return an rgb8 message of an RGB uint8 array, shape (H, W, 3); stamp in [s]."""
    height, width, _ = image.shape
    message = Image(header=header(stamp, frame), height=height, width=width, encoding='rgb8',
                    is_bigendian=0, step=3 * width)
    # bytes are appended in place: assigning to data checks each element where checks are on
    message.data.frombytes(np.ascontiguousarray(image).data.cast('B'))
    return message
