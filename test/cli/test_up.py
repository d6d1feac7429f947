# SPDX-License-Identifier: Apache-2.0
"""`vla_drop up` starts a graph, follows it, and says by its exit status how it ended."""

import argparse
from dataclasses import replace
from pathlib import Path
import signal

import pytest

from vla_drop_ros import preflight
from vla_drop_ros.bringup import Graph, GRAPHS, Node
from vla_drop_ros.cli import main as cli
from vla_drop_ros.cli import up
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.preflight import Check
from vla_drop_ros.shared_memory import profile_variable


@pytest.fixture(autouse=True)
def keep_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test runner alone."""
    monkeypatch.setattr(signal, 'signal', lambda number, handler: None)


def fake_graph(folder: Path, source: str) -> Graph:
    """Return a graph of one process that runs ``source``."""
    (folder / 'fake_node.py').write_text(source, encoding='utf-8')
    root = Path(__file__).resolve().parent.parent.parent
    return Graph((Node('gate', 'fake_node'),), environment={'PYTHONPATH': f'{folder}:{root}'})


def test_a_crash_is_named_with_its_last_lines(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1, and the node, its exit code and what it said are on stderr."""
    assert up.run(fake_graph(tmp_path, 'raise SystemExit("out of magic")')) == up.NODE_DIED
    said = capsys.readouterr()
    assert 'gate | out of magic' in said.out
    assert 'node gate ended by itself (exit code 1)' in said.err


def test_a_start_without_shared_memory_is_warned_of(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    """What raw images will suffer from, and the remedy; with a profile there is no word of it."""
    monkeypatch.delenv(profile_variable(), raising=False)
    graph = fake_graph(tmp_path, 'raise SystemExit(1)')
    up.run(graph)
    assert 'warning: no profile, for want of shared memory' in capsys.readouterr().err
    up.run(replace(graph, environment={**graph.environment, profile_variable(): 'mine.xml'}))
    assert 'warning' not in capsys.readouterr().err


def test_every_graph_has_the_arguments_of_the_launch_file() -> None:
    """Each argument of a graph is an option with the same default."""
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    for name, recipe in GRAPHS.items():
        args = parser.parse_args([name])
        for argument in recipe.arguments:
            assert getattr(args, argument.name) == argument.default_text


def test_lines_carry_the_name_of_the_node(capsys: pytest.CaptureFixture[str]) -> None:
    """Names are padded to one width; colours only when asked for."""
    up.line_printer(['gate', 'policy'], colour=False)('gate', 'hello')
    up.line_printer(['gate', 'policy'], colour=True)('policy', 'hello')
    plain, coloured = capsys.readouterr().out.splitlines()
    assert plain == '  gate | hello'
    assert coloured.startswith('\033[')


def test_nothing_starts_when_a_check_fails(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A taken domain stops the start before any process, with exit status 2."""
    def refuse(checks: object) -> None:
        raise VlaDropError('domain: taken. export ROS_DOMAIN_ID=1')

    monkeypatch.setattr(preflight, 'require', refuse)
    monkeypatch.setattr(up, 'run', lambda graph: pytest.fail('must not start'))
    assert cli.main(['up', 'simulated_robot']) == cli.BAD_INPUT
    assert 'ROS_DOMAIN_ID' in capsys.readouterr().err


def test_only_graphs_with_a_policy_need_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated arm alone starts on a machine without torch."""
    monkeypatch.setattr(preflight, 'check_domain', lambda names: Check('domain', True, ''))
    robot = Graph((Node('simulated_robot', 'm'),))
    policy = Graph((Node('policy_node', 'm', {'checkpoint': '/x'}),))
    assert len(up.graph_checks(robot)) == 1
    assert preflight.check_torch in up.graph_checks(policy)
