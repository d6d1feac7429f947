# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch` offers and starts what the graphs say (where the launch packages are there)."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.bringup import build, GRAPHS, LIFELINE
from vla_drop_ros.resources import share_path

launch = pytest.importorskip('launch')
pytest.importorskip('launch_ros')


def load(name: str) -> Any:
    """Return the launch description of a launch file."""
    path = share_path('launch', f'{name}.launch.py')
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.mark.parametrize('name', GRAPHS)
def test_arguments_are_those_of_the_graph(name: str) -> None:
    """Names, defaults, descriptions and choices come from the graph."""
    offered = {argument.name: argument for argument in load(name).get_launch_arguments()}
    assert list(offered) == [argument.name for argument in GRAPHS[name].arguments]
    for argument in GRAPHS[name].arguments:
        assert offered[argument.name].description.startswith(argument.description)
        assert offered[argument.name].choices == (argument.choices or None)


def test_the_processes_are_those_of_the_graph(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node of the graph becomes one process that runs its module, watched and named."""
    monkeypatch.setenv('MUJOCO_GL', 'egl')
    settings = {one.name: one.default_text for one in GRAPHS['pick_place'].arguments}
    settings['checkpoint'] = str(tmp_path)
    context = launch.LaunchContext()
    context.launch_configurations.update(settings)
    actions = load('pick_place').entities[-1].execute(context)
    graph = build('pick_place', settings)
    assert len(actions) == len(graph.nodes)
    for action, node in zip(actions, graph.nodes, strict=True):
        action._perform_substitutions(context)
        words = [''.join(part.perform(context) for part in word) for word in action.cmd[:6]]
        assert words[1:3] == ['-m', LIFELINE]
        assert words[5] == node.module
        assert action.node_name == f'/{node.name}'
