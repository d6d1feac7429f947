# SPDX-License-Identifier: Apache-2.0
"""How well the scene before the camera matches the reference image of its condition.

Structural similarity in small windows, a score for the worst of them: the mean over a picture
would hardly see a cube that lies a hand too far left. ``match.js`` computes the same in the
browser while people arrange the scene; this file computes what the log keeps.
"""

import cv2
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 96, 72  # both pictures are averaged down to it: what is finer is noise
WINDOW, STRIDE = 8, 4  # [pixels] of the small picture
WORST = 20  # of the 391 windows; a cube of 5 cm on a table covers about as many
CONTRAST = 100.0  # [grey levels^2] variance below which a difference is the camera's noise
GAINS = (0.7, 1.4)  # of exposure that are forgiven
TOLERANCE = 0.75  # from here on the scene is as in the picture, for people at the table

Image = npt.NDArray[np.uint8]
Planes = npt.NDArray[np.float64]


def match_of(live: bytes, reference: bytes) -> float:
    """Return how well two encoded pictures (JPEG, PNG) match, 0..1.

    Raises:
        ValueError: one of them is no picture.

    """
    return match(_decode(live), _decode(reference))


def match(live: Image, reference: Image) -> float:
    """Return how well two pictures match: 1 the same, 0 nothing alike in the worst places.

    The pictures may differ in size, in brightness as a whole, and by the noise of a camera.

    Args:
        live: what the camera sees. Shape (height, width, 3), any order of colours.
        reference: the arranged scene, colours in the same order. Shape (height, width, 3).

    """
    ours, theirs = _small(live), _small(reference)
    similar = _similarity(_exposed_as(ours, theirs), theirs)
    worst = np.sort(similar.ravel())[:WORST]
    return float(np.clip(worst.mean(), 0.0, 1.0))


def _exposed_as(ours: Planes, theirs: Planes) -> Planes:
    """Undo what auto-exposure changed: a gain within limits, and an offset a colour."""
    gain = (theirs.std() + 1.0) / (ours.std() + 1.0)
    centred = ours - ours.mean(axis=(0, 1))
    exposed: Planes = centred * np.clip(gain, *GAINS) + theirs.mean(axis=(0, 1))
    return exposed


def _similarity(ours: Planes, theirs: Planes) -> Planes:
    """Return the similarity of every window, its least similar colour."""
    mean, other = _averages(ours), _averages(theirs)
    variance = _averages(ours * ours) - mean * mean
    variance_other = _averages(theirs * theirs) - other * other
    shared = _averages(ours * theirs) - mean * other
    apart = (mean - other) ** 2
    brightness = CONTRAST / (CONTRAST + apart)
    structure = (2 * shared + CONTRAST) / (variance + variance_other + CONTRAST)
    least: Planes = (brightness * structure).min(axis=2)
    return least


def _averages(planes: Planes) -> Planes:
    """Return the mean of every window. Shape (rows, columns, 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(planes, (WINDOW, WINDOW), axis=(0, 1))
    means: Planes = windows[::STRIDE, ::STRIDE].mean(axis=(3, 4))
    return means


def _small(image: Image) -> Planes:
    """Return the picture averaged down. Shape (HEIGHT, WIDTH, 3)."""
    return cv2.resize(image.astype(np.float32), (WIDTH, HEIGHT),
                      interpolation=cv2.INTER_AREA).astype(np.float64)


def _decode(picture: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) if picture else None
    if image is None:
        raise ValueError(f'{len(picture)} bytes that are no picture')
    return image
