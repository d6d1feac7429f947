# SPDX-License-Identifier: Apache-2.0
"""The renderer is found, or the way to get one is named."""

import importlib.util
import os

import pytest

from vla_drop_ros.errors import MissingDependencyError, SimulationError
from vla_drop_ros.simulation import opengl


def test_the_users_backend_is_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MUJOCO_GL that does not work here is named with what to install, not passed over."""
    monkeypatch.setenv('MUJOCO_GL', 'nonsense')
    with pytest.raises(SimulationError, match='MUJOCO_GL=nonsense .*apt-get install'):
        opengl.choose_backend()


def test_the_users_backend_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is not questioned when a verb prepares to render."""
    monkeypatch.setenv('MUJOCO_GL', 'glfw')
    opengl.prepare_rendering()
    assert os.environ['MUJOCO_GL'] == 'glfw'


def test_one_is_chosen_for_children_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a choice of the user's, the first that works lands in the environment."""
    monkeypatch.setenv('MUJOCO_GL', '')
    monkeypatch.delenv('MUJOCO_GL')
    monkeypatch.setattr(opengl, 'choose_backend', lambda: 'osmesa')
    opengl.prepare_rendering()
    assert os.environ['MUJOCO_GL'] == 'osmesa'


def test_a_missing_simulator_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MuJoCo is not installed the command that installs it is in the message."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(MissingDependencyError, match='mujoco.*pip install'):
        opengl.prepare_rendering()
