# SPDX-License-Identifier: Apache-2.0
"""The trial node runs a blinded study over real topics and services."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
import json
from pathlib import Path
import time
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import Joy
from std_msgs.msg import String

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.qos import LATCHED
from vla_drop_ros.nodes.simulated_operator_node import SimulatedOperatorNode
from vla_drop_ros.nodes.trial_node import TrialNode
from vla_drop_ros.nodes.trial_streams import Unattended
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.locked_study import load_study, open_schedule
from vla_drop_ros.trials.log import read_log

pytestmark = pytest.mark.ros

SEALED_MEASURES = ('"motion"', '"control"', '"host"', '"prepare"', 'verdict_after', 'sparc',
                   'longest_gap', 'moved_after', 'gpu_', '"cpu"')
ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'


@pytest.fixture(name='study')
def _study(trial_cell: Any, tmp_path: Path) -> Path:
    return Path(trial_cell.lock_study(tmp_path / 'study'))


@pytest.fixture(name='make')
def _make(trial_cell: Any, study: Path) -> Iterator[Callable[..., Any]]:
    yield from trial_cell.cells(study)


def test_a_whole_study_with_a_simulated_person(make: Callable[..., Any], study: Path) -> None:
    """Every slot once, each with its arm's outcome, picture, latency and a closed log."""
    cell = make()
    schedule = open_schedule(study, load_study(study))
    cell.machines.solves = lambda: schedule.arm_of(
        cell.trials.session.conductor.token()) == 'baseline'
    person = SimulatedOperatorNode(cell.context, [Parameter('remarks', value=0.5)])
    cell.executor.add_node(person)
    assert person.start()
    cell.until(lambda: person.finished, 90.0)
    person.destroy_node()
    attempts = cell.course().attempts
    assert [one.index for one in attempts] == list(range(8)) and cell.course().finished
    for one in attempts:
        solved = schedule.arm_of(one.token) == 'baseline'
        assert one.verdict == ('success' if solved else 'failure')
        assert one.detected == {'simulator': solved}
        assert one.end_reason == ('detector' if solved else 'timeout')
        assert one.values['latency']['median'] == 0.12 and one.values['instruction'] == 'go'
        picture = study / one.values['picture']['uri']
        assert picture.read_bytes()[:2] == b'\xff\xd8'
    assert sum('match' in one.values['picture'] for one in attempts) >= 4, 'seen before'
    assert sum(one.guess != '' for one in attempts) == 5
    assert 0 < sum(bool(one.incidents) for one in attempts) < 8
    assert {one.confidence for one in attempts} == {'sure', 'unsure'}
    assert cell.machines.resets >= 8
    assert not any('"arm' in json.dumps(state) for state in cell.states)
    check_measures(attempts, cell)


def check_measures(attempts: list[Attempt], cell: Any) -> None:
    """Check that the log has what was measured of each trial, and that nobody else was told."""
    for one in attempts:
        values = one.values
        # 2 cm a chunk; how many come, and how many of them are heard, hangs on the machine's load
        assert 0.0 < values['motion']['path'] < 0.02 * max(cell.machines.sent)
        assert 1 <= values['chunks'] <= max(cell.machines.sent)
        assert values['control']['commands'] >= 2 and 0.0 < values['control']['rate'] < 30.0
        assert values['prepare']['policy'] >= 0.0 and values['verdict_after'] >= 0.0
        assert ('arrange' in values['prepare']) == (one is not attempts[0])
        assert values['host']['memory'] > 2**20
    told = '\n'.join([*map(json.dumps, cell.states), *cell.said])
    assert not [word for word in SEALED_MEASURES if word in told]


def test_people_press_services_topics_and_buttons(make: Callable[..., Any]) -> None:
    """One trial by each; what comes at the wrong time is refused with a sentence."""
    cell = make(joy_buttons=['start=0', 'stop=1', 'invalid camera_lost=5'])
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert not cell.ask('success').success
    assert cell.ask('start').success and not cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 2)
    for verb in ('near_miss', 'collision', 'forget'):
        assert cell.ask(verb).success
    assert cell.ask('stop').success
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.ask('intervention').success and cell.ask('partial/grasped').success
    assert not cell.ask('near_miss').success and not cell.ask('forget').success
    cell.until(cell.ready)
    for text, phase in (('start', 'running'), ('stop', 'judge'),
                        ('failure dropped unsure', 'arrange')):
        cell.verbs.publish(String(data=text))
        cell.until(partial(cell.phase, phase))
    cell.until(cell.ready)
    for buttons, phase in (([0] * 6, 'arrange'), ([1, 0, 0, 0, 0, 0], 'running'),
                           ([1, 1, 0, 0, 0, 0], 'judge'), ([0, 0, 0, 0, 0, 1], 'arrange')):
        cell.joy.publish(Joy(buttons=buttons))
        cell.until(partial(cell.phase, phase))
    attempts = cell.course().attempts
    assert [(one.verdict, one.source) for one in attempts[:3]] == [
        ('partial', 'service'), ('failure', 'topic'), ('invalid', 'joy')]
    assert {one.who for one in attempts[:3]} == {'ann'}, 'no button says who pressed it'
    assert [one.kind for one in attempts[0].incidents] == ['near_miss', 'intervention']
    assert attempts[0].incidents[0].seconds_after_start > 0.0
    assert attempts[1].confidence == 'unsure'
    assert attempts[1].reason == 'dropped' and attempts[3].attempt == 1, 'the same slot again'
    cell.verbs.publish(String(data='{"verb": "success", "arm": "x"}'))
    cell.verbs.publish(String(data='{"verb": 7}'))
    cell.verbs.publish(String(data='undo'))
    cell.until(lambda: cell.phase('judge'))
    assert cell.course().attempts[2].undone == ['invalid']


def test_the_robot_hears_of_a_stop_before_the_log(make: Callable[..., Any]) -> None:
    """While the end of the trial is being written, the empty instruction is there already."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    heard: list[str] = []
    ear = cell.person.create_subscription(String, 'instruction', lambda message: None, LATCHED,
                                          callback_group=Unattended())
    conductor = cell.trials.session.conductor
    append = conductor._append

    def listen(word: str) -> bool:
        with ear.handle:
            found = ear.handle.take_message(String, False)
        heard.extend([found[0].data] if found else [])
        return heard[-1:] == [word]

    def slow(kind: str, data: Any) -> None:
        end = time.monotonic() + 5.0
        while kind == 'ended' and not listen('') and time.monotonic() < end:
            pass
        append(kind, data)

    conductor._append = slow
    assert cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 1 and listen('go'))
    assert cell.ask('stop').success
    assert heard[-2:] == ['go', '']


def test_the_emergency_stop_ends_a_trial(make: Callable[..., Any]) -> None:
    """At once, with the empty instruction; nothing starts before it is released."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert cell.ask('start').success
    cell.until(lambda: cell.machines.chunks > 1)
    cell.machines.gate.publish(String(data='estopped: pressed'))
    cell.until(lambda: cell.phase('judge'))
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.states[-1]['suggestion'] == {
        'verb': 'invalid', 'reason': 'emergency_stop', 'why': 'the robot was stopped'}
    assert cell.ask('invalid/emergency_stop').success
    cell.until(lambda: cell.phase('arrange') and 'emergency' in cell.states[-1]['waiting'])
    assert not cell.ask('start').success
    cell.machines.gate.publish(String(data='holding: no chunk'))
    cell.until(cell.ready)


def test_after_a_crash_the_same_trial_is_judged(make: Callable[..., Any]) -> None:
    """A node that comes back stops the policy and asks what became of the trial that ran."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    assert cell.ask('start').success
    code = cell.states[-1]['code']
    cell.trials._log.close()  # as after kill -9: nothing more is written
    cell.executor.remove_node(cell.trials)
    cell.trials.destroy_node()
    cell.trials = cell.begin()
    cell.until(lambda: cell.phase('judge'))
    cell.until(lambda: cell.machines.instruction == '')
    assert cell.states[-1]['code'] == code
    assert cell.states[-1]['suggestion']['why'] == 'the trial node ended in the middle'
    assert cell.ask('failure').success
    cell.until(cell.ready)
    assert [event.kind for event in read_log(cell.folder / 'log.jsonl').events].count(
        'session') == 2


def test_the_session_says_on_what_it_was_run(make: Callable[..., Any], tmp_path: Path) -> None:
    """The rig as people state it, the machine as it says itself, the middleware that is in use."""
    rig = tmp_path / 'rig.yaml'
    rig.write_text('robot_model: FR3\nlux: 450\n')
    cell = make(rig_file=str(rig))
    session = next(event.data for event in read_log(cell.folder / 'log.jsonl').events
                   if event.kind == 'session')
    assert session['rig'] == {'robot_model': 'FR3', 'lux': 450}
    assert session['host']['rmw'].startswith('rmw_') and session['host']['packages']['numpy']
    assert session['parameters']['rig_file'] == str(rig)
    assert session['parameters']['use_sim_time'] is False
    assert 'synchronized' in session['host']['clock']
    assert session['contract'] == sha256(ROBOT.read_bytes()).hexdigest()
    settings: list[Mapping[str, Any]] = []

    def told() -> list[Mapping[str, Any]]:
        settings[:] = [event.data for event in read_log(cell.folder / 'log.jsonl').events
                       if event.kind == 'settings']
        return settings

    cell.until(told)
    assert settings[0]['node'] == 'policy_node' and 'use_sim_time' in settings[0]['parameters']
    assert 'checkpoint' not in settings[0]['parameters'], 'it is the token of a trial'


def test_what_cannot_run_is_refused(study: Path, tmp_path: Path) -> None:
    """No study, one that was changed, a gamepad with nonsense: a sentence, and the log is free."""
    context = Context()
    context.init()
    try:
        for values, words in (
                ({}, 'study is empty'), ({'study': str(tmp_path)}, 'no locked study'),
                ({'study': str(study), 'rig_file': str(ROBOT)}, 'robot.*robot_model'),
                ({'study': str(study), 'joy_buttons': ['start']}, "joy button 'start'")):
            with pytest.raises(TrialError, match=words):
                TrialNode(context, [Parameter(name, value=value) for name, value in {
                    'robot': str(ROBOT), 'port': -1, **values}.items()])
        locked = load_study(study)
        data = replace(locked, commitment='0' * 64).to_dict()
        (study / 'study.json').write_text(json.dumps(data))
        with pytest.raises(TrialError, match='not the secret'):
            TrialNode(context, [Parameter('study', value=str(study)),
                                Parameter('robot', value=str(ROBOT))])
    finally:
        context.shutdown()
