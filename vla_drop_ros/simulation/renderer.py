# SPDX-License-Identifier: Apache-2.0
"""Render the cameras of a model to arrays, without a display."""

import mujoco

from vla_drop_ros.errors import SimulationError
from vla_drop_ros.simulation.opengl import INSTALL
from vla_drop_ros.types import ImageArray


class Renderer:
    """Render named cameras of one model at one size; call from one thread only."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, samples: int) -> None:
        """Open a frame buffer; ``samples`` a pixel, 0 for speed."""
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        model.vis.quality.offsamples = samples
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # noqa: BLE001 - OpenGL loaders raise whatever they like
            raise SimulationError(
                f'cannot render ({error}). Set MUJOCO_GL=egl before MuJoCo is imported, '
                f'or install a renderer: {INSTALL}') from error
        for flag in ('SHADOW', 'REFLECTION', 'FOG', 'HAZE'):
            self._renderer.scene.flags[getattr(mujoco.mjtRndFlag, f'mjRND_{flag}')] = False

    def render(self, data: mujoco.MjData, camera: str) -> ImageArray:
        """Return an RGB picture, shape (height, width, 3)."""
        self._renderer.update_scene(data, camera=camera)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Free the frame buffer."""
        self._renderer.close()
