# SPDX-License-Identifier: Apache-2.0
"""From RGB arrays to sensor_msgs/Image; the other way is ``runtime/images.py``, free of ROS."""

import numpy as np
from sensor_msgs.msg import Image

from vla_drop_ros.nodes.messages import header
from vla_drop_ros.types import ImageArray


def image_message(image: ImageArray, stamp: float, frame: str) -> Image:
    """Return an rgb8 message of an RGB uint8 array, shape (H, W, 3); stamp in [s]."""
    height, width, _ = image.shape
    message = Image(header=header(stamp, frame), height=height, width=width, encoding='rgb8',
                    is_bigendian=0, step=3 * width)
    # bytes are appended in place: assigning to data checks each element where checks are on
    message.data.frombytes(np.ascontiguousarray(image).data.cast('B'))
    return message
