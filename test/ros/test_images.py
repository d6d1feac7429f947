# SPDX-License-Identifier: Apache-2.0
"""Images survive the way through a real message."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.runtime.images import ENCODINGS, form_of, rgb_from
from vla_drop_ros.runtime.stream_health import LastBytes

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


@pytest.mark.parametrize(('ending', 'name'), [
    ('.png', 'png'), ('.png', 'rgb8; png compressed bgr8'), ('.jpg', 'jpeg'),
    ('.jpg', 'rgb8; jpeg compressed bgr8')])
def test_compressed_messages_are_decoded(ending: str, name: str) -> None:
    """A picture of a camera driver is the picture; JPEG loses a little of a smooth one."""
    smooth = cv2.resize(RGB[:2, :2], (64, 48), interpolation=cv2.INTER_LINEAR)
    _, encoded = cv2.imencode(ending, cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))
    sent = CompressedImage(format=name, data=encoded.tobytes())
    assert np.abs(rgb_from(sent).astype(int) - smooth).max() <= (0 if ending == '.png' else 12)
    assert form_of(sent) == f'64x48 {name}'


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_messages_of_every_encoding_are_read_where_they_lie(encoding: str) -> None:
    """The buffer of a real message is what is decoded and compared, whatever is in it."""
    known = ENCODINGS[encoding]
    step = 8 * known.channels * np.dtype(known.dtype).itemsize
    data = np.random.default_rng(1).integers(0, 64, 6 * step, dtype=np.uint8).tobytes()
    first, second = (Image(height=6, width=8, encoding=encoding, step=step, data=data)
                     for _ in range(2))
    last = LastBytes()
    assert not last.same(first.data) and last.same(second.data)
    second.data[0] ^= 1
    assert not last.same(second.data)
    assert rgb_from(first).shape == (6, 8, 3) and form_of(first) == f'8x6 {encoding}'
