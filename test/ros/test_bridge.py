# SPDX-License-Identifier: Apache-2.0
"""cv_bridge is used where it works, and never takes the node down where it does not."""

import os
from pathlib import Path
import sys

import pytest

from vla_drop_ros.nodes.bridge import working_bridge

pytestmark = pytest.mark.ros

GOOD = """
import numpy as np
class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding='passthrough'):
        assert (message.encoding, desired_encoding) == ('bgr8', 'rgb8')
        image = np.frombuffer(message.data, np.uint8)
        return image.reshape(message.height, message.width, 3)[..., ::-1]
"""
ENDS = {
    'a build for NumPy 1 under NumPy 2': 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)',
    'an import that fails': 'raise ImportError("libopencv_core.so.4: cannot open")',
    'a call that fails': 'class CvBridge:\n    def imgmsg_to_cv2(self, *_): raise TypeError("no")',
    'colours the wrong way round': GOOD.replace('[..., ::-1]', '')}


def install(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package of that name importable, here and in child processes."""
    (folder / 'cv_bridge.py').write_text(code)
    paths = [str(folder), *filter(None, [os.environ.get('PYTHONPATH')])]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(paths))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)


@pytest.mark.parametrize('why', ENDS)
def test_a_bridge_that_does_not_work_is_left_alone(
        why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a segmentation fault of it reaches this process."""
    install(ENDS[why], tmp_path, monkeypatch)
    assert working_bridge() is None and 'cv_bridge' not in sys.modules


def test_a_bridge_that_works_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried on one small image, and handed over."""
    install(GOOD, tmp_path, monkeypatch)
    bridge = working_bridge()
    sys.modules.pop('cv_bridge', None)
    assert type(bridge).__module__ == 'cv_bridge'


def test_nothing_is_tried_where_there_is_none(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package OpenCV does it alone."""
    monkeypatch.setattr('vla_drop_ros.nodes.bridge.find_spec', lambda name: None)
    monkeypatch.setattr('vla_drop_ros.nodes.bridge.TRIAL', 'nothing is run')
    assert working_bridge() is None
