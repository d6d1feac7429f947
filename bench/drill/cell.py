# SPDX-License-Identifier: Apache-2.0
"""A whole cell as real processes: robot, gate, policy, and between them what breaks and listens.

Each node of the shipped graph is started on its own, so that it can be killed and started again
while the others live on. The gate's interlock is on: nothing may be commanded before it is given.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
import os
from pathlib import Path
import re
import signal
import time
from types import TracebackType
from typing import Any

import yaml

from bench.child import Child
from bench.drill import faulty_policy
from bench.drill.person import Person, person, wait_until
from bench.drill.robots import drill_contract, joint_spec, ROBOTS, step_limit
from vla_drop_ros.bringup import Graph, Node, pick_place
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.policies.registry import read_manifest
from vla_drop_ros.supervisor import Running

FIRST = 'put the red cube in the left bin'
CLOCK = '/drill/clock'
START = 120.0          # [s] that the graph may take to move for the first time
PUT = 0.2              # [s] after which the listener knows that the arm was put elsewhere
AT_REST = 1e-3         # [m] from its command within which an arm that stands has arrived
MOTION = 20.0          # [s] that a scene may take until the arm moves
ANSWERS = re.compile(r"checkpoint \w+ from '(.+)' answers from now on$")
SAID = re.compile(r'^drill: (\w+) at ([\d.]+)$')


class ClockedGraph(Graph):
    """A graph whose nodes hear the clock that the relay passes on."""

    def arguments(self, node: Node) -> list[str]:
        """Return the arguments that follow the interpreter and ``-m``."""
        words = Graph.arguments(self, node)
        return [*words, '-r', f'/clock:={CLOCK}'] if node.parameters.get('use_sim_time') else words


def holds_still(now: Mapping[str, Any], step: float, moves: float) -> bool:
    """Say whether commands and arm stand still, at the same place.

    The hold is a pose that was measured, or, where the arm was moved by less than a step [m], the
    one before: then the arm has come to it.

    Args:
        now: what the listener tells.
        step: largest jump of the contract, [m] or [rad].
        moves: speed that counts as real motion, [m/s] or [rad/s].

    """
    together = now['lead'] < AT_REST or (now['holds_measured'] and now['lead'] < step)
    return bool(together and now['speed'] < moves / 4 and now['commanded_speed'] == 0.0)


class Cell:
    """The processes of one drill, alive inside a ``with`` block.

    Attributes:
        contract: the YAML of the robot, as the gate reads it.
        checkpoint: what the policy runs.
        robot: how the arm is commanded.
        spec: the action language of the checkpoint.
        person: who instructs and switches.
        folder: for files of the drill.
        answers: folder of the checkpoint that answers, as the policy tells.
        said: when the faulty policy first showed a fault, by its name (monotonic, [s]).

    """

    person: Person

    def __init__(self, folder: Path, checkpoint: str = 'reference', policy: str = '',
                 robot: str = 'pose') -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: for the contract and the logs.
            checkpoint: what the policy runs.
            policy: module of the policy node, '' for that of the robot.
            robot: one of ``ROBOTS``.

        """
        self.folder = folder
        self.robot = ROBOTS[robot]
        self.checkpoint = checkpoint
        self.answers = ''
        self.said: dict[str, float] = {}
        self.contract, self.streams = drill_contract(robot)
        self._file = folder / 'robot.yaml'
        self._file.write_text(yaml.safe_dump(self.contract), encoding='utf-8')
        self.truth = self.streams[self.robot.measured][1]
        self.wish = folder / 'fault'
        self.wish.write_text('', encoding='utf-8')
        graph = pick_place(robot=str(self._file), checkpoint=checkpoint)
        spec = read_manifest(
            str(graph.nodes[-1].parameters['checkpoint'])).action_spec
        if spec is None:
            raise VlaDropError(f'checkpoint {checkpoint!r} has no action spec; it is no policy')
        self.spec = joint_spec(spec) if self.robot.measured == 'joints' else spec
        environment = {**graph.environment, faulty_policy.FILE: str(self.wish)}
        self._graph = ClockedGraph(graph.nodes, graph.namespace, environment)
        self._nodes = {node.name: node for node in graph.nodes}
        arm = self._nodes['simulated_robot']
        self._nodes[arm.name] = replace(arm, parameters={
            **arm.parameters, 'controller': self.robot.adapter})
        if policy := policy or self.robot.policy:
            self._nodes['policy_node'] = replace(self._nodes['policy_node'], module=policy)
        self._running: dict[str, Running] = {}
        self._log = (folder / 'output').open('a', encoding='utf-8')
        self.instruction = ''

    def __enter__(self) -> 'Cell':
        """Start everything and wait for the first motion."""
        self._stack = ExitStack()
        with self._stack:  # what has been started ends if the rest cannot start
            self._stack.callback(self._log.close)
            self._relay, self._clock = (
                self._stack.enter_context(Child('bench.drill.relay', settings)) for settings in (
                    {'streams': self.streams, 'clock': False}, {'streams': {}, 'clock': True}))
            self._listener = self._stack.enter_context(Child('bench.drill.listener', {
                'contract': str(self._file), 'truth': self.truth, 'clock': CLOCK}))
            for child in (self._relay, self._clock, self._listener):
                child.expect('ready')
            self.person = self._stack.enter_context(person())
            self._stack.callback(self.stop_all)
            for name in ('simulated_robot', 'command_gate', 'policy_node'):
                self.start(name)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End everything, the policy first, the robot last."""
        self._stack.close()

    def start(self, name: str) -> None:
        """Start a node of the graph."""
        node = self._nodes[name]
        running = Running(ClockedGraph((node,), '', self._graph.environment), self._on_line)
        running.start()
        self._running[name] = running

    def bring_up(self) -> None:
        """Wait for the policy, then give the permission to move.

        Raises:
            VlaDropError: the graph did not come up in time.

        """
        limit = time.monotonic() + START
        wait_until(lambda: self.status()['state'], START, 'the gate did not start')
        while not self.person.enable(True)[0]:
            self.check()
            if time.monotonic() > limit:
                raise VlaDropError(f'the gate was not active within {START:.0f} s')
        self.wait_for_policy()

    def wait_for_policy(self) -> None:
        """Return when the robot executes what the policy says.

        Raises:
            VlaDropError: it did not.

        """
        self.person.instruct(self.instruction or FIRST)
        self.wait_for_state('executing', START)

    def pid(self, name: str) -> int:
        """Return the process of a node."""
        return self._running[name].process_ids()[0]

    def signal(self, name: str, number: signal.Signals) -> float:
        """Send a signal to a node; return when (monotonic, [s])."""
        wall = time.monotonic()
        os.kill(self.pid(name), number)
        return wall

    def stop(self, name: str) -> tuple[str, ...]:
        """End a node in an orderly way if it lives; return its name if it had to be killed."""
        return self._running.pop(name).stop() if name in self._running else ()

    def stop_all(self) -> None:
        """End the nodes in their order."""
        for name in ('policy_node', 'command_gate', 'simulated_robot'):
            self.stop(name)

    def check(self, *absent: str) -> None:
        """Raise NodeDiedError if a node ended that the drill did not end."""
        for name, running in self._running.items():
            if name not in absent:
                running.check()

    def process_ids(self) -> Mapping[str, int]:
        """Return the processes of the graph by name."""
        return {name: running.process_ids()[0] for name, running in self._running.items()}

    def distort(self, mode: str, *streams: str) -> float:
        """Let the relay distort streams; return when (monotonic, [s])."""
        return min(self._ask_relay(stream=stream, mode=mode) for stream in streams)

    def clock(self, wish: str | float) -> float:
        """Halt, release or move the clock of the graph; return when (monotonic, [s])."""
        if isinstance(wish, float):
            self._relay.ask(clock=wish)  # the stamps jump with the clock
            self._relay.expect('wall')
        self._clock.ask(clock=wish)
        return float(self._clock.expect('wall'))

    def participant(self, present: bool) -> float:
        """Let the relay leave the ROS graph or come back as somebody new; return when."""
        return self._ask_relay(participant=present)

    def _ask_relay(self, **wish: Any) -> float:
        self._relay.ask(**wish)
        return float(self._relay.expect('wall'))

    def listener(self, **wish: Any) -> dict[str, Any]:
        """Ask the listener."""
        self._listener.ask(**wish)
        return self._listener.expect_all('done')

    def status(self) -> dict[str, Any]:
        """Return what the listener hears now."""
        return self.listener(status=1)

    def moves(self) -> bool:
        """Say whether command and arm really move now."""
        now = self.status()
        return bool(now['state'] == 'executing' and now['speed'] > self.robot.moves
                    and now['commanded_speed'] > self.robot.moves)

    def new_scene(self, seed: int) -> None:
        """Set up a scene while the gate holds, then ask for what belongs to it."""
        self.person.instruct('')
        wait_until(self._stands, 10.0, 'an empty instruction did not stop the robot')
        self.listener(carry=True)
        self.instruction = self.person.new_scene(seed)
        time.sleep(PUT)
        wait_until(self.is_settled, 10.0, 'the gate did not hold where the arm was put')
        self.listener(carry=False)
        self.person.instruct(self.instruction)

    def _stands(self) -> bool:
        """Say whether the arm is not asked to move for a while, not for one late pose only."""
        now = self.status()
        return bool(now['state'] != 'executing' and now['commanded_speed'] == 0.0)

    def is_settled(self) -> bool:
        """Say whether the gate holds the arm where it stands."""
        return holds_still(self.status(), step_limit(self.contract), self.robot.moves)

    def wait_for_motion(self, limit: float = MOTION) -> None:
        """Return while the arm moves.

        Raises:
            VlaDropError: it did not move.

        """
        wait_until(self.moves, limit, f'the arm did not move ({self.status()["state"]})')

    def wait_for_state(self, state: str, limit: float) -> None:
        """Return once the gate says ``state``.

        Raises:
            VlaDropError: it did not.

        """
        wait_until(lambda: self.status()['state'].startswith(state), limit,
                   f'the gate did not become {state!r}')

    def _on_line(self, name: str, line: str) -> None:
        self._log.write(f'{time.monotonic():.3f} {name}: {line}\n')
        self._log.flush()
        if found := ANSWERS.search(line):
            self.answers = found[1]
        elif found := SAID.match(line):
            self.said[found[1]] = float(found[2])
