# SPDX-License-Identifier: Apache-2.0
"""The node graphs say exactly what is started, and refuse bad settings before anything is."""

from dataclasses import fields
import importlib.util
import json
import os
from pathlib import Path
import shlex

import pytest
import yaml

from vla_drop_ros import bringup, graph_arguments
from vla_drop_ros.bringup import build, Graph, GRAPHS, Node
from vla_drop_ros.errors import CheckpointError, ContractError, VlaDropError
from vla_drop_ros.resources import share_path
from vla_drop_ros.shared_memory import profile_variable


@pytest.fixture(autouse=True)
def renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the probing of renderers."""
    monkeypatch.setenv('MUJOCO_GL', 'egl')


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Return a folder that stands for a checkpoint."""
    folder = tmp_path / 'checkpoint'
    folder.mkdir()
    return str(folder)


def node(graph: Graph, name: str) -> Node:
    """Return a node by name."""
    return next(one for one in graph.nodes if one.name == name)


@pytest.mark.parametrize('name', GRAPHS)
def test_arguments_are_those_that_the_builder_takes(name: str, checkpoint: str) -> None:
    """Every declared argument, given as text, is accepted by the builder."""
    settings = {argument.name: argument.default_text for argument in GRAPHS[name].arguments}
    if 'checkpoint' in settings:
        settings['checkpoint'] = checkpoint
    if 'study' in settings:
        settings['study'] = str(checkpoint)
    assert build(name, settings).nodes


@pytest.mark.parametrize('name', GRAPHS)
def test_arguments_say_what_they_do(name: str) -> None:
    """Every argument has a description, and its default is one of its choices."""
    for argument in GRAPHS[name].arguments:
        assert argument.description
        assert not argument.choices or argument.default in argument.choices


def test_the_policy_stops_before_the_gate_and_the_gate_before_the_robot(checkpoint: str) -> None:
    """So the last command on the wire is the gate's, and the arm is still there to obey it."""
    graph = build('pick_place', {'checkpoint': checkpoint})
    orders = [node(graph, name).stop_order
              for name in ('policy_node', 'command_gate', 'simulated_robot')]
    assert orders == sorted(set(orders))


def test_everything_follows_the_simulated_clock(checkpoint: str) -> None:
    """With the simulated arm the others use its clock; with a real robot nobody does."""
    simulated = build('pick_place', {'checkpoint': checkpoint})
    assert node(simulated, 'policy_node').parameters['use_sim_time'] is True
    assert node(simulated, 'simulated_robot').parameters['publish_clock'] is True
    real = build('pick_place', {'checkpoint': checkpoint, 'simulator': 'false'})
    assert [one.name for one in real.nodes] == ['command_gate', 'policy_node']
    assert node(real, 'command_gate').parameters['use_sim_time'] is False


def test_a_study_is_blinded_and_ends_before_the_policy(tmp_path: Path) -> None:
    """Policy, gate, trials and recorder know the study's folder, and nobody a checkpoint."""
    graph = build('ab_trial', {'study': str(tmp_path), 'simulated_operator': 'true'})
    assert [one.name for one in graph.nodes] == [
        'simulated_robot', 'command_gate', 'policy_node', 'trial_node', 'bag_recorder',
        'simulated_operator']
    policy, gate = node(graph, 'policy_node').parameters, node(graph, 'command_gate').parameters
    assert (policy['checkpoint'], gate['blinded']) == ('', True)
    assert all(node(graph, name).parameters['study'] == str(tmp_path)
               for name in ('policy_node', 'trial_node', 'bag_recorder'))
    orders = [node(graph, name).stop_order for name in (
        'simulated_operator', 'trial_node', 'policy_node', 'command_gate', 'simulated_robot',
        'bag_recorder')]
    assert orders == sorted(set(orders)), 'the recorder sees the safety action'
    rigs = [node(build('ab_trial', {'study': str(tmp_path), 'rig': rig}), 'trial_node').parameters[
        'rig_file'] for rig in ('', 'my_rig.yaml')]
    assert rigs == ['', str(Path('my_rig.yaml').resolve())], 'a node may run in another folder'
    for study in ('', str(tmp_path / 'none')):
        with pytest.raises(VlaDropError, match='study:=DIR'):
            build('ab_trial', {'study': study})


@pytest.mark.parametrize('text', ['true', 'false'])
def test_dry_run_reaches_the_gate(checkpoint: str, text: str) -> None:
    """The gate is the one that is told to command nothing."""
    graph = build('pick_place', {'checkpoint': checkpoint, 'dry_run': text})
    assert node(graph, 'command_gate').parameters['dry_run'] is (text == 'true')


def test_command_line_keeps_types_and_odd_text() -> None:
    """Values arrive as YAML of their type, so that text like 'true' or '' stays text."""
    graph = Graph((Node('a', 'm', {'flag': True, 'text': "it's: true", 'none': '', 'x': 1.0}),),
                  namespace='left')
    words = graph.arguments(graph.nodes[0])
    assert words[:6] == ['m', '--ros-args', '-r', '__node:=a', '-r', '__ns:=/left']
    values = {word.split(':=', 1)[0]: yaml.safe_load(word.split(':=', 1)[1])
              for word in words[6:] if word != '-p'}
    assert values == {'flag': True, 'text': "it's: true", 'none': '', 'x': 1.0}
    assert shlex.split(shlex.join(words)) == words
    assert graph.full_names() == ('/left/a',)


@pytest.mark.parametrize(('argument', 'text', 'why'), [
    (graph_arguments.Argument('speed', 1.0, ''), 'fast', 'a number'),
    (graph_arguments.Argument('seed', 1, ''), '1.5', 'a whole number'),
    (graph_arguments.Argument('publish_clock', True, ''), 'yes', 'true or false'),
    (graph_arguments.Argument('variant', 'nominal', '', ('nominal', 'hard')), 'nominl', 'nominal'),
])
def test_bad_values_are_named(argument: graph_arguments.Argument, text: str, why: str) -> None:
    """A value that does not parse is refused with its name and what is valid."""
    with pytest.raises(VlaDropError, match=f'(?s){argument.name}.*{why}'):
        argument.parse(text)


def test_unknown_names_are_refused_with_the_valid_ones(checkpoint: str) -> None:
    """Unknown graphs, arguments, robots and checkpoints are named, with what there is."""
    with pytest.raises(VlaDropError, match='pick_place'):
        build('pick_plaice', {})
    with pytest.raises(VlaDropError, match=r'checkpont.*checkpoint'):
        build('pick_place', {'checkpont': checkpoint})
    with pytest.raises(ContractError, match=r'no_robot.*simulated_arm'):
        build('pick_place', {'checkpoint': checkpoint, 'robot': 'no_robot'})
    with pytest.raises(CheckpointError, match='/no/such'):
        build('pick_place', {'checkpoint': '/no/such/folder'})


def test_a_robot_may_be_given_as_a_file(checkpoint: str, tmp_path: Path) -> None:
    """A contract somewhere else is found by its path, and a real robot gets no simulator."""
    text = bringup.find_contract('simulated_arm').read_text(encoding='utf-8')
    mine = tmp_path / 'mine.yaml'
    mine.write_text(text.replace('robot: simulated_arm', 'robot: mine'), encoding='utf-8')
    graph = build('pick_place', {'checkpoint': checkpoint, 'robot': str(mine)})
    assert [one.name for one in graph.nodes] == ['command_gate', 'policy_node']
    assert node(graph, 'command_gate').parameters['robot'] == str(mine)


def test_user_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that the user has set are kept; the others get what the processes need."""
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.setattr(bringup, 'available_bytes', lambda: 2**40)
    environment = bringup.process_environment(threads=2)
    assert environment['OMP_NUM_THREADS'] == '7'
    assert environment['OMP_WAIT_POLICY'] == 'PASSIVE'
    assert Path(environment['FASTRTPS_DEFAULT_PROFILES_FILE']).is_file()
    assert 'MUJOCO_GL' not in environment
    assert environment['PYTHONPATH'].split(os.pathsep)[0] == str(
        Path(bringup.__file__).resolve().parent.parent)


def test_little_shared_memory_keeps_the_default_transport(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with 64 MB of shared memory our large segments would not fit."""
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.setattr(bringup, 'available_bytes', lambda: 64 * 2**20)
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE' not in bringup.process_environment()


@pytest.mark.parametrize('only', ['ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY', ''])
@pytest.mark.parametrize('given', ['', 'ours', 'mine.xml'])
def test_the_gate_leaves_our_profile_and_keeps_yours(
        monkeypatch: pytest.MonkeyPatch, given: str, only: str) -> None:
    """Whatever started it, the gate talks over UDP, unless the user has said how."""
    variables = {profile_variable(): str(share_path('config', 'fastdds_shm.xml'))
                 if given == 'ours' else given, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                 'ROS_LOCALHOST_ONLY': '1'}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        if not value or (name.startswith('ROS') and name != only):
            monkeypatch.delenv(name)
    before = dict(os.environ)
    bringup.leave_shared_memory()
    if given == 'mine.xml':
        assert dict(os.environ) == before
        return
    profile = share_path('config', f'fastdds_udp{"_localhost" if only else ""}.xml')
    assert os.environ[profile_variable()] == str(profile) and profile.is_file()
    assert os.environ.get('ROS_LOCALHOST_ONLY') is None
    assert os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == ('SYSTEM_DEFAULT' if only else None)


@pytest.mark.parametrize(('name', 'value'), [
    ('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp'), ('ROS_STATIC_PEERS', '192.0.2.7')])
def test_the_gate_changes_no_discovery_that_it_cannot_restate(
        monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Another middleware stays on this machine; static peers stay reachable."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.delenv(profile_variable(), raising=False)
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    bringup.leave_shared_memory()
    assert dict(os.environ) == before


def test_scene_choices_are_those_of_the_simulator() -> None:
    """Tasks and variants offered at start are the ones that the simulator knows."""
    from vla_drop_ros.simulation.environment import PickPlaceEnvironment
    assert ('', *PickPlaceEnvironment.tasks_available()) == graph_arguments.TASKS
    assert PickPlaceEnvironment.variants_available() == graph_arguments.VARIANTS
    told = share_path('config', 'simulated_robot.yaml').read_text(encoding='utf-8')
    assert f'# {", ".join(graph_arguments.VARIANTS)}\n' in told


def test_execution_choices_are_those_of_the_policy_node() -> None:
    """Each way of execution that is offered at start is one that the runtime knows."""
    from vla_drop_ros.runtime.execution import EXECUTIONS
    assert tuple(EXECUTIONS) == graph_arguments.EXECUTIONS


def test_shared_memory_segment_is_as_the_profile_says() -> None:
    """The size used for the decision is the size in the XML."""
    text = share_path('config', 'fastdds_shm.xml').read_text(encoding='utf-8')
    assert f'<segment_size>{bringup.TRANSPORT_SEGMENT}</segment_size>' in text


def test_what_a_node_takes_from_the_command_line_it_declares(checkpoint: str) -> None:
    """Each parameter of the graph is one that the node declares; shared defaults agree."""
    pytest.importorskip('rclpy')
    from vla_drop_ros.nodes.command_gate_node import GateParameters
    from vla_drop_ros.nodes.policy_settings import PolicyParameters
    graph = build('pick_place', {'checkpoint': checkpoint})
    for name, kind, passed in (
            ('command_gate', GateParameters, ('blend', 'ensemble')),
            ('policy_node', PolicyParameters, ('resident', 'instruction', 'device', 'execution'))):
        declared = {item.name: item.default for item in fields(kind)}
        given = {key: value for key, value in node(graph, name).parameters.items()
                 if key != 'use_sim_time'}
        assert set(given) <= set(declared)
        assert {key: given[key] for key in passed} == {key: declared[key] for key in passed}


def test_nodes_may_wait_for_a_lifecycle_manager(checkpoint: str) -> None:
    """With autostart:=false neither policy nor gate configures itself."""
    graph = build('pick_place', {'checkpoint': checkpoint, 'autostart': 'false'})
    assert [node(graph, name).parameters['autostart']
            for name in ('policy_node', 'command_gate')] == [False, False]


def test_every_simulated_robot_has_its_own_clock(checkpoint: str) -> None:
    """In a namespace /clock would belong to all robots of the domain; a real robot has none."""
    graph = build('pick_place', {'checkpoint': checkpoint, 'namespace': 'left'})
    assert all('/clock:=/left/clock' in graph.arguments(one) for one in graph.nodes)
    alone = build('pick_place', {'checkpoint': checkpoint})
    real = build('pick_place', {'checkpoint': checkpoint, 'namespace': 'left',
                                'simulator': 'false'})
    assert alone.remappings == real.remappings == {}


def test_a_lifeline_names_who_ends_first(checkpoint: str) -> None:
    """The gate waits for the policy, the arm for both, and two runs know nothing of each other."""
    graph = build('pick_place', {'checkpoint': checkpoint})
    *_, own, after = graph.lifeline(node(graph, 'simulated_robot'), 0)
    assert own.endswith('/simulated_robot')
    assert [name.rsplit('/', 1)[1] for name in after.split(',')] == ['command_gate', 'policy_node']
    assert graph.lifeline(node(graph, 'policy_node'), 0)[-1] == ''
    other = build('pick_place', {'checkpoint': checkpoint})
    assert other == graph
    assert other.lifeline(node(other, 'command_gate'), 0)[-2] != graph.lifeline(
        node(graph, 'command_gate'), 0)[-2]


@pytest.mark.parametrize('name', GRAPHS)
def test_node_modules_and_parameter_files_exist(name: str, checkpoint: str) -> None:
    """What a graph names is there to be started."""
    settings = {'pick_place': {'checkpoint': checkpoint}, 'ab_trial': {
        'study': checkpoint, 'simulated_operator': 'true'}}.get(name, {})
    for one in build(name, settings).nodes:
        assert importlib.util.find_spec(one.module) is not None
        assert one.parameter_file is None or one.parameter_file.is_file()
        json.dumps(dict(one.parameters))


def test_a_parameter_file_sets_what_no_argument_does(tmp_path: Path, checkpoint: str) -> None:
    """It wins over defaults, an argument wins over it, and a study stays blinded."""
    path = tmp_path / 'mine.yaml'
    path.write_text("""
/**/policy_node: {ros__parameters: {replan_period: 0.1, threads: 0, autostart: false}}
command_gate: {ros__parameters: {blend: 0.3, dry_run: true, blinded: false}}
""")
    given = {'checkpoint': checkpoint, 'params_file': str(path)}
    graph = build('pick_place', given)
    policy, gate = node(graph, 'policy_node'), node(graph, 'command_gate')
    assert policy.parameter_file == gate.parameter_file == path
    assert not {'replan_period', 'threads'} & set(policy.parameters)
    assert policy.parameters['autostart'] and policy.parameters['device'] == 'auto'
    assert not {'blend', 'dry_run'} & set(gate.parameters) and gate.parameters['ensemble'] == 0.0
    assert f'--params-file {path}' in ' '.join(graph.arguments(gate))
    chosen = build('pick_place', {**given, 'blend': '0.2', 'dry_run': 'true'})
    assert node(chosen, 'command_gate').parameters['blend'] == 0.2
    assert node(chosen, 'command_gate').parameters['dry_run'] is True
    study = build('ab_trial', {'study': checkpoint, 'params_file': str(path)})
    assert node(study, 'command_gate').parameters['blinded'] is True
    assert node(study, 'trial_node').parameter_file is None


def test_a_simulator_of_somebody_else_has_its_own_clock(checkpoint: str) -> None:
    """Simulated time without our arm; by itself it goes with the arm."""
    for given, simulated, timed in (
            ({}, True, True), ({'simulator': 'false'}, False, False),
            ({'simulator': 'false', 'use_sim_time': 'true'}, False, True),
            ({'use_sim_time': 'false'}, True, False)):
        graph = build('ab_trial', {'study': checkpoint, **given})
        assert ('simulated_robot' in [one.name for one in graph.nodes]) is simulated
        assert node(graph, 'policy_node').parameters['use_sim_time'] is timed
        assert bool(node(graph, 'trial_node').parameters.get('scene_parameters')) is simulated
