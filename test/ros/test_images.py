# SPDX-License-Identifier: Apache-2.0
"""Images survive the way through a real message."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.runtime.images import rgb_from

pytestmark = pytest.mark.ros

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_round_trip() -> None:
    """What is published is what is seen, with its stamp."""
    sent = image_message(RGB, 12.25, 'front')
    assert (rgb_from(sent) == RGB).all()
    assert (sent.header.stamp.sec, sent.header.stamp.nanosec) == (12, 250_000_000)


def test_rgb_is_a_view() -> None:
    """No pixel is copied for the common encoding."""
    sent = image_message(RGB, 0.0, 'front')
    assert np.shares_memory(rgb_from(sent), np.frombuffer(sent.data, dtype=np.uint8))


def test_compressed_messages_are_decoded() -> None:
    """A png of a camera driver is the picture."""
    _, encoded = cv2.imencode('.png', cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR))
    assert (rgb_from(CompressedImage(format='png', data=encoded.tobytes())) == RGB).all()
