# SPDX-License-Identifier: Apache-2.0
"""cv_bridge, where it is installed and works with the NumPy that is installed, too."""

from importlib.util import find_spec
import subprocess
import sys

from vla_drop_ros.runtime.images import Bridge

PATIENCE = 30.0
"""How long the trial may take, [s]."""
TRIAL = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
image = Image(height=1, width=2, encoding='bgr8', step=6, data=bytes([1, 2, 3, 4, 5, 6]))
seen = CvBridge().imgmsg_to_cv2(image, 'rgb8')
assert seen.shape == (1, 2, 3) and seen.tobytes() == bytes([3, 2, 1, 6, 5, 4])
"""


def working_bridge() -> Bridge | None:
    """Return cv_bridge, or None where OpenCV alone has to do; both give the same images.

    It is tried in a process of its own: one that was built for NumPy 1 ends the process with a
    segmentation fault under NumPy 2, which nothing could catch.
    """
    if find_spec('cv_bridge') is None:
        return None
    try:
        trial = subprocess.run([sys.executable, '-c', TRIAL], stdin=subprocess.DEVNULL,
                               capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if trial.returncode != 0:
        return None
    from cv_bridge import CvBridge
    bridge: Bridge = CvBridge()
    return bridge
