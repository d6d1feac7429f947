# SPDX-License-Identifier: Apache-2.0
"""Every supported encoding becomes the RGB picture that it stands for; anything else is named."""

from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from vla_drop_ros.errors import ObservationError
from vla_drop_ros.runtime.images import DEPTH_LEVEL, ENCODINGS, form_of, rgb_from

Pixels = np.ndarray[Any, Any]

HEIGHT, WIDTH = 6, 8
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
BGR = RGB[..., ::-1].copy()
OPAQUE = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
GREY = RGB[..., 0].copy()
DEEP = RANDOM.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
METRES = RANDOM.uniform(0.0, 4.0, (HEIGHT, WIDTH)).astype(np.float32)
RED, GREEN, BLUE = (250, 10, 30), (20, 240, 40), (35, 15, 245)
MOSAICS = {'bayer_rggb8': 'RGGB', 'bayer_bggr8': 'BGGR', 'bayer_gbrg8': 'GBRG',
           'bayer_grbg8': 'GRBG'}
YUV = {'yuv422': 'UYVY', 'uyvy': 'UYVY', 'yuv422_yuy2': 'YUYV', 'yuyv': 'YUYV'}
BRIDGED = set(ENCODINGS) - {'rgb8', 'uyvy', 'yuyv'}


def mosaic(layout: str, colour: tuple[int, int, int] = RED) -> Pixels:
    """Return what a sensor with a colour filter sees of a plain surface; first two rows named."""
    seen = dict(zip('RGB', colour, strict=True))
    tile = np.array([seen[letter] for letter in layout], np.uint8).reshape(2, 2)
    return np.tile(tile, (HEIGHT // 2, WIDTH // 2))


def yuv(order: str, luma: Pixels = GREY, u: int = 90, v: int = 200) -> Pixels:
    """Return pixels of 16 bits; luma shape (H, W), the colour is the same everywhere."""
    pixels = np.empty((*luma.shape, 2), np.uint8)
    luma_place = order.index('Y')
    pixels[..., luma_place] = luma
    pixels[:, ::2, 1 - luma_place], pixels[:, 1::2, 1 - luma_place] = u, v
    return pixels


def rgb_of_yuv(luma: Pixels, u: int, v: int) -> Pixels:
    """Return RGB by the formula of ITU-R BT.601, video range, as floats."""
    y = 1.164 * (luma.astype(float) - 16.0)
    red, blue = y + 1.596 * (v - 128), y + 2.018 * (u - 128)
    return np.stack([red, y - 0.813 * (v - 128) - 0.391 * (u - 128), blue], -1).clip(0, 255)


PICTURES: dict[str, Pixels] = {
    'rgb8': RGB, 'bgr8': BGR, 'rgba8': np.concatenate([RGB, OPAQUE], 2),
    'bgra8': np.concatenate([BGR, OPAQUE], 2), 'mono8': GREY, 'mono16': DEEP, '16UC1': DEEP,
    '32FC1': METRES, **{name: mosaic(layout) for name, layout in MOSAICS.items()},
    **{name: yuv(order) for name, order in YUV.items()}}


def raw(pixels: Pixels, encoding: str, padding: int = 0, big: bool = False,
        **changed: Any) -> SimpleNamespace:
    """Return the fields of an image message; padding in values at the end of each row."""
    rows = pixels.reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    data = rows.astype(rows.dtype.newbyteorder('>' if big else '<')).tobytes()
    fields = {'height': pixels.shape[0], 'width': pixels.shape[1], 'encoding': encoding,
              'is_bigendian': int(big), 'step': rows.shape[1] * rows.itemsize,
              'data': array('B', data)}
    return SimpleNamespace(**(fields | changed))


def compressed(ending: str, picture: Pixels, name: str, keep: float = 1.0) -> SimpleNamespace:
    """Return the fields of a compressed image message; pictures are BGR, as OpenCV has them."""
    data = cv2.imencode(ending, picture)[1].tobytes()
    return SimpleNamespace(format=name, data=array('B', data[:int(keep * len(data))]))


def levels(metres: Pixels) -> Pixels:
    """Return three channels of grey levels of a depth image."""
    return np.repeat(np.clip(metres / DEPTH_LEVEL, 0.0, 255.0)[..., None], 3, axis=2)


class PlainBridge:
    """Behaves like cv_bridge.CvBridge 4, including what it refuses and gets wrong."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = 'passthrough') -> Pixels:
        self.calls.append(img_msg.encoding)
        known = ENCODINGS[img_msg.encoding]
        dtype = np.dtype(known.dtype).newbyteorder('>' if img_msg.is_bigendian else '<')
        row = int(img_msg.step / dtype.itemsize / known.channels)  # a step of half a pixel is cut
        image: Pixels = np.ndarray((img_msg.height, row, known.channels), dtype, img_msg.data)
        image = image[:, :img_msg.width].astype(dtype.newbyteorder('='))
        image = image[..., 0] if known.channels == 1 else image
        if desired_encoding == 'passthrough':
            return image
        if img_msg.encoding in ('16UC1', '32FC1'):
            raise TypeError('[16UC1] is not a color format. but [rgb8] is.')
        converted = cv2.cvtColor(image, known.code or 0)
        return cv2.convertScaleAbs(converted, alpha=255.0 / 65535.0) if (
            image.dtype == np.uint16) else converted

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: Any,
                                 desired_encoding: str = 'passthrough') -> Pixels:
        self.calls.append(cmprs_img_msg.format)
        assert desired_encoding == 'passthrough'
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


class BrokenBridge:
    """A build that does not fit: every call fails."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = 'passthrough') -> Pixels:
        raise AttributeError('_ARRAY_API not found')

    compressed_imgmsg_to_cv2 = imgmsg_to_cv2


def test_all_encodings_are_tested() -> None:
    """Whoever adds an encoding adds a picture here."""
    assert set(PICTURES) == set(ENCODINGS)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_every_colour_encoding_becomes_rgb(encoding: str) -> None:
    """The channel order of the driver does not matter."""
    assert (rgb_from(raw(PICTURES[encoding], encoding)) == RGB).all()


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('padding', [0, 1, 5])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_layout_in_memory_does_not_matter(encoding: str, padding: int, big: bool) -> None:
    """Padded rows and big-endian values change nothing, nor does the message: it is only read."""
    message = raw(PICTURES[encoding], encoding, padding, big)
    before = bytes(message.data)
    seen = rgb_from(message)
    assert seen.shape == (HEIGHT, WIDTH, 3) and seen.dtype == np.uint8
    assert (seen == rgb_from(raw(PICTURES[encoding], encoding))).all()
    assert bytes(message.data) == before


@pytest.mark.parametrize('padding', [0, 3])
def test_rgb8_is_not_copied(padding: int) -> None:
    """The commonest encoding is a view of the message that cannot be written."""
    message = raw(RGB, 'rgb8', padding)
    seen = rgb_from(message)
    assert np.shares_memory(seen, np.frombuffer(message.data, np.uint8))
    assert not seen.flags.writeable and (seen == RGB).all()


def test_grey_becomes_three_equal_channels() -> None:
    """A monochrome camera can feed an RGB policy; of 16 bits, black and white stay what they are.

    All 65536 values are checked against the exact quotient.
    """
    assert (rgb_from(raw(GREY, 'mono8')) == GREY[..., None]).all()
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for big in (False, True):
        seen = rgb_from(raw(values, 'mono16', big=big))
        assert (seen == ((values.astype(int) + 128) // 257)[..., None]).all()


def test_depth_has_a_fixed_scale() -> None:
    """Millimetres and metres give the same levels, whatever else is in the picture."""
    millimetres = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    metres = (millimetres / 1000.0).astype(np.float32)
    for message in (raw(millimetres, '16UC1'), raw(metres, '32FC1', big=True)):
        assert np.abs(rgb_from(message) - levels(metres)).max() <= 0.501
    odd = np.array([[np.nan, -np.inf, np.inf, -1.0, 1e30, 1.0]], np.float32)
    assert rgb_from(raw(odd, '32FC1'))[0, :, 0].tolist() == [0, 0, 255, 0, 255, 100]


@pytest.mark.parametrize('colour', [RED, GREEN, BLUE])
@pytest.mark.parametrize('encoding', MOSAICS)
def test_mosaics_are_filled_in(encoding: str, colour: tuple[int, int, int]) -> None:
    """A plain surface comes out in its own colour behind every colour filter."""
    seen = rgb_from(raw(mosaic(MOSAICS[encoding], colour), encoding))
    assert (seen == np.array(colour)).all()


@pytest.mark.parametrize(('u', 'v'), [(128, 128), (90, 200), (200, 60)])
@pytest.mark.parametrize('encoding', YUV)
def test_yuv_is_converted(encoding: str, u: int, v: int) -> None:
    """Either order of the bytes gives the colours of the standard formula."""
    luma = np.linspace(16, 235, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)
    seen = rgb_from(raw(yuv(YUV[encoding], luma, u, v), encoding))
    assert np.abs(seen - rgb_of_yuv(luma, u, v)).max() <= 2.0


@pytest.mark.parametrize(('picture', 'name', 'wanted'), [
    (BGR, 'png', RGB), (BGR, 'rgb8; png compressed bgr8', RGB),
    (RGB, 'rgb8; png compressed rgb8', RGB), (GREY, 'png', np.repeat(GREY[..., None], 3, 2)),
    (GREY, 'mono8; png compressed ', np.repeat(GREY[..., None], 3, 2)),
    (PICTURES['bgra8'], 'rgba8; png compressed bgra8', RGB),
    (mosaic('GBRG', GREEN), 'bayer_gbrg8; png compressed ', np.full_like(RGB, GREEN)),
    (GREY, 'bayer_gbrg8; jpeg compressed mono8', np.repeat(GREY[..., None], 3, 2)),
    (DEEP, 'mono16; png compressed ', rgb_from(raw(DEEP, 'mono16'))),
    (DEEP, '16UC1; png compressed ', rgb_from(raw(DEEP, '16UC1')))])
def test_png_is_exact(picture: Pixels, name: str, wanted: Pixels) -> None:
    """Lossless pictures come out as they were, under the names that image_transport gives."""
    for bridge in (None, PlainBridge(), BrokenBridge()):
        assert (rgb_from(compressed('.png', picture, name), bridge) == wanted).all()


@pytest.mark.parametrize('name', ['jpeg', 'jpg', 'rgb8; jpeg compressed bgr8', 'bgr8; jpeg'])
def test_jpeg_is_close(name: str) -> None:
    """A smooth picture loses little, and keeps its channel order."""
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for bridge in (None, PlainBridge()):
        seen = rgb_from(compressed('.jpg', smooth, name), bridge)
        assert np.abs(seen.astype(int) - (50, 100, 200)).max() <= 3
    grey = rgb_from(compressed('.jpg', smooth[..., 0], 'mono8; jpeg compressed mono8'))
    assert np.abs(grey.astype(int) - 200).max() <= 3


@pytest.mark.parametrize('padding', [0, 1, 5])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_cv_bridge_makes_no_difference(encoding: str, padding: int) -> None:
    """With cv_bridge, without it, and with one that fails, every pixel is the same."""
    message, bridge = raw(PICTURES[encoding], encoding, padding), PlainBridge()
    alone = rgb_from(message)
    assert (rgb_from(message, bridge) == alone).all()
    assert (rgb_from(message, BrokenBridge()) == alone).all()
    assert bridge.calls == ([encoding] if encoding in BRIDGED and not padding else [])


@pytest.mark.parametrize(('message', 'said'), [
    (raw(RGB, 'rgb8', data=array('B')), 'cannot have 0 bytes'),
    (raw(RGB, 'rgb8', data=array('B', bytes(143))), 'cannot have 143 bytes'),
    (raw(RGB, 'rgb8', step=23), 'step 23'), (raw(RGB, 'rgb8', width=0), '0x6'),
    (raw(RGB, 'rgb8', height=0), '8x0'), (raw(RGB, 'rgb8', height=7), '8x7'),
    (raw(DEEP, 'mono16', step=17, data=array('B', bytes(102))), 'not aligned'),
    (raw(PICTURES['yuyv'][:, :7], 'yuyv'), 'width is even'),
    (raw(mosaic('RGGB')[:2], 'bayer_rggb8'), 'too small'),
    (raw(RGB, 'nv21'), "'nv21'; valid: .*rgb8.*camera driver"), (raw(RGB, ''), "encoding ''"),
    (raw(RGB, '8UC3'), 'rgb8'),
    (SimpleNamespace(format='jpeg', data=b''), 'with 0 bytes cannot be decoded'),
    (SimpleNamespace(format='jpeg', data=b'no picture'), 'valid: whole JPEG and PNG'),
    (SimpleNamespace(format='h264', data=bytes([0, 0, 0, 1, 103])), "'h264'.*raw topic"),
    (compressed('.jpg', BGR, 'jpeg', 0.5), 'whole'),
    (compressed('.png', BGR, 'png', 0.5), 'whole'),
    (compressed('.jpg', np.zeros((480, 640, 3), np.uint8), 'jpeg', 0.999), 'whole'),
    (compressed('.png', DEEP, 'png'), 'PNG of mono16 or 16UC1'),
    (compressed('.png', np.repeat(DEEP[..., None], 3, 2), 'rgb16; png compressed bgr16'), 'rgb16'),
    (compressed('.png', DEEP, '16UC1; compressedDepth png'), 'compressedDepth.*transport: raw')])
def test_impossible_images_are_refused(message: SimpleNamespace, said: str) -> None:
    """Wrong sizes, unknown encodings and parts of pictures are named, with a bridge or without."""
    for bridge in (None, PlainBridge()):
        with pytest.raises(ObservationError, match=said):
            rgb_from(message, bridge)


@pytest.mark.parametrize('keep', np.linspace(0.0, 0.999, 25))
def test_no_part_of_a_picture_is_shown(keep: float) -> None:
    """Wherever the transport cut a picture off, it is refused; a tail behind it is not."""
    picture = cv2.resize(BGR, (64, 48))
    for ending in ('.jpg', '.png'):
        with pytest.raises(ObservationError, match='cannot be decoded'):
            rgb_from(compressed(ending, picture, ending, keep))
    padded = compressed('.jpg', picture, 'jpeg')
    whole = rgb_from(padded)
    padded.data.extend(bytes(int(1000 * keep)))
    assert (rgb_from(padded) == whole).all()


@pytest.mark.parametrize('ending', ['.jpg', '.png'])
def test_damaged_pictures_are_shown_or_named(ending: str) -> None:
    """Whatever bytes arrive, there is an RGB picture or an ObservationError, and no other."""
    whole = bytes(compressed(ending, cv2.resize(BGR, (64, 48)), '').data)
    random, refused = np.random.default_rng(5), 0
    for _ in range(200):
        data = bytearray(whole)
        for place in random.integers(0, min(64, len(whole)), 4):  # sizes and tables
            data[place] = random.integers(256)
        message = SimpleNamespace(format='jpeg', data=bytes(data))
        form_of(message)
        try:
            assert rgb_from(message).shape[2] == 3
        except ObservationError:
            refused += 1
    huge = bytearray(compressed('.png', BGR, '').data)
    huge[16:24] = bytes([0, 0, 255, 255, 0, 0, 255, 255])
    with pytest.raises(ObservationError, match='cannot be decoded'):
        rgb_from(SimpleNamespace(format='png', data=bytes(huge)))
    assert refused > 0


def test_size_and_encoding_are_known_before_decoding() -> None:
    """The form of an image is read from its fields or its header; without a size there is none."""
    assert form_of(raw(RGB, 'rgb8')) == '8x6 rgb8'
    assert form_of(compressed('.png', BGR, 'png')) == '8x6 png'
    assert form_of(compressed('.jpg', BGR, 'jpeg')) == '8x6 jpeg'
    exif = compressed('.jpg', BGR, 'jpeg')
    exif.data[2:2] = array('B', b'\xff\xe1\xff\xff' + bytes(65533))
    exif.data[2:2] = array('B', b'\xff\xc4\x00\x0a' + bytes(8))  # tables may come first
    assert form_of(exif) == '8x6 jpeg'
    assert form_of(raw(RGB, 'rgb8', width=0)) == ''
    for data in (b'', b'\xff\xd8', b'\xff\xd8\xff', b'\x89PNG', b'no picture'):
        assert form_of(SimpleNamespace(format='jpeg', data=data)) == ''
