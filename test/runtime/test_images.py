# SPDX-License-Identifier: Apache-2.0
"""Every supported encoding becomes the RGB picture that it stands for; anything else is named."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vla_drop_ros.errors import ObservationError
from vla_drop_ros.runtime.images import rgb_from

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
BGR = cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR)
ENCODED = {'rgb8': RGB, 'bgr8': BGR, 'rgba8': cv2.cvtColor(RGB, cv2.COLOR_RGB2RGBA),
           'bgra8': cv2.cvtColor(RGB, cv2.COLOR_RGB2BGRA)}


def raw(data: bytes, encoding: str, step: int) -> SimpleNamespace:
    """Return the fields of a 7 x 5 image message."""
    return SimpleNamespace(height=5, width=7, encoding=encoding, step=step, data=data)


def compressed(ending: str, picture: np.ndarray, name: str) -> SimpleNamespace:
    """Return the fields of a compressed image message; pictures are BGR, as OpenCV has them."""
    return SimpleNamespace(format=name, data=cv2.imencode(ending, picture)[1].tobytes())


@pytest.mark.parametrize('encoding', ENCODED)
def test_every_colour_encoding_becomes_rgb(encoding: str) -> None:
    """The channel order of the driver does not matter."""
    image = ENCODED[encoding]
    assert (rgb_from(raw(image.tobytes(), encoding, 7 * image.shape[2])) == RGB).all()


def test_grey_becomes_three_equal_channels() -> None:
    """A monochrome camera can feed an RGB policy."""
    grey = RGB[..., 0]
    assert (rgb_from(raw(grey.tobytes(), 'mono8', 7)) == grey[..., None]).all()


def test_padded_rows_are_cut() -> None:
    """A step larger than the row does not shear the image."""
    padded = np.zeros((5, 24), dtype=np.uint8)
    padded[:, :21] = RGB.reshape(5, 21)
    assert (rgb_from(raw(padded.tobytes(), 'rgb8', 24)) == RGB).all()


def test_png_is_exact_and_jpeg_is_close() -> None:
    """Compressed pictures come in RGB too, whatever image_transport calls them."""
    assert (rgb_from(compressed('.png', BGR, 'rgb8; png compressed bgr8')) == RGB).all()
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    seen = rgb_from(compressed('.jpg', smooth, 'jpeg'))
    assert np.abs(seen.astype(int) - (50, 100, 200)).max() <= 3


@pytest.mark.parametrize(('message', 'said'), [
    (raw(b'', 'rgb8', 21), 'cannot have 0 bytes'), (raw(bytes(105), 'rgb8', 20), 'step 20'),
    (raw(bytes(70), 'yuv422', 14), 'rgb8'),
    (SimpleNamespace(format='jpeg', data=b''), 'cannot be decoded'),
    (SimpleNamespace(format='jpeg', data=b'no picture'), 'valid: JPEG and PNG'),
    (compressed('.png', np.full((5, 7), 1000, np.uint16), '16UC1; png compressed'), '16UC1')])
def test_impossible_images_are_refused(message: SimpleNamespace, said: str) -> None:
    """Wrong sizes, unknown encodings and depth are named instead of shown to the policy."""
    with pytest.raises(ObservationError, match=said):
        rgb_from(message)
