# SPDX-License-Identifier: Apache-2.0
"""The machine of a session: processor, GPU, driver, power mode, system, packages, source.

What is not known is left out. All is of the machine that runs the trial node.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
import subprocess
import sys
from typing import Any

from vla_drop_ros.trials.host_clock import describe_clock
from vla_drop_ros.trials.host_sensors import ROOT
from vla_drop_ros.trials.nvidia_smi import gpu_names, NVIDIA_SMI

PACKAGES = ('vla_drop_ros', 'numpy', 'scipy', 'opencv-python-headless', 'opencv-python', 'rclpy',
            'rosbags', 'starlette', 'uvicorn', 'torch', 'transformers', 'safetensors', 'lerobot',
            'mujoco')
VARIABLES = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')
SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 5.0  # [s] for the answer of a tool
CONTAINERS = {'docker': 'docker', 'kubepods': 'kubernetes', 'lxc': 'lxc'}  # in a control group


def describe_host(root: Path = ROOT, source: Path = SOURCE,
                  environment: Mapping[str, str] = os.environ, smi: str = NVIDIA_SMI,
                  nvpmodel: str = 'nvpmodel',
                  clock: Callable[[Path], Mapping[str, Any]] = describe_clock) -> dict[str, Any]:
    """Return what the log says of this machine, as plain JSON types.

    ``name``, ``machine``, ``system``, ``python``, ``processors``, ``packages`` {name: version};
    where they are known ``cpu``, ``gpu``, ``driver``, ``power_mode``, ``os``, ``ros_distro``,
    ``rmw``, ``container``, ``git`` {sha, dirty}, ``clock`` (``describe_clock``), and some
    variables of the environment. It asks tools, each for some seconds at most.

    Args:
        root: folder that holds proc, sys and etc.
        source: folder of the package's source, if it runs from one.
        environment: variables.
        smi: nvidia-smi.
        nvpmodel: tool that knows the power mode of a Jetson.
        clock: returns what is known of the wall clock, given ``root``.

    """
    gpus, driver = gpu_names(smi)
    known = {
        'cpu': _processor(root), 'gpu': ', '.join(gpus), 'driver': driver or _tegra(root),
        'power_mode': _power_mode(root, nvpmodel), 'os': _system(root),
        'ros_distro': environment.get('ROS_DISTRO', ''),
        'rmw': environment.get('RMW_IMPLEMENTATION', ''),
        'container': _container(root, environment), 'git': _revision(source),
        'clock': dict(clock(root))}
    return {'name': platform.node(), 'machine': platform.machine(),
            'system': f'{platform.system()} {platform.release()}',
            'python': sys.version.split()[0], 'processors': os.cpu_count(),
            'packages': _versions(), **{name: value for name, value in known.items() if value},
            **{name: environment[name] for name in VARIABLES if name in environment}}


def _versions() -> dict[str, str]:
    """Return the versions of the packages that matter here, of those that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor(root: Path) -> str:
    """Return the model of the processor, and of the board where the machine knows it."""
    models = [rest.strip() for name, _, rest in (
        line.partition(':') for line in _text(root / 'proc/cpuinfo').splitlines())
        if name.strip() == 'model name']
    board = _text(root / 'proc/device-tree/model').strip('\0')
    return ', '.join(filter(None, (*models[:1], board)))


def _tegra(root: Path) -> str:
    """Return the release of a Jetson's Linux, which brings its driver; '' elsewhere."""
    release = _text(root / 'etc/nv_tegra_release').splitlines()
    return ','.join(release[0].strip('# ').split(',')[:2]) if release else ''


def _power_mode(root: Path, nvpmodel: str) -> str:
    """Return the mode of a Jetson, or else how the processor's clock is governed."""
    for line in _ask(nvpmodel, '-q').splitlines():
        before, mark, mode = line.partition('NV Power Mode:')
        if mark:
            return mode.strip()
    governors = {_text(path) for path in root.glob(
        'sys/devices/system/cpu/cpu*/cpufreq/scaling_governor')} - {''}
    return f'governor {", ".join(sorted(governors))}' if governors else ''


def _system(root: Path) -> str:
    """Return the name of the distribution."""
    for line in _text(root / 'etc/os-release').splitlines():
        name, _, value = line.partition('=')
        if name == 'PRETTY_NAME':
            return value.strip('"\'')
    return ''


def _container(root: Path, environment: Mapping[str, str]) -> str:
    """Return the kind of container that this runs in, as far as it can be told."""
    if (root / '.dockerenv').exists():
        return 'docker'
    if (root / 'run/.containerenv').exists():
        return 'podman'
    if environment.get('container'):  # systemd-nspawn and others say it so
        return environment['container']
    groups = _text(root / 'proc/1/cgroup')
    return next((kind for word, kind in CONTAINERS.items() if word in groups), '')


def _revision(source: Path) -> dict[str, Any]:
    """Return commit and whether anything differs from it; {} where it runs from no checkout."""
    # An installed package may lie in the checkout of something else.
    if not _ask('git', '-C', str(source), 'ls-files', '--error-unmatch', 'package.xml'):
        return {}
    sha = _ask('git', '-C', str(source), 'rev-parse', 'HEAD')
    changes = _ask('git', '-C', str(source), '--no-optional-locks', 'status', '--porcelain',
                   '--untracked-files=no', otherwise='?')
    return {'sha': sha, **({} if changes == '?' else {'dirty': bool(changes)})} if sha else {}


def _ask(*words: str, otherwise: str = '') -> str:
    """Return what a tool says; ``otherwise`` where it is not there, fails or takes too long."""
    try:
        return subprocess.run(words, capture_output=True, text=True, errors='replace',
                              timeout=PATIENCE, stdin=subprocess.DEVNULL,
                              check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return otherwise


def _text(path: Path) -> str:
    try:
        return path.read_text(errors='replace').strip()
    except OSError:
        return ''
