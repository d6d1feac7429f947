# SPDX-License-Identifier: Apache-2.0
"""Configuration and models are found in the source tree and in an installed workspace."""

from pathlib import Path

import pytest

from vla_drop_ros import resources
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.resources import share_path


def test_source_tree() -> None:
    """In a clone the files beside the package are used."""
    root = Path(__file__).resolve().parent.parent
    assert share_path('config', 'simulated_robot.yaml') == root / 'config/simulated_robot.yaml'


def test_installed_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed without its source tree, the package finds its share folder."""
    share = tmp_path / 'share' / 'vla_drop_ros' / 'config'
    share.mkdir(parents=True)
    (share / 'mine.yaml').touch()
    (tmp_path / 'lib' / 'models').mkdir(parents=True)  # of somebody else
    monkeypatch.setattr(resources, '__file__', str(tmp_path / 'lib' / 'vla_drop_ros' / 'r.py'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/opt/ros/jazzy:{tmp_path}')
    assert share_path('config', 'mine.yaml') == share / 'mine.yaml'
    with pytest.raises(VlaDropError):
        share_path('models')


def test_absent_file_names_where_it_was_looked_for() -> None:
    """The error lists the folders and the remedy."""
    with pytest.raises(VlaDropError, match=r'config/absent\.yaml.*colcon build'):
        share_path('config', 'absent.yaml')
