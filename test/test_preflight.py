# SPDX-License-Identifier: Apache-2.0
"""Each check sees its fault and names the remedy."""

import importlib.util
from pathlib import Path

import pytest

from vla_drop_ros import preflight
from vla_drop_ros.errors import SimulationError, VlaDropError
from vla_drop_ros.preflight import Check
from vla_drop_ros.simulation import opengl


@pytest.mark.parametrize(('version', 'ok'), [
    ((3, 9, 2), False), ((3, 10, 0), True), ((3, 13, 1), True), ((3, 14, 0), False)])
def test_python_versions(version: tuple[int, ...], ok: bool) -> None:
    """Only the Python versions that the package is made for pass."""
    check = preflight.check_python(version)
    assert check.ok is ok
    assert 'python3.12' in check.fix


def test_missing_rclpy_names_the_wrong_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a ROS 2 sourced but no rclpy, the cause is a Python that is not the one of ROS."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    check = preflight.check_ros()
    assert not check.ok
    assert 'another Python' in check.found


def test_missing_package_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed comes with the command that installs it."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    assert 'pip install torch' in preflight.check_torch().fix
    assert 'accelerate' in preflight.check_transformers().fix
    assert 'pyarrow' in preflight.check_datasets().fix
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name == 'accelerate' or None)
    assert 'transformers' in preflight.check_transformers().fix


def test_no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot render gets the apt command from the renderer's own error."""
    def fail() -> str:
        raise SimulationError('sudo apt-get install -y libosmesa6')

    monkeypatch.setattr(opengl, 'choose_backend', fail)
    check = preflight.check_renderer()
    assert not check.ok
    assert 'apt-get install' in check.fix


def test_checkpoint_without_manifest(tmp_path: Path) -> None:
    """A folder that does not describe itself is no checkpoint; an absent one is named."""
    assert 'manifest.json' in preflight.check_checkpoint(str(tmp_path)).found
    (tmp_path / 'manifest.json').write_text('{}', encoding='utf-8')
    assert preflight.check_checkpoint(str(tmp_path)).ok
    assert 'absent' in preflight.check_checkpoint(str(tmp_path / 'absent')).found


def test_a_taken_domain_is_refused_with_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes of the same name on the domain refuse the start and name ROS_DOMAIN_ID."""
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    monkeypatch.setattr(preflight, 'nodes_on_domain', lambda until: ('/command_gate', '/other'))
    check = preflight.check_domain(['/command_gate'])
    assert not check.ok
    assert 'ROS_DOMAIN_ID=8' in check.fix
    assert preflight.check_domain(['/left/command_gate']).ok


@pytest.mark.parametrize('domain', ['mine', '-1', '102'])
def test_a_domain_that_does_not_exist_is_refused(
        monkeypatch: pytest.MonkeyPatch, domain: str) -> None:
    """A ROS_DOMAIN_ID that is no number or out of range is named before ROS sees it."""
    monkeypatch.setenv('ROS_DOMAIN_ID', domain)
    check = preflight.check_domain()
    assert not check.ok
    assert domain in check.found and '0 to 101' in check.fix


def test_require_stops_at_the_first_failure() -> None:
    """The first failed check is raised with its remedy; later ones are not run."""
    def explode() -> Check:
        raise ValueError('must not run')

    with pytest.raises(VlaDropError, match='torch: not found. pip install torch'):
        preflight.require([lambda: Check('Python', True, '3.12'),
                           lambda: Check('torch', False, 'not found', 'pip install torch'),
                           explode])
