# SPDX-License-Identifier: Apache-2.0
"""Choose an OpenGL backend that can render without a display, and render with it."""

import os
import subprocess
import sys

import mujoco

from vla_drop_ros.errors import SimulationError
from vla_drop_ros.types import ImageArray

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


class Renderer:
    """Render named cameras of one model at one size; call from one thread only."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, samples: int) -> None:
        """Open a frame buffer; ``samples`` a pixel, 0 for speed."""
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        model.vis.quality.offsamples = samples
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # noqa: BLE001 - OpenGL loaders raise whatever they like
            raise SimulationError(f'cannot render ({error}). Install: {INSTALL}') from error
        for flag in ('SHADOW', 'REFLECTION', 'FOG', 'HAZE'):
            self._renderer.scene.flags[getattr(mujoco.mjtRndFlag, f'mjRND_{flag}')] = False

    def render(self, data: mujoco.MjData, camera: str) -> ImageArray:
        """Return an RGB picture, shape (height, width, 3)."""
        self._renderer.update_scene(data, camera=camera)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Free the frame buffer."""
        self._renderer.close()
