# SPDX-License-Identifier: Apache-2.0
"""Pictures have the size asked for and show what is there."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from vla_drop_ros.simulation.environment import PickPlaceEnvironment, STUDIO_SIZE
from vla_drop_ros.simulation.layout import draw_layout
from vla_drop_ros.simulation.renderer import Renderer


@pytest.fixture(scope='module')
def cell() -> Iterator[PickPlaceEnvironment]:
    """Return a cell with a scene."""
    made = PickPlaceEnvironment(render_size=48)
    made.restore(draw_layout(0))
    yield made
    made.close()


def test_sizes(cell: PickPlaceEnvironment) -> None:
    """Policy cameras have the cell's size, the studio its own, and any size can be asked for."""
    assert cell.render('front').shape == (48, 48, 3)
    assert cell.render('studio').shape == (*STUDIO_SIZE, 3)
    picture = cell.render('wrist', (60, 100))
    assert picture.shape == (60, 100, 3) and picture.dtype == np.uint8


def test_a_picture_is_nobody_elses(cell: PickPlaceEnvironment) -> None:
    """The next picture does not overwrite the last one, and rendering again gives the same."""
    first = cell.render('front')
    kept = first.copy()
    assert (cell.render('wrist') != first).any()
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(cell.render('front'), first)


def test_a_plain_model_renders() -> None:
    """Two renderers of one process do not disturb each other."""
    xml = ('<mujoco><worldbody><light pos="0 0 2"/><camera name="top" pos="0 0 2"/>'
           '<geom size=".5" rgba="{} 0 {} 1"/></worldbody></mujoco>')
    renderers = []
    for red, blue in ((1, 0), (0, 1)):
        model = mujoco.MjModel.from_xml_string(xml.format(red, blue))
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        renderers.append((Renderer(model, 16, 16, samples=0), data))
    red_one, blue_one = (renderer.render(data, 'top')[8, 8] for renderer, data in renderers)
    for renderer, _ in renderers:
        renderer.close()
    assert red_one[0] > red_one[2] and blue_one[2] > blue_one[0]
