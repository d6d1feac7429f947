# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes of a study are asked for once, and again after a restart."""

from collections.abc import Callable, Iterator, Mapping
import json
import time
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.machine_settings import LEFT_OUT, MachineSettings

pytestmark = pytest.mark.ros

PARAMETERS = {'checkpoint': 'sealed:1.0.ab', 'execution': 'asynchronous', 'blend': 0.1,
              'buttons': ['start=0', 'stop=1'], 'rates': [1.0, 2.5], 'threads': 2,
              'dry_run': False}


class Graph:
    """Somebody who asks, and a node with parameters that comes and goes."""

    def __init__(self) -> None:
        self.context = Context()
        self.context.init()
        self.asker = Node('trial_node', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.asker)
        self.settings = MachineSettings(self.asker, ('policy_node',))
        self.kept: list[tuple[str, Mapping[str, Any]]] = []

    def appear(self, **changes: Any) -> Node:
        node = Node('policy_node', context=self.context)
        for name, value in {**PARAMETERS, **changes}.items():
            node.declare_parameter(name, value)
        self.executor.add_node(node)
        return node

    def until(self, condition: Callable[[], Any]) -> None:
        limit = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < limit, self.kept
            self.executor.spin_once(timeout_sec=0.02)
            self.settings.work(lambda name, values: self.kept.append((name, values)))

    def vanish(self, node: Node) -> None:
        self.executor.remove_node(node)
        node.destroy_node()


@pytest.fixture(name='graph')
def _graph() -> Iterator[Graph]:
    graph = Graph()
    yield graph
    for node in graph.executor.get_nodes():
        node.destroy_node()
    graph.context.shutdown()


def test_what_a_node_runs_with_is_kept_once(graph: Graph) -> None:
    """All but the token of the trial, as JSON; a node that comes back is asked again."""
    first = graph.appear()
    graph.until(lambda: graph.kept)
    [(name, values)] = graph.kept
    assert name == 'policy_node' and not set(LEFT_OUT) & set(values)
    assert json.loads(json.dumps(values)) | PARAMETERS == {**values, **PARAMETERS}
    assert {key: values[key] for key in PARAMETERS if key not in LEFT_OUT} == {
        key: value for key, value in PARAMETERS.items() if key not in LEFT_OUT}
    graph.vanish(first)
    gone = time.monotonic() + 20.0
    while graph.settings._clients['policy_node'].services_are_ready():
        assert time.monotonic() < gone
        graph.executor.spin_once(timeout_sec=0.02)
    graph.settings.work(lambda name, values: None)
    graph.appear(blend=0.3)
    graph.until(lambda: len(graph.kept) == 2)
    assert graph.kept[1][1]['blend'] == 0.3


def test_what_cannot_be_kept_now_is_handed_over_again(graph: Graph) -> None:
    """The disk is full for a moment."""
    graph.appear()
    graph.until(lambda: graph.kept)
    graph.settings._answers.append(('command_gate', {'blend': 0.2}))

    def refuse(name: str, values: Mapping[str, Any]) -> None:
        raise TrialError('disk full')

    with pytest.raises(TrialError, match='full'):
        graph.settings.work(refuse)
    graph.settings.work(lambda name, values: graph.kept.append((name, values)))
    assert graph.kept[1:] == [('command_gate', {'blend': 0.2})]
