# SPDX-License-Identifier: Apache-2.0
"""colcon builds and installs the package the way `ros2 run` and `ros2 launch` look for it."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

import vla_drop_ros

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
COLCON = Path(sys.executable).with_name('colcon')


@pytest.fixture(scope='module')
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package in a workspace outside the source tree and return the workspace."""
    colcon = str(COLCON) if COLCON.exists() else shutil.which('colcon')
    if colcon is None:
        pytest.skip('colcon is not installed; pip install -r requirements/test.txt')
    folder = tmp_path_factory.mktemp('workspace')
    result = subprocess.run(
        [colcon, '--log-base', 'log', 'build', '--base-paths', str(ROOT),
         '--packages-select', 'vla_drop_ros', '--event-handlers', 'console_direct+'],
        cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope='module')
def prefix(workspace: Path) -> Path:
    """Return the folder into which the package was installed."""
    return workspace / 'install' / 'vla_drop_ros'


def sourced(workspace: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command far from the source tree, with the workspace sourced."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('PYTHONPATH', 'AMENT_PREFIX_PATH')}
    return subprocess.run(['sh', '-c', f'. install/setup.sh && {command}'], cwd=workspace,
                          env=environment, capture_output=True, text=True, timeout=120)


def test_ament_finds_the_package(prefix: Path) -> None:
    """The marker in the ament index and package.xml lie where ament looks."""
    index = prefix / 'share/ament_index/resource_index/packages/vla_drop_ros'
    assert index.is_file()
    assert (prefix / 'share/vla_drop_ros/package.xml').is_file()


def test_executables_lie_where_ros2_run_looks(prefix: Path) -> None:
    """lib/vla_drop_ros holds vla_drop and one executable a node."""
    found = {path.name for path in (prefix / 'lib/vla_drop_ros').iterdir()}
    assert found == {'vla_drop', 'bag_recorder_node', 'command_gate_node', 'policy_node',
                     'simulated_operator_node', 'simulated_robot_node', 'trial_node'}
    assert all(os.access(prefix / 'lib/vla_drop_ros' / name, os.X_OK) for name in found)


@pytest.mark.parametrize('folder', ['launch', 'config', 'models'])
def test_shared_files_are_installed_whole(prefix: Path, folder: str) -> None:
    """What lies in launch/, config/ and models/ lies in share/ too, byte for byte."""
    source = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / folder).rglob('*')
              if path.is_file() and '__pycache__' not in path.parts}
    share = prefix / 'share/vla_drop_ros'
    installed = {path.relative_to(share): path.read_bytes()
                 for path in (share / folder).rglob('*') if path.is_file()}
    assert installed == source


def test_installed_command_runs_the_installed_code(workspace: Path, prefix: Path) -> None:
    """With the workspace sourced, the installed copy wins over any other on this machine."""
    command = 'install/vla_drop_ros/lib/vla_drop_ros/vla_drop --version'
    result = sourced(workspace, command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f'vla_drop {vla_drop_ros.__version__}'
    result = sourced(workspace, f'{sys.executable} -c '
                     '"import vla_drop_ros; print(vla_drop_ros.__file__)"')
    assert Path(result.stdout.strip()).is_relative_to(prefix), result.stderr


def test_installed_code_finds_its_files(workspace: Path, prefix: Path) -> None:
    """Configuration and models are looked for in share/ when there is no source tree around."""
    code = "from vla_drop_ros.resources import share_path; print(share_path('launch'))"
    result = sourced(workspace, f'{sys.executable} -c "{code}"')
    assert result.stdout.strip() == str(prefix / 'share/vla_drop_ros/launch'), result.stderr


def test_build_leaves_the_source_tree_alone(workspace: Path) -> None:
    """No build, install or log folder appears beside the sources."""
    assert workspace.exists()
    assert not [name for name in ('build', 'install') if (ROOT / name).exists()
                and (ROOT / name).stat().st_mtime >= workspace.stat().st_mtime]
