# SPDX-License-Identifier: Apache-2.0
"""The leak check on the whole graph of a study: trial node, recorder, console and bags, too.

A locked study is run as people run it, by verbs. Nothing in topics, names, parameters, /rosout,
what the console serves, and metadata and contents of the bags may name an arm, and no number of
them, messages by topic in the bags among them, may tell the arms apart. Left out is what the robot
does. The same graph with one leak planted in each of these places must be found out everywhere.
"""

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import time
from typing import Any
from urllib.request import urlopen

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, String
import yaml

from vla_drop_ros.nodes import trial_node
from vla_drop_ros.nodes.bag_recorder_node import BagRecorderNode
from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.nodes.qos import ESTOP, STATUS
from vla_drop_ros.trials.session_state import state_of

pytestmark = pytest.mark.ros
pytest.importorskip('rosbags.rosbag2')
pytest.importorskip('uvicorn')

PAGES = ('', 'console.js', 'buttons.js', 'console.css', 'state')
PERMUTATIONS = 100_000  # a whole graph has some hundred numbers
COMMON = {'reference'}  # a picture of the scene is called that, too
PLACES = ('topics', 'names', 'parameters', 'console', 'bags')


class Graph:
    """Policy node, gate, trial node, recorder and console, and all that they say.

    Attributes:
        rows: numbers of each trial.
        said: place -> all that was said there.
        plant: called with the arm when its trial runs.

    """

    def __init__(self, leak_check: Any, bench: Any, gate: CommandGateNode, settings: Any) -> None:
        """Start trial node and recorder beside a policy node and a gate that have started."""
        self.leak_check, self.bench, self.gate = leak_check, bench, gate
        bench.conducted = False
        self.trials = trial_node.TrialNode(bench.context, settings(port=0, operator='ann'))
        self.recorder = BagRecorderNode(bench.context, settings(minimum_free_mb=1))
        for node in (self.trials, self.recorder):
            bench.executor.add_node(node)
            assert node.start()
        self.ear = leak_check.Ear(bench)
        self.verbs = bench.node.create_publisher(String, 'trial_node/verb', STATUS)
        bench.until(self.verbs.get_subscription_count)
        self.rows: list[Any] = []
        self.said: dict[str, list[str]] = {place: [] for place in PLACES}
        self.plant: Callable[[str], None] = lambda arm: None

    def press(self, verb: str, phase: str) -> None:
        """Say a verb, and wait for what follows."""
        self.verbs.publish(String(data=verb))
        self.bench.until(lambda: self.trials.session.conductor.phase.value == phase)

    def serve(self, page: str = 'state') -> str:
        """Return what the console serves."""
        console = self.trials._desk._console
        assert console is not None
        with urlopen(console.url + page, timeout=20.0) as answer:
            return str(answer.read().decode())

    def run(self, arm: str) -> None:
        """Run the next trial, of which only the test knows the arm."""
        begun, session = time.monotonic(), self.trials.session
        self.bench.until(lambda: session.policy_ready and not session.waiting)
        row = {'switch': time.monotonic() - begun}
        code, ear = session.conductor.current.code, self.ear
        self.press('start', 'running')
        self.plant(arm)
        end = time.monotonic() + self.leak_check.RUNNING
        self.bench.until(lambda: time.monotonic() >= end)
        for node in (self.bench.policy, self.gate, self.recorder):
            node._on_second()  # what their clocks do once a second
        self.press('stop', 'judge')
        self.bench.until(lambda: session.measures.to_dict() and '"judge"' in self.serve())
        served = self.serve()
        parameters = ear.parameters()
        ear.listen()
        row |= self.leak_check.features(ear.heard, parameters)
        row |= self.leak_check.numbers_in(json.loads(served)['state'], 'console')
        self.said['topics'] += [str(message) for _, message in ear.heard]
        self.said['parameters'] += [f'{key} {text}' for key, text in parameters.items()]
        self.said['names'] += [str(ear.node.get_node_names_and_namespaces()),
                               str(ear.node.get_service_names_and_types()),
                               str(ear.node.get_topic_names_and_types())]
        self.said['console'] += [served, *map(self.serve, PAGES if not self.rows else ())]
        ear.heard.clear()
        self.press('success', 'arrange')
        self.rows.append(row | self.read_bag(code))

    def read_bag(self, code: str) -> Any:
        """Return how many messages the bag of a trial has, by topic; keep its words."""
        folder = Path(self.recorder.parameters.study) / 'bags' / code
        reports = [attempt.values for attempt in self.trials.session.attempts
                   if attempt.code == code]
        self.bench.until(lambda: 'bag' in reports[0])
        told = (folder / 'metadata.yaml').read_text()
        content = (folder / f'{code}.mcap').read_bytes()
        self.said['bags'] += [told, content.decode(errors='replace'), json.dumps(
            reports[0]['bag'])]
        counts = yaml.safe_load(told)['rosbag2_bagfile_information']['topics_with_message_count']
        return {f'bag {one["topic_metadata"]["name"]}': float(one['message_count'])
                for one in counts
                if not one['topic_metadata']['name'].startswith(self.leak_check.BEHAVIOUR)}

    def conduct(self, study: Any, first: int = 0) -> Any:
        """Run as many trials as the check needs; return which numbers tell the arm."""
        count = self.leak_check.TRIALS
        arms = [slot.arm for slot, _ in study.slots(first + count)[first:]]
        for arm in arms:
            self.run(arm)
        zebra = [arm == 'zebra' for arm in arms]
        assert sum(zebra) == count // 2
        return self.leak_check.leaks(self.rows[-count:], zebra, permutations=PERMUTATIONS)

    def words(self, study: Any) -> dict[str, list[str]]:
        """Return place -> words for arms that were said there; places without any left out."""
        words = study.words() - COMMON
        found = {place: sorted(word for word in words if word.lower() in said.lower())
                 for place, said in ((place, '\n'.join(lines))
                                     for place, lines in self.said.items())}
        return {place: said for place, said in found.items() if said}

    def close(self) -> None:
        """End trial node and recorder."""
        for node in (self.recorder, self.trials):
            node.close()
            self.bench.executor.remove_node(node)
            node.destroy_node()


@pytest.fixture(name='study')
def _study(sealed_bench: Any, tmp_path: Path) -> Any:
    return sealed_bench.Study(tmp_path / 'study', sealed_bench.manifests(tmp_path / 'models'))


@pytest.fixture(name='graph')
def _graph(make: Callable[..., Any], policy_bench: Any, sealed_bench: Any, leak_check: Any,
           study: Any) -> Iterator[Graph]:
    bench = sealed_bench.with_fakes(
        make(start=False, replan_period=0.1, study=str(study.folder), checkpoint=''),
        policy_bench, study.arms)
    robot = str(policy_bench.ROBOT)
    gate = CommandGateNode(bench.context, sealed_bench.override(robot=robot, blinded=True))
    bench.executor.add_node(gate)
    assert gate.start() and bench.policy.start(), bench.policy.failure
    graph = Graph(leak_check, bench, gate, lambda **more: sealed_bench.override(
        study=str(study.folder), robot=robot, **more))
    yield graph
    graph.close()
    gate.close()
    gate.destroy_node()


@pytest.mark.slow
def test_nothing_in_the_graph_of_a_study_tells_the_arm(graph: Graph, study: Any) -> None:
    """One arm thinks six times as long; what is found must be found again to be believed."""
    found = graph.conduct(study)
    assert graph.words(study) == {}
    assert {'/trial_node/state', '/bag_recorder/bag', '/rosout',
            '/diagnostics'} <= graph.ear.topics
    bags = '\n'.join(graph.said['bags'])
    assert 'sealed:' in bags and '/trial_node/state' in bags, 'words in a bag can be read'
    assert {'bag /trial_node/state', 'bag /diagnostics', 'console trials_done'} <= set(
        graph.rows[0])
    if found:
        again = graph.conduct(study, graph.leak_check.TRIALS)
        assert not set(found) & set(again), (found, again)


@pytest.mark.slow
def test_a_leak_is_found_in_every_place(graph: Graph, study: Any,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """A number and a word each in state, console, diagnostics, log, parameter, name and bag."""
    trials, bench = graph.trials, graph.bench
    trials.declare_parameter('planted', '')
    stop = bench.node.create_publisher(Bool, 'estop', ESTOP)
    nodes: list[Node] = []
    now = {'arm': ''}

    def state_that_tells(*arguments: Any) -> Any:
        return {**state_of(*arguments), 'planted': 1.5 + (now['arm'] == 'zebra'),
                'said': now['arm']}

    def plant(arm: str) -> None:
        now['arm'] = arm
        pace = 1 + (arm == 'zebra')
        graph.recorder._streams.missing |= {'planted': str(pace), 'said': arm}
        trials.get_logger().info(f'planted: it took {pace}.5 s')
        trials.set_parameters([Parameter('planted', value=arm * pace)])
        for _ in range(pace):
            stop.publish(Bool(data=False))
        if not nodes:
            nodes.append(Node(f'helper_of_{arm}', context=bench.context))
            bench.executor.add_node(nodes[0])

    monkeypatch.setattr(trial_node, 'state_of', state_that_tells)
    graph.plant = plant
    try:
        found = set(graph.conduct(study))
    finally:
        for node in nodes:
            bench.executor.remove_node(node)
            node.destroy_node()
    for name in ('/trial_node/state planted', 'console planted', 'bag_recorder planted',
                 'trial_node planted: it took # s 0', 'length /trial_node planted', 'bag /estop'):
        assert name in found, (name, found)
    assert set(graph.words(study)) == set(PLACES)
