# SPDX-License-Identifier: Apache-2.0
"""Images survive the way through a message, in every supported encoding."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from vla_drop_ros.errors import ObservationError
from vla_drop_ros.nodes.images import image_message, rgb_from

pytestmark = pytest.mark.ros

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
ENCODED = {'rgb8': RGB, 'bgr8': cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR),
           'rgba8': cv2.cvtColor(RGB, cv2.COLOR_RGB2RGBA),
           'bgra8': cv2.cvtColor(RGB, cv2.COLOR_RGB2BGRA)}


def message(data: bytes, encoding: str, step: int) -> Image:
    """Return a 7 x 5 image message."""
    return Image(height=5, width=7, encoding=encoding, step=step, data=data)


def test_round_trip() -> None:
    """What is published is what is seen, with its stamp."""
    sent = image_message(RGB, 12.25, 'front')
    assert (rgb_from(sent) == RGB).all()
    assert (sent.header.stamp.sec, sent.header.stamp.nanosec) == (12, 250_000_000)


@pytest.mark.parametrize('encoding', ENCODED)
def test_every_colour_encoding_becomes_rgb(encoding: str) -> None:
    """The channel order of the driver does not matter."""
    image = ENCODED[encoding]
    assert (rgb_from(message(image.tobytes(), encoding, 7 * image.shape[2])) == RGB).all()


def test_grey_becomes_three_equal_channels() -> None:
    """A monochrome camera can feed an RGB policy."""
    grey = RGB[..., 0]
    assert (rgb_from(message(grey.tobytes(), 'mono8', 7)) == grey[..., None]).all()


def test_padded_rows_are_cut() -> None:
    """A step larger than the row does not shear the image."""
    padded = np.zeros((5, 24), dtype=np.uint8)
    padded[:, :21] = RGB.reshape(5, 21)
    assert (rgb_from(message(padded.tobytes(), 'rgb8', 24)) == RGB).all()


def test_rgb_is_a_view() -> None:
    """No pixel is copied for the common encoding."""
    sent = image_message(RGB, 0.0, 'front')
    assert np.shares_memory(rgb_from(sent), np.frombuffer(sent.data, dtype=np.uint8))


@pytest.mark.parametrize(('data', 'encoding', 'step', 'said'), [
    (b'', 'rgb8', 21, 'cannot have 0 bytes'), (bytes(105), 'rgb8', 20, 'step 20'),
    (bytes(70), 'yuv422', 14, 'rgb8')])
def test_impossible_images_are_refused(data: bytes, encoding: str, step: int,
                                       said: str) -> None:
    """Wrong sizes and unknown encodings are named instead of shown to the policy."""
    with pytest.raises(ObservationError, match=said):
        rgb_from(message(data, encoding, step))
