# SPDX-License-Identifier: Apache-2.0
"""A machine is described by what it says of itself; what it does not say is left out."""

import json
from pathlib import Path
import subprocess
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.trials.host import describe_host

DESKTOP = {
    'proc/cpuinfo': 'processor : 0\nmodel name : Fast CPU 9\nprocessor : 1\nmodel name : Fast\n',
    'etc/os-release': 'NAME=x\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
    'sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'powersave\n',
    'sys/devices/system/cpu/cpu1/cpufreq/scaling_governor': 'performance\n'}
JETSON = {
    'proc/cpuinfo': 'model name : ARMv8 Processor rev 1 (v8l)\n',
    'proc/device-tree/model': 'NVIDIA Jetson AGX Orin Developer Kit\0',
    'etc/nv_tegra_release': '# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic\n'}
NONE: dict[str, str] = {}


def described(root: Path, **settings: Any) -> dict[str, Any]:
    """Return the description of a machine whose tools are only those that are named."""
    found = describe_host(root, **{'source': root, 'environment': NONE, 'smi': 'absent',
                                   'nvpmodel': 'absent', 'clock': lambda root: {}, **settings})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_a_desktop(machine: ModuleType, tmp_path: Path) -> None:
    """Processor, GPUs, driver, governors, system, and what ROS is told by its environment."""
    root = machine.build(tmp_path, DESKTOP)
    smi = machine.tool(tmp_path / 'smi', 'NVIDIA H200, 550.90\nNVIDIA H200, 550.90\n')
    found = described(root, smi=smi, environment={
        'ROS_DISTRO': 'jazzy', 'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp', 'OMP_NUM_THREADS': '1',
        'SECRET': 'x'})
    for name, value in (('cpu', 'Fast CPU 9'), ('gpu', 'NVIDIA H200, NVIDIA H200'),
                        ('driver', '550.90'), ('power_mode', 'governor performance, powersave'),
                        ('os', 'Ubuntu 24.04.1 LTS'), ('ros_distro', 'jazzy'),
                        ('rmw', 'rmw_zenoh_cpp'), ('OMP_NUM_THREADS', '1')):
        assert found[name] == value
    assert found['packages']['numpy'] and found['processors'] and 'SECRET' not in found
    assert not {'container', 'git'} & set(found)


def test_a_jetson(machine: ModuleType, tmp_path: Path) -> None:
    """Its board, the release of its Linux, its power mode."""
    root = machine.build(tmp_path, JETSON)
    nvpmodel = machine.tool(tmp_path / 'nvpmodel', 'NV Power Mode: MODE_30W\n2\n')
    found = described(root, nvpmodel=nvpmodel)
    assert found['cpu'] == 'ARMv8 Processor rev 1 (v8l), NVIDIA Jetson AGX Orin Developer Kit'
    assert found['driver'] == 'R36 (release), REVISION: 3.0'
    assert found['power_mode'] == 'MODE_30W' and 'gpu' not in found


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    """No guess takes the place of what is not known."""
    assert set(described(tmp_path)) == {
        'name', 'machine', 'system', 'python', 'processors', 'packages'}


def test_the_clock_of_a_machine(tmp_path: Path) -> None:
    """What is known of it."""
    assert described(tmp_path, clock=lambda root: {'synchronized': True})['clock'] == {
        'synchronized': True}
    assert 'synchronized' in describe_host()['clock']


@pytest.mark.parametrize(('files', 'environment', 'kind'), [
    ({'.dockerenv': ''}, NONE, 'docker'), ({'run/.containerenv': ''}, NONE, 'podman'),
    (NONE, {'container': 'systemd-nspawn'}, 'systemd-nspawn'),
    ({'proc/1/cgroup': '0::/kubepods/pod7\n'}, NONE, 'kubernetes')])
def test_a_container(machine: ModuleType, tmp_path: Path, files: dict[str, str],
                     environment: dict[str, str], kind: str) -> None:
    """Its kind is told by what its makers leave in it."""
    root = machine.build(tmp_path, files)
    assert described(root, environment=environment)['container'] == kind


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    """With whether the source differs from it; what was built beside it is no difference."""
    def git(*words: str) -> str:
        return subprocess.run(['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c',
                               'user.email=a@b', *words], capture_output=True, text=True,
                              check=True).stdout.strip()

    git('init', '-q')
    (tmp_path / 'package.xml').write_text('<package/>')
    assert 'git' not in described(tmp_path), 'it is not of this checkout'
    git('add', 'package.xml')
    git('commit', '-q', '-m', 'one')
    (tmp_path / 'built').write_text('')
    sha = git('rev-parse', 'HEAD')
    assert described(tmp_path)['git'] == {'sha': sha, 'dirty': False}
    (tmp_path / 'package.xml').write_text('<other/>')
    assert described(tmp_path)['git'] == {'sha': sha, 'dirty': True}
