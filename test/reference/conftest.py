# SPDX-License-Identifier: Apache-2.0
"""A few rendered frames for the tests that need pictures."""

import os
from pathlib import Path

import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')


@pytest.fixture(scope='session')
def frames_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a shard of still scenes and one of expert episodes, 8 frames each."""
    from vla_drop_ros.reference.frames import render_stills
    from vla_drop_ros.reference.rollouts import collect
    os.environ.setdefault('LP_NUM_THREADS', '1')
    folder = tmp_path_factory.mktemp('frames')
    render_stills(folder, 0, 8)
    collect(folder, 0, 8, None)
    return folder
