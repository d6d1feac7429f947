# SPDX-License-Identifier: Apache-2.0
"""The verb runs a study to its end, reports logs, and refuses what it would destroy."""

from collections.abc import Callable
import os
from pathlib import Path
import sys
import textwrap

import pytest

from vla_drop_ros.bringup import Graph, Node
from vla_drop_ros.cli.main import main
from vla_drop_ros.cli.trials import episode_line, run_study, study_graph, StudySettings
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.trials.episode import Arm, Episode, Latency, schedule, Study
from vla_drop_ros.trials.log import open_study

STUDY = Study(arms=(Arm('full', '/a', 'a' * 64), Arm('less', '/b', 'b' * 64)), episodes=3,
              seed=100, task='', variant='nominal', timeout=12.0, tool_version='0.1.0')


def write_log(path: Path) -> Path:
    """Write a complete study that the arm 'less' did not solve."""
    log, _ = open_study(path, STUDY)
    with log:
        for slot in schedule(STUDY):
            arm = STUDY.arms[0 if slot.arm == 'full' else 1]
            log.append('episode', Episode(
                slot=slot, attempt=0, task='left_bin', instruction='put it in the bin',
                variant='nominal', checkpoint=arm.path, checkpoint_hash=arm.hash,
                outcome='success' if slot.arm == 'full' else 'timeout', reason='', detail='',
                started=1.0, duration=5.0, moved_object=None,
                latency=Latency.of([0.08])).to_dict())
    return path


def test_report_prints_both_and_writes_the_page(tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """Counts of both checkpoints are printed, and the page is written."""
    log = write_log(tmp_path / 'study.jsonl')
    assert main(['trials', 'report', str(log), '--page', str(tmp_path / 'page.html')]) == 0
    out = capsys.readouterr().out
    assert '3/3 = 100.0 %' in out and '0/3 = 0.0 %' in out
    assert 'data:image/png;base64' in (tmp_path / 'page.html').read_text()


def test_report_of_a_changed_log_is_refused(tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """An outcome edited by hand is an error, not a report."""
    log = write_log(tmp_path / 'study.jsonl')
    log.write_text(log.read_text().replace('"timeout", "reason"', '"success", "reason"', 1))
    assert main(['trials', 'report', str(log)]) == 2
    assert 'edited, removed or moved' in capsys.readouterr().err


def test_run_never_overwrites_a_log(tmp_path: Path, tiny_checkpoint: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """An existing log needs --resume; nothing is started without it."""
    log = write_log(tmp_path / 'study.jsonl')
    before = log.read_bytes()
    assert main(['trials', 'run', str(tiny_checkpoint), '-o', str(log)]) == 2
    assert '--resume' in capsys.readouterr().err
    assert log.read_bytes() == before


def test_run_of_an_unknown_checkpoint_is_refused(tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that is not there is named before anything is started."""
    assert main(['trials', 'run', 'absent', '-o', str(tmp_path / 'study.jsonl')]) == 2
    assert 'absent' in capsys.readouterr().err


def test_study_graph_starts_the_first_checkpoint_and_ends_with_the_study(
        tmp_path: Path, tiny_checkpoint: Path) -> None:
    """The policy begins with the baseline, keeps all arms, and the trial node ends the graph."""
    entries = (f'full={tiny_checkpoint}', f'less={tiny_checkpoint}')
    graph = study_graph(StudySettings(entries, tmp_path / 'study.jsonl', episodes=7))
    nodes = {node.name: node for node in graph.nodes}
    assert set(nodes) == {'simulated_robot', 'command_gate', 'policy_node', 'trial_node'}
    assert nodes['policy_node'].parameters['checkpoint'] == str(tiny_checkpoint)
    assert nodes['policy_node'].parameters['resident'] == 2
    trial = nodes['trial_node']
    assert trial.has_end and trial.parameters['use_sim_time'] is True
    assert trial.parameters['episodes'] == 7
    assert [name for name, node in nodes.items() if node.has_end] == ['trial_node']


@pytest.fixture
def fake_graph(tmp_path: Path) -> Callable[[str], Graph]:
    """Return a maker of graphs: a robot that runs for ever, and a trial node with this source."""
    def make(source: str) -> Graph:
        (tmp_path / 'fake_robot.py').write_text('import signal\nsignal.pause()\n')
        (tmp_path / 'fake_trial.py').write_text(textwrap.dedent(source))
        paths = [str(tmp_path), *(path for path in sys.path if path)]
        return Graph((Node('robot', 'fake_robot'),
                      Node('trial_node', 'fake_trial', stop_order=-1, has_end=True)),
                     environment={'PYTHONPATH': os.pathsep.join(paths)})
    return make


def test_a_study_ends_with_its_node(tmp_path: Path, fake_graph: Callable[[str], Graph]) -> None:
    """When the trial node has ended well, the rest is stopped and every episode was shown."""
    log = tmp_path / 'study.jsonl'
    copy = write_log(tmp_path / 'copy.jsonl')
    graph = fake_graph(f"""
        open({str(log)!r}, 'wb').write(open({str(copy)!r}, 'rb').read())
    """)
    shown: list[Episode] = []
    assert run_study(graph, log, shown.append, lambda name, line: None) == 0
    assert [episode.slot for episode in shown] == list(schedule(STUDY))


def test_a_study_that_fails_says_why(tmp_path: Path, fake_graph: Callable[[str], Graph]) -> None:
    """A trial node that gives up is an error with its last words."""
    graph = fake_graph("""
        import sys
        sys.exit('3 invalid episodes in a row')
    """)
    with pytest.raises(NodeDiedError, match='3 invalid episodes in a row'):
        run_study(graph, tmp_path / 'study.jsonl', lambda episode: None, lambda name, line: None)


def test_ctrl_c_stops_the_graph(tmp_path: Path, fake_graph: Callable[[str], Graph]) -> None:
    """An interrupt ends the study with the status of an interrupt."""
    graph = fake_graph(f"""
        import os, signal
        os.kill({os.getpid()}, signal.SIGINT)
        signal.pause()
    """)
    assert run_study(graph, tmp_path / 'study.jsonl', lambda episode: None,
                     lambda name, line: None) == 130


def test_episode_line_names_scene_arm_outcome_and_instruction(tmp_path: Path) -> None:
    """One line tells what happened."""
    log = write_log(tmp_path / 'study.jsonl')
    from vla_drop_ros.trials.log import read_log
    line = episode_line(read_log(log).episodes[0])
    for part in ('scene 1', 'put it in the bin', '5.0 s'):
        assert part in line
