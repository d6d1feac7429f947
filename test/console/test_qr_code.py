# SPDX-License-Identifier: Apache-2.0
"""What is printed in the terminal is read back by a QR detector."""

import cv2
import numpy as np
import pytest

from vla_drop_ros.console.qr_code import BLOCKS, qr_code

pytestmark = pytest.mark.skipif(not hasattr(cv2, 'QRCodeEncoder_create'),
                                reason='OpenCV has no QR encoder here')


@pytest.mark.parametrize('url', [
    'http://192.0.2.4:8080/?token=pZ8mJ0m1w0cPq3xYw2n4LQ', 'http://robot-pc.local:8080/'])
def test_a_phone_reads_the_address(url: str) -> None:
    """The blocks, drawn as pixels, give the address back; a terminal of 80 columns holds it."""
    lines = qr_code(url).splitlines()
    assert len(set(map(len, lines))) == 1 and len(lines[0]) <= 60
    modules = {block: pair for pair, block in BLOCKS.items()}
    rows = [[modules[block][half] for block in line] for line in lines for half in (0, 1)]
    image = np.kron(np.array(rows, np.uint8) * 255, np.ones((8, 8), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(image)[0] == url
    assert lines[0].strip('\u2588') == ''
