# SPDX-License-Identifier: Apache-2.0
"""Trials begin when all machines are ready, and end with a robot that was told to stop."""

from collections.abc import Mapping
import json
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import (
    Command,
    PrepareScene,
    ResetScene,
    SendInstruction,
    UseToken,
)
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Course, Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import state_of
from vla_drop_ros.trials.study_session import StudySession

SCENE = json.dumps({'instruction': 'put the red cube in the left bin', 'target': 'red'})


class Cell:
    """A session with a log in memory, and machines that do what they are asked at once."""

    def __init__(self, design: Design, resets: bool = True,
                 scenes: bool | None = None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[Command] = []
        self.full, self.deaf, self.now, self.refusal = False, False, 100.0, ''
        self.design, schedule = design, SealedSchedule(design, bytes(32))

        def conductor(append: Any = self.append) -> Conductor:
            found = Conductor(design, schedule, append, lambda attempts: False)
            found.begin()
            return found

        self.session = StudySession(
            design, conductor(), lambda: conductor(lambda kind, data: None), resets,
            resets if scenes is None else scenes)
        self.session.gate('holding: no chunk')

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        if self.full:
            raise TrialError('disk full')
        self.events.append((kind, dict(data)))

    def run(self, seconds: float = 0.5, clock: bool = True) -> None:
        """Let time go by in ticks of 0.1 s; machines answer."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for command in self.session.tick(self.now if clock else 0.0, self.now):
                self.sent.append(command)
                if not self.deaf:
                    self.session.answer(command, not self.refusal, self.refusal or SCENE)
                if isinstance(command, UseToken) and not self.deaf and not self.refusal:
                    self.session.policy(command.token)

    def press(self, name: str, **more: Any) -> Reply:
        return self.session.press(Verb(name, 'web', **more))

    def begin(self) -> None:
        """Arrange and start a trial; the first chunk has come."""
        self.run()
        assert self.press('start').done
        self.run(0.2)
        self.session.chunk(self.now)

    def kinds(self, *wanted: str) -> list[str]:
        return [kind for kind, _ in self.events if kind in wanted]

    def phase(self) -> Phase:
        return self.session.conductor.phase


@pytest.fixture(name='cell')
def _cell(design: Design) -> Cell:
    return Cell(design)


def test_a_trial_from_arrangement_to_verdict(cell: Cell) -> None:
    """Silence, token and scene, then the instruction; a seen success stops robot and trial."""
    cell.begin()
    kinds = [type(command) for command in cell.sent]
    assert kinds == [SendInstruction, UseToken, PrepareScene, ResetScene, SendInstruction]
    assert [one.text for one in cell.sent if isinstance(one, SendInstruction)] == [
        '', 'put the red cube in the left bin']
    cell.session.age(0.15)
    cell.session.detect('simulator', '', True, ends=True)
    cell.run()
    assert cell.sent[-1] == SendInstruction('') and cell.phase() is Phase.JUDGE
    assert state_of(cell.session, cell.design, cell.now)['suggestion']['verb'] == 'success'
    measured = next(data for kind, data in cell.events if kind == 'measured')['values']
    assert measured['latency']['median'] == 0.15 and measured['chunks'] == 1
    assert cell.press('success').done
    assert cell.kinds('detected', 'ended', 'judged') == ['detected', 'ended', 'judged']
    cell.run()
    assert isinstance(cell.sent[-1], ResetScene), 'the next scene is arranged at once'


def test_no_start_before_all_are_ready(cell: Cell) -> None:
    """Without policy, scene or gate a start is refused with what is missing."""
    cell.deaf = True
    cell.run()
    assert 'policy' in cell.press('start').text and cell.kinds('started') == []
    cell.session.policy('sealed:of another trial')
    cell.run()
    assert 'policy' in cell.press('start').text
    cell.session.policy(f'sealed:{cell.session.conductor.token()}')
    cell.run()
    assert 'reset' in cell.press('start').text
    cell.deaf = False
    cell.run(25.0)  # nobody answered the first time: asked again
    assert cell.session.problem == '' and cell.session.waiting == ''
    cell.session.gate('estopped: pressed')
    cell.run()
    assert 'emergency stop' in cell.press('start').text
    assert state_of(cell.session, cell.design, cell.now)['estop']
    cell.session.gate('holding: no chunk')
    cell.run()
    assert cell.press('start').done


@pytest.mark.parametrize(('fault', 'reason', 'verb'), [
    ('estop', 'safety_stop', 'invalid'), ('silent', 'policy_fault', 'failure'),
    ('clock', 'robot_fault', 'invalid'), ('time', 'timeout', 'failure')])
def test_faults_end_a_trial(cell: Cell, fault: str, reason: str, verb: str) -> None:
    """The robot is told to stop, the log says why, and a verdict is only suggested."""
    cell.begin()
    if fault == 'estop':
        cell.session.gate('estopped: pressed')
        cell.run()
    elif fault == 'time':
        for _ in range(320):
            cell.run(0.1)
            cell.session.chunk(cell.now)
    else:
        cell.run(12.0, clock=fault != 'clock')
    ended = [data for kind, data in cell.events if kind == 'ended']
    assert [one['reason'] for one in ended] == [reason]
    assert cell.sent[-1] == SendInstruction('') and cell.phase() is Phase.JUDGE
    assert state_of(cell.session, cell.design, cell.now)['suggestion']['verb'] == verb
    assert cell.kinds('judged') == []


def test_a_full_disk_stops_the_robot_first(cell: Cell) -> None:
    """The end is written as soon as there is room again, with the time at which it was."""
    cell.begin()
    cell.full = True
    at = cell.now
    assert not cell.press('stop').done
    cell.run(4.0)
    assert cell.sent[-1] == SendInstruction('') and cell.phase() is Phase.RUNNING
    assert 'disk full' in state_of(cell.session, cell.design, cell.now)['problem']
    cell.full = False
    cell.run(4.0)
    ended = next(data for kind, data in cell.events if kind == 'ended')
    assert cell.phase() is Phase.JUDGE and ended['reason'] == 'stopped'
    assert ended['stamp'] == pytest.approx(at, abs=0.2)
    assert cell.kinds('measured') == ['measured']


def test_a_refused_token_is_asked_for_again(cell: Cell) -> None:
    """People read who refuses and why; not before two seconds are over it is tried again."""
    cell.refusal = 'not enough memory'
    cell.run(1.0)
    assert 'not enough memory' in cell.session.problem
    assert sum(isinstance(one, UseToken) for one in cell.sent) == 1
    cell.refusal = ''
    cell.run(3.0)
    assert cell.session.problem == '' and cell.press('start').done


def test_a_policy_that_takes_over_is_not_asked_again(cell: Cell) -> None:
    """It agreed and takes its time; whoever asked it again at once would never let it finish."""
    cell.deaf = True
    cell.run(0.5)
    asked = next(one for one in cell.sent if isinstance(one, UseToken))
    cell.session.answer(asked, True, '')
    cell.run(3.0)
    assert sum(isinstance(one, UseToken) for one in cell.sent) == 1
    cell.run(4.0)  # it never came: it may have been started anew
    assert sum(isinstance(one, UseToken) for one in cell.sent) == 2


def test_rehearsal_leaves_no_trace(cell: Cell) -> None:
    """Practice trials are not logged, and the study goes on with the trial it was at."""
    cell.run()
    logged = list(cell.events)
    token = cell.session.conductor.token()
    assert cell.press('rehearse', value=True).done and cell.press('rehearse', value=True).done
    cell.begin()
    assert not cell.press('rehearse', value=False).done, 'not in the middle of a trial'
    assert cell.press('stop').done and cell.press('success').done
    cell.session.measure('1', {'bag': {}})
    assert cell.press('rehearse', value=False).done and cell.events == logged
    cell.run()
    assert cell.session.conductor.token() == token and cell.press('start').done


def test_undo_arranges_the_scene_again(cell: Cell) -> None:
    """What was prepared for the trial that is taken back has gone stale."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    cell.run()
    assert cell.press('undo').done and cell.phase() is Phase.JUDGE
    assert cell.press('failure').done
    before = len(cell.sent)
    cell.run()
    assert any(isinstance(one, PrepareScene) for one in cell.sent[before:])
    assert Course.of(cell.events).attempts[0].verdict == 'failure'
    assert cell.kinds('measured') == ['measured'], 'once a trial'


def test_a_node_that_ends_says_so(cell: Cell) -> None:
    """A trial that runs when the session is closed is over."""
    cell.begin()
    cell.session.close()
    assert cell.kinds('ended') == ['ended'] and cell.phase() is Phase.JUDGE


def test_people_arrange_a_real_robot(design: Design) -> None:
    """Without a reset service nobody is asked: who presses start says that the scene is ready."""
    cell = Cell(design, resets=False)
    cell.run()
    assert not any(isinstance(one, PrepareScene | ResetScene) for one in cell.sent)
    assert cell.press('start').done
    cell.run()
    assert cell.sent[-1] == SendInstruction(cell.session.conductor.condition.instruction)


def test_a_real_robot_that_arranges_its_scene_by_itself(design: Design) -> None:
    """Its reset is asked for and its answer counts, as long as it takes; once a trial."""
    cell = Cell(design, resets=True, scenes=False)
    cell.deaf = True
    cell.run(60.0)
    resets = [one for one in cell.sent if isinstance(one, ResetScene)]
    assert len(resets) == 1 and 'policy' in cell.session.waiting
    cell.session.answer(resets[0], True, 'done')
    cell.session.policy(f'sealed:{cell.session.conductor.token()}')
    cell.run()
    assert cell.press('start').done


def test_a_robot_that_dies_while_it_resets_is_asked_again(cell: Cell) -> None:
    """When its services are back: nobody answers what was asked of the one before."""
    cell.session.answer(cell.session.tick(0.0, 0.0)[-1], True, '')  # the scene is known
    cell.deaf = True
    cell.run()
    cell.session.tick(cell.now, cell.now, ['simulated_robot/reset'])
    assert not cell.session.policy_ready
    cell.deaf = False
    cell.run()
    assert cell.press('start').done


def test_a_late_reset_is_not_the_next_trials(cell: Cell) -> None:
    """An answer to what was asked before an undo says nothing about the scene after it."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    cell.deaf = True
    cell.run(0.3)
    old = next(one for one in reversed(cell.sent) if isinstance(one, PrepareScene))
    cell.session.answer(old, True, '')
    reset = next(one for one in cell.session.tick(cell.now, cell.now)
                 if isinstance(one, ResetScene))
    assert cell.press('undo').done
    assert cell.press('invalid', reason='reset_failed').done
    cell.session.answer(reset, True, SCENE)
    cell.run(0.1)
    assert not cell.session.scene_ready


def test_a_start_counts_what_was_said_since_the_last_look(cell: Cell) -> None:
    """Nobody starts before the first look, nor after a stop that no tick has seen yet."""
    assert not cell.press('start').done
    cell.run()
    cell.session.gate('estopped: pressed')
    assert 'emergency stop' in cell.press('start').text
    cell.session.gate('holding: no chunk')
    cell.session.policy('sealed:none')
    assert 'policy' in cell.press('start').text and cell.kinds('started') == []


def test_a_stop_ends_whatever_runs(cell: Cell) -> None:
    """A robot that was told to stop runs no trial, whichever the presser meant."""
    cell.begin()
    assert cell.press('stop', code='99').done and cell.phase() is Phase.JUDGE


@pytest.mark.parametrize(('fault', 'reason'), [
    ('token', 'policy_fault'), ('gate', 'robot_fault'), ('clock', 'robot_fault')])
def test_who_is_started_anew_in_a_trial_ends_it(cell: Cell, fault: str, reason: str) -> None:
    """At once, with a length that is no nonsense: the arm has not lost a trial by it."""
    cell.begin()
    if fault == 'token':
        cell.session.policy('sealed:none')
    elif fault == 'gate':
        cell.session.gate('inactive')
    else:
        cell.now, steady = 3.0, cell.now
        cell.session.tick(cell.now, steady + 0.1)
        cell.session.tick(cell.now + 0.1, steady + 0.2)
    cell.run(0.2)
    ended = [data for kind, data in cell.events if kind == 'ended']
    assert [one['reason'] for one in ended] == [reason]
    assert cell.session.conductor.current.duration >= 0.0


def test_a_session_that_stood_still_does_not_blame_the_policy(cell: Cell) -> None:
    """Of what it did not hear while its process hung nobody is guilty: the time is up."""
    cell.begin()
    cell.now += cell.design.timeout
    cell.run(0.2)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['timeout']


def test_what_a_slow_detector_says_is_of_the_trial_it_means(cell: Cell) -> None:
    """Not of the one that runs now, which it does not end; a silent one says nothing."""
    cell.begin()
    cell.session.detect('lid', '', False, ends=True)
    assert cell.press('stop').done
    cell.run(0.2)
    cell.session.detect('lid', '1', True, ends=True)
    cell.session.detect('slow', '1', False, ends=True)
    first = cell.session.conductor.current
    assert first.detected == {'lid': True, 'slow': False}
    assert cell.press('success').done
    cell.begin()
    cell.session.detect('slow', '1', True, ends=True)
    cell.run(0.2)
    assert cell.phase() is Phase.RUNNING and first.detected['slow'] is True
    assert cell.press('stop').done
    cell.run(0.2)
    assert cell.session.conductor.current.detected == {}


def test_no_number_is_no_age(cell: Cell) -> None:
    """A latency that JSON cannot write is left out."""
    cell.begin()
    for age in (0.1, float('nan'), float('inf'), 1e308, 1e308):
        cell.session.age(age)
    assert cell.session.measures.ages == [0.1]


def test_a_later_session_does_not_measure_an_earlier_trial(cell: Cell) -> None:
    """Undo after a new start of the node keeps what was measured when the trial ran."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    schedule = SealedSchedule(cell.design, bytes(32))
    conductor = Conductor(cell.design, schedule, cell.append, lambda attempts: False)
    conductor.resume(list(cell.events))
    cell.session = StudySession(cell.design, conductor, lambda: conductor, True, True)
    cell.session.detect('simulator', '', False, ends=True)
    assert cell.press('undo').done
    cell.run(0.3)
    assert conductor.current.values['chunks'] == 1 and conductor.current.detected == {}


def test_a_bag_that_comes_during_rehearsal_is_kept(cell: Cell) -> None:
    """It takes a while to close; who rehearses meanwhile loses nothing."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    assert cell.press('rehearse', value=True).done
    cell.session.measure('1', {'bag': {'uri': 'bags/1'}})
    assert Course.of(cell.events).attempts[0].values['bag'] == {'uri': 'bags/1'}
