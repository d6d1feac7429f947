# SPDX-License-Identifier: Apache-2.0
"""The node graphs as data: `ros2 launch` and `vla_drop up` start exactly what is written here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
import importlib.util
import json
import os
from pathlib import Path
import sys
from types import MappingProxyType
from typing import NamedTuple
from uuid import uuid4

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import (
    CheckpointError,
    ContractError,
    MissingDependencyError,
    TrialError,
    unknown,
    VlaDropError,
)
from vla_drop_ros.graph_arguments import (
    AB_TRIAL_ARGUMENTS,
    Argument,
    DEFAULT_CHECKPOINT,
    PICK_PLACE_ARGUMENTS,
    SIMULATED_ROBOT,
    SIMULATED_ROBOT_ARGUMENTS,
    Value,
)
from vla_drop_ros.parameter_file import parameters_in
from vla_drop_ros.resources import share_folders, share_path
from vla_drop_ros.shared_memory import available_bytes, profile_variable, uses_fast_dds

Parameters = Mapping[str, Value | Sequence[str]]

STOP_DEADLINE = 10.0  # [s] that a node has between the polite signal and SIGKILL
SETTLED = 5.0  # [s] after which a node that dies did not die of how it was started
INSTALL_SIMULATION = 'pip install mujoco mink daqp'
LIFELINE = 'vla_drop_ros.lifeline'
ARGUMENT_WINS = ('autostart', 'robot', 'checkpoint')  # over a file that lists every default
TRANSPORT_SEGMENT = 32 * 2**20  # [bytes] a process, as config/fastdds_shm.xml says


@dataclass(frozen=True, slots=True)
class Node:
    """One process of a graph.

    Attributes:
        name: name in the ROS graph.
        module: Python module whose ``main`` is the node.
        parameters: values set on the command line; they win over ``parameter_file``.
        parameter_file: YAML with ``ros__parameters``, or None.
        stop_order: nodes with a smaller number are stopped, and have ended, before the others.
        has_end: the node ends by itself when its work is done, and with it the graph.
        respawns: it is started again when it dies, and the others go on; not one that moves the
            robot, and not one that dies within ``SETTLED``, which would go on for ever.

    """

    name: str
    module: str
    parameters: Parameters = field(default_factory=dict)
    parameter_file: Path | None = None
    stop_order: int = 0
    has_end: bool = False
    respawns: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Processes that belong together, in the order in which they are started.

    Attributes:
        nodes: the processes.
        namespace: of every node; '' is the root.
        environment: variables that every process gets.
        run: tells two runs of the same graph apart.

    """

    nodes: tuple[Node, ...]
    namespace: str = ''
    environment: Mapping[str, str] = field(default_factory=dict)
    run: str = field(default_factory=lambda: uuid4().hex[:12], compare=False)

    @property
    def remappings(self) -> dict[str, str]:
        """Return the topics that have another name: two simulated robots need two clocks."""
        has_clock = any(node.parameters.get('publish_clock') for node in self.nodes)
        if not self.namespace or not has_clock:
            return {}
        return {'/clock': f'/{self.namespace.strip("/")}/clock'}

    def before(self, node: Node) -> tuple[Node, ...]:
        """Return the nodes that are to have ended before ``node`` is stopped."""
        return tuple(other for other in self.nodes if other.stop_order < node.stop_order)

    def lifeline(self, node: Node, parent: int, deadline: float = STOP_DEADLINE) -> list[str]:
        """Return the arguments that follow the interpreter and precede the module.

        Args:
            node: one of the graph's.
            parent: process that has to live, 0: whoever starts it.
            deadline: time that a node has to stop, [s].

        """
        after = ','.join(f'{LIFELINE}/{self.run}/{other.name}' for other in self.before(node))
        return ['-m', LIFELINE, str(parent), str(deadline), f'{LIFELINE}/{self.run}/{node.name}',
                after]

    def arguments(self, node: Node) -> list[str]:
        """Return the arguments that follow the interpreter and ``-m``."""
        words = [node.module, '--ros-args', '-r', f'__node:={node.name}']
        if self.namespace:
            words += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        for name, other in self.remappings.items():
            words += ['-r', f'{name}:={other}']
        if node.parameter_file is not None:
            words += ['--params-file', str(node.parameter_file)]
        for name, value in node.parameters.items():
            words += ['-p', f'{name}:={json.dumps(value)}']
        return words

    def full_names(self) -> tuple[str, ...]:
        """Return the node names as the ROS graph shows them."""
        prefix = f'/{self.namespace.strip("/")}' if self.namespace else ''
        return tuple(f'{prefix}/{node.name}' for node in self.nodes)


def simulated_robot(*, publish_clock: bool = True, task: str = '', seed: int = 0,
                    variant: str = 'nominal', speed: float = 1.0, viewer_rate: float = 0.0,
                    namespace: str = '') -> Graph:
    """Return the simulated arm alone, behind the topics of a real robot."""
    node = Node(
        'simulated_robot', 'vla_drop_ros.nodes.simulated_robot_node',
        {'publish_clock': publish_clock, 'task': task, 'seed': seed, 'variant': variant,
         'speed': speed, 'viewer_rate': viewer_rate},
        share_path('config', 'simulated_robot.yaml'), stop_order=2)
    return Graph((node,), namespace, process_environment(renders=True))


def pick_place(*, robot: str = SIMULATED_ROBOT, checkpoint: str = DEFAULT_CHECKPOINT,
               instruction: str = '', dry_run: bool = False, simulator: str = 'auto',
               device: str = 'auto', threads: int = 1, execution: str = 'asynchronous',
               resident: int = 1, blend: float = 0.1, ensemble: float = 0.0,
               replan_period: float = 0.0, autostart: bool = True, use_sim_time: str = 'auto',
               params_file: str = '', namespace: str = '', **scene: Value) -> Graph:
    """Return policy and gate, and the simulated arm unless a real robot is there.

    Raises:
        ContractError: the robot contract is absent or incomplete.
        CheckpointError: the checkpoint folder is absent.
        VlaDropError: the parameter file is absent or none.

    """
    contract_file = find_contract(robot)
    contract = load_contract(contract_file)
    simulate = contract.robot == SIMULATED_ROBOT if simulator == 'auto' else simulator == 'true'
    common: dict[str, Value] = {
        'use_sim_time': simulate if use_sim_time == 'auto' else use_sim_time == 'true',
        'autostart': autostart, 'robot': str(contract_file)}
    gate = Node('command_gate', 'vla_drop_ros.nodes.command_gate_node',
                {**common, 'dry_run': dry_run, 'blend': blend, 'ensemble': ensemble},
                stop_order=1)
    policy = Node(
        'policy_node', 'vla_drop_ros.nodes.policy_node',
        {**common, 'checkpoint': str(find_checkpoint(checkpoint)), 'device': device,
         'threads': threads, 'execution': execution, 'resident': resident,
         'replan_period': replan_period, 'instruction': instruction})
    arm = simulated_robot(namespace=namespace, **scene).nodes if simulate else ()  # type: ignore[arg-type]
    mine = _with_file((gate, policy), params_file) if params_file else (gate, policy)
    return Graph((*arm, *mine), namespace, process_environment(simulate, threads))


def _with_file(nodes: Sequence[Node], given: str) -> list[Node]:
    """Return nodes that read a parameter file; an argument that is no default wins over it."""
    path = Path(given).expanduser().resolve()
    found = parameters_in(path)
    defaults = {argument.name: argument.default for argument in PICK_PLACE_ARGUMENTS
                if argument.name not in ARGUMENT_WINS}
    return [replace(node, parameter_file=path, parameters={
        name: value for name, value in node.parameters.items()
        if name not in found[node.name] or value != defaults.get(name, ())}) for node in nodes]


def ab_trial(*, study: str = '', operator: str = '', rig: str = '', robot_name: str = 'robot',
             log: str = '', first_round: int = 0, end_round: int = 0, reset_service: str = '',
             host: str = '127.0.0.1', port: int = 8080, simulated_operator: bool = False,
             trial_file: str = '', bags: bool = True, stops_early: bool = True,
             **graph: Value) -> Graph:
    """Return the graph of ``pick_place`` with a blinded study on it.

    Raises:
        TrialError: no study is given.

    """
    folder = str(Path(study).expanduser().resolve())
    if not study or not Path(folder).is_dir():
        raise TrialError(f'study {study!r}: give the folder of a locked study (study:=DIR); '
                         'vla_drop trials plan DESIGN -o DIR makes one')
    base = pick_place(checkpoint=folder, **graph)  # type: ignore[arg-type]
    blind: dict[str, Parameters] = {
        'policy_node': {'checkpoint': '', 'study': folder}, 'command_gate': {'blinded': True}}
    nodes = [replace(node, parameters={**node.parameters, **blind.get(node.name, {})})
             for node in base.nodes]
    common = {key: nodes[-1].parameters[key] for key in ('use_sim_time', 'robot')}
    scene: dict[str, Value] = {'reset_service': reset_service}
    if nodes[0].name == 'simulated_robot':
        scene = {'reset_service': 'simulated_robot/reset', 'scene_parameters': 'simulated_robot',
                 'success_topic': 'simulated_robot/success', 'ends_on_success': True}
    nodes.append(Node('trial_node', 'vla_drop_ros.nodes.trial_node', {
        **common, 'study': folder, 'operator': operator, 'robot_name': robot_name, 'log': log,
        'rig_file': str(Path(rig).expanduser().resolve()) if rig else '',
        'first_round': first_round, 'end_round': end_round, 'host': host, 'port': port, **scene},
        parameter_file=Path(trial_file).expanduser().resolve() if trial_file else None,
        stop_order=-1))
    if bags:
        nodes.append(Node('bag_recorder', 'vla_drop_ros.nodes.bag_recorder_node',
                          {**common, 'study': folder, 'extra_topics': [
                              'studio_camera/image_raw' if graph.get('viewer_rate') else '']},
                          stop_order=3, respawns=True))
    if simulated_operator:
        nodes.append(Node('simulated_operator', 'vla_drop_ros.nodes.simulated_operator_node',
                          {'stops_early': stops_early}, stop_order=-2, has_end=True))
    return replace(base, nodes=tuple(nodes))


class Recipe(NamedTuple):
    """How a named graph is built and what may be set."""

    build: Callable[..., Graph]
    arguments: tuple[Argument, ...]
    description: str


GRAPHS: Mapping[str, Recipe] = MappingProxyType({
    'pick_place': Recipe(pick_place, PICK_PLACE_ARGUMENTS,
                         'camera images and an instruction in, arm motion out'),
    'ab_trial': Recipe(ab_trial, AB_TRIAL_ARGUMENTS,
                       'a blinded study of checkpoints: robot, policy, trials, web console'),
    'simulated_robot': Recipe(simulated_robot, SIMULATED_ROBOT_ARGUMENTS,
                              'the simulated arm alone, behind the topics of a real robot'),
})


def build(graph: str, settings: Mapping[str, str]) -> Graph:
    """Return the named graph; ``settings`` hold what a user typed, by argument name.

    Raises:
        VlaDropError: unknown graph, unknown argument, or a value that is not valid.

    """
    if graph not in GRAPHS:
        raise VlaDropError(unknown('graph', graph, GRAPHS))
    recipe = GRAPHS[graph]
    arguments = {argument.name: argument for argument in recipe.arguments}
    for name in settings:
        if name not in arguments:
            raise VlaDropError(unknown(f'argument of {graph}', name, arguments))
    return recipe.build(**{name: arguments[name].parse(text) for name, text in settings.items()})


def find_contract(robot: str) -> Path:
    """Return the file of a robot contract given as a path or as a name in config/robots."""
    return _find(robot, ('config', 'robots'), '.yaml', 'robot', ContractError)


def find_checkpoint(checkpoint: str) -> Path:
    """Return the folder of a checkpoint given as a path or as a name in models."""
    return _find(checkpoint, ('models',), '', 'checkpoint', CheckpointError)


def _find(given: str, folder: tuple[str, ...], suffix: str, kind: str,
          error: type[VlaDropError]) -> Path:
    path = Path(given).expanduser()
    if path.exists() and given:
        return path.resolve()
    roots = [root.joinpath(*folder) for root in share_folders()]
    shipped = {entry.name.removesuffix(suffix): entry for root in reversed(roots)
               if root.is_dir() for entry in root.iterdir()
               if entry.suffix == suffix and not entry.name.startswith('.')}
    if given in shipped:
        return shipped[given]
    what = 'file' if suffix else 'folder'
    if not shipped:
        raise error(f'{kind} {given!r} is not there; give the path of a {what}')
    raise error(f'{unknown(kind, given, shipped)} Give the path of a {what}, or such a name')


def process_environment(renders: bool = False, threads: int = 1) -> dict[str, str]:
    """Return the variables that every process of a graph gets; what the user set is kept.

    Args:
        renders: whether a process draws camera images and so needs an OpenGL backend.
        threads: CPU threads a process may use for numerics.

    Raises:
        SimulationError: ``renders`` and no OpenGL backend works here.
        MissingDependencyError: ``renders`` and MuJoCo is not installed.

    """
    wanted = {
        'OMP_NUM_THREADS': str(threads),
        'OMP_WAIT_POLICY': 'PASSIVE',  # spinning threads starve the other process for 10s of ms
        'PYTHONUNBUFFERED': '1',
        'RCUTILS_CONSOLE_OUTPUT_FORMAT': '[{severity}] {message}',  # who says it stands before
    }
    if available_bytes() > 8 * TRANSPORT_SEGMENT:
        wanted[profile_variable()] = str(share_path('config', 'fastdds_shm.xml'))
    if renders and importlib.util.find_spec('mujoco') is None:
        raise MissingDependencyError(
            f'the simulated arm needs MuJoCo, which is not installed; {INSTALL_SIMULATION}')
    if renders and 'MUJOCO_GL' not in os.environ:
        from vla_drop_ros.simulation.opengl import choose_backend
        wanted['MUJOCO_GL'] = choose_backend()
    chosen = {name: os.environ.get(name, value) for name, value in wanted.items()}
    root = str(Path(__file__).resolve().parent.parent)
    others = [path for path in os.environ.get('PYTHONPATH', '').split(os.pathsep)
              if path and path != root]
    return {**chosen, 'PYTHONPATH': os.pathsep.join([root, *others])}


def leave_shared_memory() -> None:
    """Let this process, before it starts rclpy, send and receive over UDP only.

    Who sends through shared memory can be made to wait by a receiver that is halted or killed,
    see ``config/fastdds_udp.xml``. A profile that the user has set stays; so does discovery on
    this machine with static peers, which no profile of ours knows, and another middleware.
    """
    ours, told = str(share_path('config', 'fastdds_shm.xml')), os.environ
    if not uses_fast_dds() or told.get(profile_variable(), ours) != ours:
        return
    profile = 'fastdds_udp.xml'
    if (told.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'
            or told.get('ROS_LOCALHOST_ONLY') == '1'):
        if told.get('ROS_STATIC_PEERS'):
            return
        profile = 'fastdds_udp_localhost.xml'  # the variables would bring shared memory back
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SYSTEM_DEFAULT'
        os.environ.pop('ROS_LOCALHOST_ONLY', None)
    os.environ[profile_variable()] = str(share_path('config', profile))


def interpreter() -> str:
    """Return the Python that runs the nodes: $VLA_DROP_PYTHON, or the one that runs this."""
    return os.environ.get('VLA_DROP_PYTHON', sys.executable)
