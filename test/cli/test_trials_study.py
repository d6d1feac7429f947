# SPDX-License-Identifier: Apache-2.0
"""run shows a study without its arms and ends with it; keys needs a terminal."""

from collections.abc import Callable
import os
from pathlib import Path
import sys
import textwrap

import pytest

from vla_drop_ros.bringup import Graph, Node
from vla_drop_ros.cli.main import main
from vla_drop_ros.cli.trials_study import line_of, run_study, trial_line
from vla_drop_ros.console.keyboard import KEYS
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.log import TrialLog


def write_log(path: Path) -> Path:
    """Write a log of one trial."""
    with TrialLog(path) as log:
        log.append('opened', {})
        log.append('issued', {'code': '1', 'index': 0, 'attempt': 0, 'condition': 'a',
                              'token': '0.0.x'})
        log.append('started', {'code': '1', 'stamp': 10.0, 'source': 'web'})
        log.append('ended', {'code': '1', 'stamp': 15.0, 'reason': 'stopped'})
        log.append('judged', {'code': '1', 'verdict': 'failure', 'stage': '', 'note': '',
                              'reason': 'dropped', 'progress': 0.0, 'source': '', 'who': ''})
    return path


@pytest.fixture(name='graph')
def _graph(tmp_path: Path) -> Callable[[str], Graph]:
    """Return a maker of graphs: a robot that runs for ever, and a person with this source."""
    def make(source: str) -> Graph:
        (tmp_path / 'fake_robot.py').write_text('import signal\nsignal.pause()\n')
        (tmp_path / 'fake_person.py').write_text(textwrap.dedent(source))
        paths = [str(tmp_path), *(path for path in sys.path if path)]
        return Graph((Node('robot', 'fake_robot'),
                      Node('simulated_operator', 'fake_person', stop_order=-1, has_end=True)),
                     environment={'PYTHONPATH': os.pathsep.join(paths)})
    return make


def test_a_study_ends_with_its_operator(tmp_path: Path, graph: Callable[[str], Graph]) -> None:
    """When the person has left, the rest is stopped and every trial was shown."""
    log, copy = tmp_path / 'log.jsonl', write_log(tmp_path / 'copy.jsonl')
    source = f"open({str(log)!r}, 'wb').write(open({str(copy)!r}, 'rb').read())"
    shown: list[str] = []
    assert run_study(graph(source), log, lambda attempts: shown.extend(
        one.verdict for one in attempts), lambda name, line: None) == 0
    assert 'failure' in shown


def test_a_study_that_fails_says_why(tmp_path: Path, graph: Callable[[str], Graph]) -> None:
    """A node that gives up is an error with its last words."""
    with pytest.raises(NodeDiedError, match='no locked study'):
        run_study(graph("import sys; sys.exit('no locked study')"), tmp_path / 'log.jsonl',
                  lambda attempts: None, lambda name, line: None)


def test_ctrl_c_stops_the_graph(tmp_path: Path, graph: Callable[[str], Graph]) -> None:
    """An interrupt ends it with the status of an interrupt; the log is resumed later."""
    source = f"""
        import os, signal
        os.kill({os.getpid()}, signal.SIGINT)
        signal.pause()
    """
    assert run_study(graph(source), tmp_path / 'log.jsonl', lambda attempts: None,
                     lambda name, line: None) == 130


def test_a_trial_in_one_line() -> None:
    """Code, verdict, time, instruction and reason; no arm, for nobody has opened them."""
    attempt = Attempt('17', 3, 0, 'a', '3.0.x', 10.0, 15.0, 'stopped', 'failure', '', 0.0,
                      'dropped', values={'instruction': 'put it in the bin'})
    line = trial_line(attempt)
    for part in ('17', 'failure', '5.0 s', 'put it in the bin', 'dropped'):
        assert part in line
    state = {'code': '17', 'phase': 'arrange', 'waiting': 'the robot is being reset',
             'problem': '', 'condition': {'setup': 'cube left', 'instruction': 'go'}}
    assert line_of(state) == 'trial 17, arrange: cube left / go  (the robot is being reset)'


def test_the_help_of_keys_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it does."""
    with pytest.raises(SystemExit):
        main(['trials', 'keys', '--help'])
    told = capsys.readouterr().out
    for key, what in KEYS.items():
        assert f'  {"space" if key == " " else key}: {what}\n' in told


def test_what_cannot_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a study, and keys without a terminal: a sentence, nothing started."""
    assert main(['trials', 'run', str(tmp_path)]) == 2
    assert 'no locked study' in capsys.readouterr().err
    assert main(['trials', 'keys', 'http://127.0.0.1:9']) == 2
    assert 'terminal' in capsys.readouterr().err
