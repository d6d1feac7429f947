# SPDX-License-Identifier: Apache-2.0
"""The address of the console as a QR code for a terminal: a token is no fun to type on a phone."""

import cv2
import numpy as np

QUIET = 2  # [modules] of white around it
BLOCKS = {(True, True): '\u2588', (True, False): '\u2580', (False, True): '\u2584',
          (False, False): ' '}


def qr_code(text: str) -> str:
    """Return lines of half blocks that a phone's camera reads; '' where OpenCV is too old.

    White is drawn and black is left out, for terminals with a dark background.
    """
    if not hasattr(cv2, 'QRCodeEncoder_create'):  # before 4.5.5
        return ''
    modules = cv2.QRCodeEncoder_create().encode(text) > 127
    inside = modules[np.ix_(~modules.all(axis=1), ~modules.all(axis=0))]
    white = np.pad(inside, QUIET, constant_values=True)
    if len(white) % 2:
        white = np.pad(white, ((0, 1), (0, 0)), constant_values=True)
    return '\n'.join(
        ''.join(BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(white[::2], white[1::2], strict=True))
