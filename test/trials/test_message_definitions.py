# SPDX-License-Identifier: Apache-2.0
"""Types come with rosbags, or from the .msg files of installed packages."""

from pathlib import Path
import sys

import pytest

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.trials.message_definitions import define, message_types


def install(prefix: Path, kind: str, text: str) -> None:
    """Write a .msg file as a package installs it."""
    package, _, name = kind.split('/')
    folder = prefix / 'share' / package / 'msg'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.msg').write_text(text)


def test_types_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A type is known with all it is made of; the definition in a recording is complete."""
    pytest.importorskip('rosbags.typesys')
    install(tmp_path, 'arm_msgs/msg/State', 'std_msgs/Header header\nForce[] forces\nuint8 OK=1\n')
    install(tmp_path, 'arm_msgs/msg/Force', 'float64 newton\n')
    types = message_types('iron')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "other"}:{tmp_path}')
    assert define(types, 'arm_msgs/msg/State')
    definition, _ = types.generate_msgdef('arm_msgs/msg/State', ros_version=2)
    assert 'float64 newton' in definition and 'MSG: std_msgs/Header' in definition
    assert types.hash_rihs01('arm_msgs/msg/State').startswith('RIHS01_')


def test_what_nothing_defines(tmp_path: Path) -> None:
    """A type that is absent, half there or not readable is unknown, and no error."""
    pytest.importorskip('rosbags.typesys')
    install(tmp_path, 'arm_msgs/msg/Half', 'arm_msgs/Absent part\n')
    install(tmp_path, 'arm_msgs/msg/Broken', 'this is { no message\n')
    types = message_types('humble')
    for kind in ('arm_msgs/msg/Absent', 'arm_msgs/msg/Half', 'arm_msgs/msg/Broken',
                 '../msg/Half', 'arm_msgs/srv/Half', ''):
        assert not define(types, kind, [tmp_path]), kind
    assert define(types, 'sensor_msgs/msg/Image', [])


def test_distribution_that_is_not_known() -> None:
    """One that is newer than rosbags, or none at all, gets the newest standard messages."""
    pytest.importorskip('rosbags.typesys')
    for distro in ('', 'zebra'):
        assert 'sensor_msgs/msg/Image' in message_types(distro).types


def test_without_rosbags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    message_types.cache_clear()
    monkeypatch.setitem(sys.modules, 'rosbags.typesys', None)
    with pytest.raises(MissingDependencyError, match='pip install rosbags'):
        message_types('jazzy')
