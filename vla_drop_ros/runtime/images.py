# SPDX-License-Identifier: Apache-2.0
"""From camera messages to RGB arrays, without a copy where the encoding allows it."""

from typing import Any, Protocol

import cv2
import numpy as np

from vla_drop_ros.errors import ObservationError, unknown
from vla_drop_ros.types import ImageArray

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
TO_RGB = {'bgr8': cv2.COLOR_BGR2RGB, 'rgba8': cv2.COLOR_RGBA2RGB,
          'bgra8': cv2.COLOR_BGRA2RGB, 'mono8': cv2.COLOR_GRAY2RGB}


class RawImage(Protocol):
    """A sensor_msgs/Image; ``data`` is anything with a buffer of bytes."""

    height: int
    width: int
    encoding: str
    step: int
    data: Any


class CompressedImage(Protocol):
    """A sensor_msgs/CompressedImage of JPEG or PNG."""

    format: str
    data: Any


ImageMessage = RawImage | CompressedImage


def rgb_from(message: ImageMessage) -> ImageArray:
    """Return the image as RGB uint8, shape (H, W, 3); rgb8 is a read-only view of the message.

    Raises:
        ObservationError: the encoding is not supported, sizes and data do not agree, or what
            should be a picture of 8 bits a channel is none.

    """
    if hasattr(message, 'format'):
        return _decompressed(message)
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


def _decompressed(message: Any) -> ImageArray:
    data = np.frombuffer(message.data, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
    if image is None or image.dtype != np.uint8:  # depth has 16 bits
        raise ObservationError(
            f'compressed image of format {message.format!r} cannot be decoded; valid: JPEG and '
            'PNG colour images. Record the raw topic instead')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
