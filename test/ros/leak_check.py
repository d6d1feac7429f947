# SPDX-License-Identifier: Apache-2.0
"""The leak check: an ear on a graph, trials that are noted, and a test of what tells the arm."""

from collections.abc import Sequence
from importlib import import_module
import json
import re
import time
from typing import Any

import numpy as np
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.types import FloatArray

BEHAVIOUR = ('/policy_node/action_chunk', '/policy_node/heartbeat',
             '/command_gate/capture_to_command', '/command_gate/commands_altered',
             '/command_gate/requested', '/bag_recorder/bag', '/target_pose', '/servo_node/',
             '/gripper')
Row = dict[str, float]
TRIALS, RUNNING, PERMUTATIONS, LEVEL = 24, 0.4, 20_000, 0.01


class Ear:
    """Hears all topics and reads all parameters of a graph, as text."""

    def __init__(self, bench: Any) -> None:
        """Subscribe to what there is now."""
        self.bench = bench
        self.node = Node('ear', context=bench.context)
        bench.executor.add_node(self.node)
        self.heard: list[tuple[str, Any]] = []
        self.topics: set[str] = set()
        self.listen()

    def listen(self) -> None:
        """Subscribe to what has appeared since."""
        for topic, kinds in self.node.get_topic_names_and_types():
            offers = self.node.get_publishers_info_by_topic(topic)
            if topic in self.topics or not offers:
                continue
            if {offer.node_name for offer in offers} == {'robot'}:
                continue  # what the cameras see and where the arm is
            self.topics.add(topic)
            package, _, name = kinds[0].split('/')
            offered = offers[0].qos_profile
            self.node.create_subscription(
                getattr(import_module(f'{package}.msg'), name), topic,
                lambda message, topic=topic: self.heard.append((topic, message)),
                QoSProfile(depth=1000, reliability=offered.reliability,
                           durability=offered.durability))

    def parameters(self) -> dict[str, str]:
        """Return every parameter of every other node."""
        found: dict[str, str] = {}
        for name, space in self.node.get_node_names_and_namespaces():
            full = f'{space.rstrip("/")}/{name}'
            if name in ('ear', 'robot'):
                continue
            names = list(self._ask(ListParameters, f'{full}/list_parameters',
                                   ListParameters.Request()).result.names)
            values = self._ask(GetParameters, f'{full}/get_parameters',
                               GetParameters.Request(names=names)).values
            found |= {f'{full} {key}': str(value)
                      for key, value in zip(names, values, strict=True)}
        return found

    def _ask(self, kind: Any, service: str, request: Any) -> Any:
        client = self.node.create_client(kind, service)
        self.bench.until(client.service_is_ready)
        future = client.call_async(request)
        self.bench.until(future.done)
        self.node.destroy_client(client)
        return future.result()


class Trials:
    """A bench with a gate and an ear that runs trials and notes what could be noticed of each."""

    def __init__(self, bench: Any, gate: CommandGateNode, instruction: str = 'go') -> None:
        """Take a bench whose policy node has started."""
        self.bench, self.gate, self.instruction = bench, gate, instruction
        self.ear = Ear(bench)
        self.text: list[str] = []
        self.rows: list[Row] = []

    def run(self, value: str, announced: str) -> None:
        """Run one trial: token, instruction, chunks, stop."""
        bench, ear = self.bench, self.ear
        said = bench.seen['policy_node/checkpoint']
        ear.heard.clear()
        begun = time.monotonic()
        assert bench.policy.set_parameters([Parameter('checkpoint', value=value)])[0].successful
        bench.until(lambda: said[-1:] and said[-1].data == announced)
        switched = time.monotonic() - begun
        del said[:]
        chunks = len(bench.moves)
        bench.instruct(self.instruction)
        bench.until(lambda: len(bench.moves) > chunks)
        end = time.monotonic() + RUNNING
        bench.until(lambda: time.monotonic() >= end)
        for node in (bench.policy, self.gate):
            node._on_second()  # noqa: SLF001 - what their clocks do once a second
        bench.instruct('')
        bench.until(lambda: not bench.chunks[-1].points and bench.policy._worker.is_idle)  # noqa: SLF001
        parameters = ear.parameters()
        ear.listen()
        self.rows.append({'switch': switched, **features(ear.heard, parameters)})
        self.text += [str(message) for topic, message in ear.heard
                      if not topic.startswith(BEHAVIOUR)]
        self.text += [f'{key} {text}' for key, text in parameters.items()]
        self.text += [' '.join(sorted(ear.topics))]

    def words(self, words: set[str]) -> list[str]:
        """Return which of the words were said anywhere."""
        said = '\n'.join(self.text).lower()
        return sorted(word for word in words if word.lower() in said)


def features(heard: Sequence[tuple[str, Any]], parameters: dict[str, str]) -> Row:
    """Return numbers of one trial: how often and how long each topic spoke, what it counted."""
    found: Row = {}
    for topic, message in heard:
        if topic.startswith(BEHAVIOUR):
            continue
        found[f'count {topic}'] = found.get(f'count {topic}', 0.0) + 1
        found[f'longest {topic}'] = max(
            found.get(f'longest {topic}', 0.0), float(len(str(_without_stamps(message)))))
        data = getattr(message, 'data', '')
        if isinstance(data, float):
            found[f'last {topic}'] = data
        elif isinstance(data, str) and data.startswith('{'):
            found |= numbers_in(json.loads(data), topic)
        if isinstance(message, Log):
            found |= _numbers_said(message)
        for status in getattr(message, 'status', ()):
            found[f'{status.name} sentence'] = len(status.message)
            for pair in status.values:
                try:
                    found[f'{status.name} {pair.key}'] = float(pair.value)
                except ValueError:
                    found[f'{status.name} {pair.key} length'] = len(pair.value)
    return found | {f'length {key}': float(len(text)) for key, text in parameters.items()}


def numbers_in(data: Any, name: str) -> Row:
    """Return the numbers in plain JSON types, and the lengths of its texts."""
    if isinstance(data, dict):
        parts = [numbers_in(value, f'{name} {key}') for key, value in data.items()]
    elif isinstance(data, list):
        parts = [{f'{name} length': float(len(data))}]
    else:
        parts = [{name: float(len(data) if isinstance(data, str) else data or 0.0)}]
    return {key: value for part in parts for key, value in part.items()}


def _numbers_said(line: Log) -> Row:
    """Return the numbers in a line of a log, tokens left out, by the words around them."""
    text = re.sub(r'sealed:\S+', 'sealed', line.msg)
    words = re.sub(r'[0-9.]+', '#', text)[:60]
    return {f'{line.name} {words} {place}': float(number)
            for place, number in enumerate(re.findall(r'\d+(?:\.\d+)?', text))}


def _without_stamps(message: Any) -> str:
    """Return the words of a message; its stamps have more or fewer digits by chance."""
    return ''.join(letter for letter in str(message) if not letter.isdigit())


def leaks(rows: Sequence[Row], arms: Sequence[bool], seed: int = 0,
          permutations: int = PERMUTATIONS) -> Row:
    """Return feature -> p of those that tell the arms apart, at LEVEL for all together.

    By permutation of the arms: the statistic is the difference of the mean ranks; p times the
    number of features (Bonferroni). A feature is a number, or its change since the trial before.
    """
    rng = np.random.default_rng(seed)
    labels = np.array(arms, dtype=float)
    shuffled = rng.permuted(np.tile(labels, (permutations, 1)), axis=1)
    columns: dict[str, FloatArray] = {}
    names = sorted({name for row in rows for name in row})
    seen = {name: np.array([row.get(name, -1.0) for row in rows]) for name in names}
    seen |= {f'change of {name}': np.diff(values, prepend=values[0])
             for name, values in seen.items()}
    for name, values in seen.items():
        if len(np.unique(values)) > 1:
            ranks = np.array([(values < one).sum() + (values <= one).sum() for one in values])
            columns[name] = ranks - ranks.mean()
    found = {}
    for name, ranks in columns.items():
        extreme = np.abs(shuffled @ ranks) >= abs(labels @ ranks) - 1e-9
        p = (1 + extreme.sum()) / (1 + permutations) * len(columns)
        if p <= LEVEL:
            found[name] = float(p)
    return found


def conduct(trials: Trials, study: Any, first: int = 0) -> tuple[Row, list[bool]]:
    """Run TRIALS slots of a study; return what leaks, and which arm ran."""
    slots = study.slots(first + TRIALS)[first:]
    for _, value in slots:
        trials.run(value, value)
    arms = [slot.arm == 'zebra' for slot, _ in slots]
    assert sum(arms) == TRIALS // 2
    return leaks(trials.rows[-TRIALS:], arms), arms


def assert_sealed(trials: Trials, study: Any) -> None:
    """Check that no word was said, and that nothing tells the arm twice.

    One look has a false alarm in up to 1 % of runs; what is found must be found again.
    """
    found, arms = conduct(trials, study)
    assert trials.words(study.words()) == []
    same = [here == before for before, here in zip(arms, arms[1:], strict=False)]
    switches = [{'switch': row['switch']} for row in trials.rows]
    found |= leaks(switches[1:], same)
    if found:
        again, _ = conduct(trials, study, TRIALS)
        assert not set(found) & set(again), (found, again)
