# SPDX-License-Identifier: Apache-2.0
"""Find the OpenGL backend that renders here without a display; MuJoCo is not imported."""

import importlib.util
import os
import subprocess
import sys

from vla_drop_ros.errors import MissingDependencyError, SimulationError

BACKENDS = ('egl', 'osmesa')
INSTALL = 'sudo apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6'
_PROBE = ('import mujoco; m = mujoco.MjModel.from_xml_string("<mujoco/>"); '
          'r = mujoco.Renderer(m, 8, 8); r.update_scene(mujoco.MjData(m)); r.render(); '
          'print("ok")')


def choose_backend() -> str:
    """Return the MUJOCO_GL value that renders here, each tried in a process of its own.

    A value the user has set is tried alone. Set the result in the environment before the first
    rendering process starts: the choice is made when the library is imported.

    Raises:
        SimulationError: none works; the message names the packages to install.

    """
    chosen = os.environ.get('MUJOCO_GL', '')
    for backend in (chosen,) if chosen else BACKENDS:
        probe = subprocess.run(
            [sys.executable, '-c', _PROBE], capture_output=True, text=True, timeout=60,
            env={**os.environ, 'MUJOCO_GL': backend}, check=False)
        if 'ok' in probe.stdout:
            return backend
    tried = chosen or ' and '.join(BACKENDS)
    raise SimulationError(
        f'no renderer: MUJOCO_GL={tried} does not work here. Install one: {INSTALL}')


def prepare_rendering() -> None:
    """Let this process and its children render; call before anything imports MuJoCo.

    What the user has set in MUJOCO_GL stays.

    Raises:
        MissingDependencyError: MuJoCo or mink is not installed.
        SimulationError: no backend works.

    """
    for package in ('mujoco', 'mink'):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f'the simulator needs the package {package!r}: pip install mujoco mink daqp')
    if 'MUJOCO_GL' not in os.environ:
        os.environ['MUJOCO_GL'] = choose_backend()
