# SPDX-License-Identifier: Apache-2.0
"""From camera messages to RGB arrays, without a copy where the encoding allows it.

One-channel images become three equal channels. Of more than 8 bits, they are mapped like this,
always, so that a policy sees in deployment what it saw in training:

- ``mono16``: 0..65535 to 0..255, that is value / 257, rounded (what cv_bridge does, too).
- ``16UC1`` (depth in mm) and ``32FC1`` (depth in m): one grey level for every ``DEPTH_LEVEL``
  metres, rounded; farther than 255 levels is 255. No measurement (0, NaN, -inf) is 0.
"""

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from vla_drop_ros.errors import ObservationError, unknown
from vla_drop_ros.types import ImageArray

DEPTH_LEVEL = 0.01
"""Depth of one grey level, [m]; 255 levels reach 2.55 m."""
MIN_MOSAIC = 4
"""Smallest side of a Bayer image, [px]; colours are interpolated from the neighbours."""


class Encoding(NamedTuple):
    """How the pixels of a raw image lie in memory.

    Attributes:
        dtype: of one value, without byte order.
        channels: values a pixel.
        code: of the OpenCV conversion to RGB; None when it is RGB.
        scale: grey levels a unit of a value; None when a value is a grey level.

    """

    dtype: str
    channels: int
    code: int | None
    scale: float | None = None


_UYVY = Encoding('u1', 2, cv2.COLOR_YUV2RGB_UYVY)
_YUYV = Encoding('u1', 2, cv2.COLOR_YUV2RGB_YUY2)
ENCODINGS = {
    'rgb8': Encoding('u1', 3, None),
    'bgr8': Encoding('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': Encoding('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': Encoding('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': Encoding('u1', 1, cv2.COLOR_GRAY2RGB),
    'mono16': Encoding('u2', 1, cv2.COLOR_GRAY2RGB, 255.0 / 65535.0),
    '16UC1': Encoding('u2', 1, cv2.COLOR_GRAY2RGB, 0.001 / DEPTH_LEVEL),
    '32FC1': Encoding('f4', 1, cv2.COLOR_GRAY2RGB, 1.0 / DEPTH_LEVEL),
    # OpenCV names a mosaic by its second row and column, ROS by its first.
    'bayer_rggb8': Encoding('u1', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': Encoding('u1', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': Encoding('u1', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': Encoding('u1', 1, cv2.COLOR_BayerGB2RGB),
    'yuv422': _UYVY, 'uyvy': _UYVY, 'yuv422_yuy2': _YUYV, 'yuyv': _YUYV}
DEPTH = ('16UC1', '32FC1')
HEADER_BYTES = 1 << 17
"""Where the size of a picture is looked for; metadata before it have at most 64 KiB a piece."""
MOSAIC = 'bayer_'
NOT_BRIDGED = ('rgb8', 'uyvy', 'yuyv')
"""What cv_bridge would copy without need, or does not know."""
MAX_PIXELS = 1 << 26
"""Of a picture; a damaged header asks for gigabytes and seconds."""
DEEP_PICTURES = ('mono16', '16UC1')
"""Encodings whose PNG of 16 bits can be read."""


class RawImage(Protocol):
    """A sensor_msgs/Image; ``data`` is anything with a buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImage(Protocol):
    """A sensor_msgs/CompressedImage of JPEG or PNG."""

    format: str
    data: Any


ImageMessage = RawImage | CompressedImage


class Bridge(Protocol):
    """What is used of cv_bridge.CvBridge."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = 'passthrough') -> Any:
        """Return the pixels of a raw image in an encoding."""

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: Any,
                                 desired_encoding: str = 'passthrough') -> Any:
        """Return the decoded picture, channels in the order of OpenCV."""


def rgb_from(message: ImageMessage, bridge: Bridge | None = None) -> ImageArray:
    """Return the image as RGB uint8, shape (H, W, 3); rgb8 is a read-only view of the message.

    Args:
        message: raw or compressed.
        bridge: cv_bridge, where it works; the result is the same without it.

    Raises:
        ObservationError: the encoding is not supported, sizes and data do not agree, or what
            should be a picture is none, or only a part of one.

    """
    if hasattr(message, 'format'):
        return _from_compressed(message, bridge)
    if message.encoding not in ENCODINGS:
        raise ObservationError(unknown('image encoding', message.encoding, ENCODINGS)
                               + ' Set the camera driver to one of them.')
    pixels = _pixels(message)
    if bridge is not None and message.encoding not in NOT_BRIDGED:
        seen = _bridged(message, bridge)
        if seen is not None:
            return seen
    return _to_rgb(pixels, message.encoding)


def form_of(message: Any) -> str:
    """Return size and encoding, such as '640x480 rgb8'; '' for an image without a size."""
    if hasattr(message, 'format'):
        width, height = _size_of_picture(memoryview(message.data)[:HEADER_BYTES].tobytes())
        encoding = message.format
    else:
        width, height, encoding = message.width, message.height, message.encoding
    return f'{width}x{height} {encoding}' if width and height else ''


def _pixels(message: RawImage) -> np.ndarray[Any, Any]:
    """Return a view of the pixels, shape (H, W) or (H, W, channels); checks all sizes."""
    known = ENCODINGS[message.encoding]
    dtype, channels = np.dtype(known.dtype), known.channels
    pixel, size = dtype.itemsize * channels, len(message.data)
    height, width, step = message.height, message.width, message.step
    problem = ''
    if width == 0 or height == 0 or step < width * pixel or size != height * step:
        problem = f'cannot have {size} bytes'
    elif step % dtype.itemsize:
        problem = f'is not aligned to its values of {dtype.itemsize} bytes'
    elif channels == 2 and width % 2:
        problem = 'is impossible: two pixels share their colour, the width is even'
    elif message.encoding.startswith(MOSAIC) and min(width, height) < MIN_MOSAIC:
        problem = f'is too small: at least {MIN_MOSAIC} pixels a side'
    if problem:
        raise ObservationError(f'image of {width}x{height} {message.encoding} with step {step} '
                               f'{problem}; check the camera driver')
    if dtype.itemsize > 1:
        dtype = dtype.newbyteorder('>' if message.is_bigendian else '<')
    shape, strides = (height, width, channels), (step, pixel, dtype.itemsize)
    pixels: np.ndarray[Any, Any] = np.ndarray(shape, dtype, message.data, strides=strides)
    pixels.flags.writeable = False
    return pixels[..., 0] if channels == 1 else pixels


def _to_rgb(pixels: np.ndarray[Any, Any], encoding: str) -> ImageArray:
    """Return RGB of pixels that have the shape of their encoding."""
    known = ENCODINGS[encoding]
    if known.code is None:
        return pixels
    if known.scale is not None:
        if not pixels.dtype.isnative:
            pixels = pixels.astype(pixels.dtype.newbyteorder('='))
        if pixels.dtype.kind == 'f':
            # unlike maximum and minimum, these take the number of a number and NaN
            pixels = np.fmin(np.fmax(pixels, np.float32(0.0)), np.float32(255.0 / known.scale))
        pixels = cv2.convertScaleAbs(pixels, alpha=known.scale)
    return np.asarray(cv2.cvtColor(pixels, known.code), dtype=np.uint8)


def _bridged(message: RawImage, bridge: Bridge) -> ImageArray | None:
    """Return what cv_bridge makes of a valid message, or None where it is not to be trusted."""
    known = ENCODINGS[message.encoding]
    if message.step != message.width * np.dtype(known.dtype).itemsize * known.channels:
        return None  # some versions do not know the step, others shift the rows of some
    is_depth = message.encoding in DEPTH  # no colour for cv_bridge: it would refuse
    try:
        seen = bridge.imgmsg_to_cv2(message, 'passthrough' if is_depth else 'rgb8')
        image = np.asarray(_to_rgb(seen, message.encoding) if is_depth else seen)
    except Exception:  # noqa: BLE001 - foreign code of many builds; ours does the same
        return None
    fits = image.shape == (message.height, message.width, 3) and image.dtype == np.uint8
    return image if fits else None


def _from_compressed(message: Any, bridge: Bridge | None) -> ImageArray:
    """Decode, then undo what image_transport did; the ``format`` says what that was."""
    name = message.format
    if 'compressedDepth' in name:
        raise ObservationError(
            f'image of format {name!r} is of the transport compressedDepth, which is not read; '
            'choose the raw topic of the depth camera, transport: raw')
    image = _decoded(message, bridge)
    source, _, target = name.partition(';')
    if image is None or not _is_readable(image, source):
        raise ObservationError(
            f'compressed image of format {name!r} with {len(message.data)} bytes cannot be '
            'decoded; valid: whole JPEG and PNG images of 8 bits, PNG of '
            f'{" or ".join(DEEP_PICTURES)}. Look at it with rqt_image_view, or use the raw topic')
    if image.ndim == 2:
        is_mosaic = source.startswith(MOSAIC) and source in ENCODINGS and 'mono' not in target
        return _to_rgb(image, source if is_mosaic or image.dtype != np.uint8 else 'mono8')
    if image.shape[2] == 4:
        return _to_rgb(image, 'bgra8')
    # image_transport says which of the two orders it gave to the encoder as if it were BGR
    return _to_rgb(image, 'rgb8' if 'compressed rgb' in target else 'bgr8')


def _is_readable(image: np.ndarray[Any, Any], source: str) -> bool:
    if image.ndim == 2:
        return image.dtype == np.uint8 or image.dtype == np.uint16 and source in DEEP_PICTURES
    return image.dtype == np.uint8 and image.shape[2] in (3, 4)


def _decoded(message: Any, bridge: Bridge | None) -> np.ndarray[Any, Any] | None:
    """Return the picture as it was encoded; None when there is no whole one."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    width, height = _size_of_picture(data[:HEADER_BYTES].tobytes())
    if not 0 < width * height <= MAX_PIXELS or not _is_whole(data.tobytes()):
        return None
    if bridge is not None:
        try:
            seen = bridge.compressed_imgmsg_to_cv2(message)
            if seen is not None:
                return np.asarray(seen)
        except Exception:  # noqa: BLE001 - foreign code of many builds; ours does the same
            pass
    try:
        return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header with an impossible size, for instance
        return None


def _is_whole(data: bytes) -> bool:
    """Say whether a JPEG or PNG has its end; some decoders fill what is missing with grey."""
    if data.startswith(b'\xff\xd8'):
        return data.rfind(b'\xff\xd9') > data.rfind(b'\xff\xda')  # end of image, start of scan
    place = 8 if data.startswith(b'\x89PNG') else len(data)
    while place < len(data) and data[place + 4:place + 8] != b'IEND':
        place += 12 + int.from_bytes(data[place:place + 4], 'big')
    return place < len(data)


def _size_of_picture(data: bytes) -> tuple[int, int]:
    """Return width and height [px] from the header of a JPEG or PNG; zero without one."""
    if data.startswith(b'\x89PNG') and len(data) >= 24:
        return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
    place = 2
    while data.startswith(b'\xff\xd8') and data[place:place + 1] == b'\xff' and (
            place + 9 <= len(data)):
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            return (int.from_bytes(data[place + 7:place + 9], 'big'),
                    int.from_bytes(data[place + 5:place + 7], 'big'))
        place += 2 + int.from_bytes(data[place + 2:place + 4], 'big')
    return 0, 0
