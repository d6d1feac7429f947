# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch` offers and starts what the graphs say (where the launch packages are there)."""

import importlib.util
import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import yaml

from vla_drop_ros.bringup import build, Graph, GRAPHS, LIFELINE, Node
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


@pytest.fixture
def graph_and_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Graph, list[Any]]:
    """Return the graph of a namespace and what launch makes of the same arguments."""
    monkeypatch.setenv('MUJOCO_GL', 'egl')
    settings = {one.name: one.default_text for one in GRAPHS['pick_place'].arguments}
    settings |= {'checkpoint': str(tmp_path), 'namespace': 'left', 'instruction': 'it is "so"',
                 'dry_run': 'true', 'blend': '0.3', 'resident': '2'}
    context = launch.LaunchContext()
    context.launch_configurations.update(settings)
    actions = load('pick_place').entities[-1].execute(context)
    for action in actions:
        action._perform_substitutions(context)
    return build('pick_place', settings), actions


def test_the_processes_are_those_of_the_graph(
        graph_and_actions: tuple[Graph, list[Any]]) -> None:
    """Each node of the graph becomes one process that runs its module, watched and named."""
    graph, actions = graph_and_actions
    assert len(actions) == len(graph.nodes)
    for action, node in zip(actions, graph.nodes, strict=True):
        words = [''.join(part.perform(launch.LaunchContext()) for part in word)
                 for word in action.cmd[:8]]
        assert words[1:3] == ['-m', LIFELINE]
        assert words[7] == node.module
        assert action.node_name == f'/left/{node.name}'
        assert action.expanded_remapping_rules == list(graph.remappings.items())


def test_nodes_get_the_parameters_of_the_graph(
        graph_and_actions: tuple[Graph, list[Any]]) -> None:
    """What `vla_drop up` passes with -p, launch passes in files, of the same names and types."""
    graph, actions = graph_and_actions
    for action, node in zip(actions, graph.nodes, strict=True):
        found: dict[str, Any] = {}
        for file, _ in action._Node__expanded_parameter_arguments:
            for section in yaml.safe_load(Path(file).read_text(encoding='utf-8')).values():
                found |= section['ros__parameters']
        given = {name: found[name] for name in node.parameters}
        assert given == dict(node.parameters)
        assert list(map(type, given.values())) == list(map(type, node.parameters.values()))


def test_signals_come_in_turn(graph_and_actions: tuple[Graph, list[Any]]) -> None:
    """Each process waits for those that stop before it, and launch gives it the time to."""
    graph, actions = graph_and_actions
    for action, node in zip(actions, graph.nodes, strict=True):
        words = [''.join(part.perform(launch.LaunchContext()) for part in word)
                 for word in action.cmd[:8]]
        waits = [name.rsplit('/', 1)[1] for name in words[6].split(',') if name]
        assert waits == [other.name for other in graph.before(node)]


POLITE = """
    import pathlib, signal, sys, time
    asked = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    print('ready', flush=True)
    while not asked:
        signal.pause()
    time.sleep({delay})
    with pathlib.Path(__file__).with_name('log').open('a') as log:
        log.write('{name} ')
"""
LAUNCH = """
    import sys
    from launch import LaunchDescription, LaunchService
    from vla_drop_ros.bringup import Graph, Node
    from vla_drop_ros.launch_description import actions
    graph = Graph((Node('robot', 'polite_robot', stop_order=2),
                   Node('gate', 'polite_gate', stop_order=1), Node('policy', 'polite_policy')))
    service = LaunchService(argv=[])
    service.include_launch_description(LaunchDescription(actions(graph)))
    sys.exit(service.run())
"""


def test_ctrl_c_stops_policy_then_gate_then_robot(tmp_path: Path) -> None:
    """A terminal sends SIGINT to launch and all processes at once; they end in order."""
    for name, delay in (('policy', 0.6), ('gate', 0.3), ('robot', 0.0)):
        (tmp_path / f'polite_{name}.py').write_text(
            textwrap.dedent(POLITE.format(name=name, delay=delay)), encoding='utf-8')
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, '-c', textwrap.dedent(LAUNCH)], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{root}'})
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if sum('] ready' in one for one in said) == 3:
            os.killpg(process.pid, signal.SIGINT)
            break
    said += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(30.0) == 0, ''.join(said)
    assert (tmp_path / 'log').read_text(encoding='utf-8').split() == ['policy', 'gate', 'robot']


@pytest.mark.parametrize(('respawns', 'settled', 'over', 'wanted'), [
    (True, 0.0, False, 'Node'), (True, 60.0, False, 'Shutdown'), (True, 0.0, True, 'Shutdown'),
    (False, 0.0, False, 'Shutdown')])
def test_what_follows_the_end_of_a_node(monkeypatch: pytest.MonkeyPatch, respawns: bool,
                                        settled: float, over: bool, wanted: str) -> None:
    """One that respawns is started again, unless it dies at once or all is being stopped."""
    from vla_drop_ros import launch_description
    monkeypatch.setattr(launch_description, 'SETTLED', settled)
    context = launch.LaunchContext()
    context._set_is_shutdown(over)
    graph = Graph((Node('recorder', 'any_module', respawns=respawns),))
    follow = launch_description._ending(graph.nodes[0], graph)
    assert [type(action).__name__ for action in follow(None, context)] == [wanted]
