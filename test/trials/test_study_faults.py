# SPDX-License-Identifier: Apache-2.0
"""What breaks in a trial ends it with the reason that it had, and the robot is stopped first."""

from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import SendInstruction
from vla_drop_ros.trials.conductor import Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.session_state import state_of


@pytest.mark.parametrize(('fault', 'reason', 'verb'), [
    ('estop', 'safety_stop', 'invalid'), ('silent', 'policy_fault', 'failure'),
    ('clock', 'robot_fault', 'invalid'), ('time', 'timeout', 'failure')])
def test_faults_end_a_trial(cell: Any, fault: str, reason: str, verb: str) -> None:
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


def test_a_full_disk_stops_the_robot_first(cell: Any) -> None:
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


@pytest.mark.parametrize('when', ['measures', 'bag', 'verdict', 'detection', 'the end'])
def test_a_disk_that_is_full_for_a_moment_loses_nothing(cell: Any, when: str) -> None:
    """What could not be written is written later, once, and for the trial that it is of."""
    cell.begin()
    code, append = cell.session.conductor.current.code, cell.append

    def full_for(*kinds: str) -> None:
        def refuse(kind: str, data: Any) -> None:
            if kind in kinds:
                raise TrialError('disk full')
            append(kind, data)

        cell.session.conductor._append = refuse

    if when in ('measures', 'detection'):
        full_for('measured', 'detected')
        cell.session.detect('simulator', '', True, False)
    cell.press('stop')
    cell.run(0.3)
    if when == 'verdict':
        full_for('measured')
    assert cell.press('success').done
    if when in ('bag', 'the end'):
        full_for('measured')
    cell.session.measure(code, lambda: {'bag': {'uri': 'bags/1'}})
    cell.session.conductor._append = append
    if when == 'the end':
        cell.session.close()
    cell.run(3.0)
    values: dict[str, Any] = {}
    written = [data for kind, data in cell.events if kind == 'measured']
    for data in written:
        assert data['code'] == code and not values.keys() & data['values'].keys()
        values |= data['values']
    assert {'chunks', 'verdict_after', 'bag'} <= values.keys()
    assert values['chunks'] == 1
    if when == 'detection':
        assert [data['code'] for kind, data in cell.events if kind == 'detected'] == [code]


def test_a_robot_that_nothing_moves_runs_no_trial(cell: Any) -> None:
    """START is refused, a permission that is taken back ends the trial; no arm has failed."""
    cell.run()
    cell.session.gate('holding: not enabled')
    assert 'enable' in cell.press('start').text and cell.phase() is Phase.ARRANGE
    assert not state_of(cell.session, cell.design, cell.now)['ready']['robot']
    cell.session.gate('holding: no chunk')
    cell.begin()
    cell.session.gate('holding: not enabled')
    cell.run(0.3)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['robot_fault']
    cell.press('invalid', reason='reset_failed')
    cell.session.press(Verb('rehearse', 'web', value=True))
    cell.run()
    assert cell.press('start').done  # practice needs no robot
    cell.run(1.0)
    assert cell.phase() is Phase.RUNNING


@pytest.mark.parametrize(('fault', 'reason'), [
    ('token', 'policy_lost'), ('gate', 'robot_fault'), ('clock', 'robot_fault')])
def test_who_is_started_anew_in_a_trial_ends_it(cell: Any, fault: str, reason: str) -> None:
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


@pytest.mark.parametrize('by', [-1.5, 2.0, 600.0])
def test_a_clock_that_is_set_in_a_trial_costs_no_arm_a_trial(cell: Any, by: float) -> None:
    """Ahead it looked like a timeout, back by less than the trial's age like nothing at all."""
    cell.begin()
    cell.run(2.0)
    at, steady = cell.now, cell.now
    for tick in range(1, 4):
        cell.session.tick(at + by + 0.1 * tick, steady + 0.1 * tick)
    [ended] = [data for kind, data in cell.events if kind == 'ended']
    assert (ended['reason'], ended['stamp']) == ('robot_fault', pytest.approx(at, abs=0.2))
    assert cell.session.conductor.current.duration == pytest.approx(2.2, abs=0.3)


def test_a_session_that_stood_still_does_not_blame_the_policy(cell: Any) -> None:
    """Of what it did not hear while its process hung nobody is guilty: the time is up."""
    cell.begin()
    cell.now += cell.design.timeout
    cell.run(0.2)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['timeout']


@pytest.mark.parametrize(('silent', 'after', 'reason', 'verb'), [
    ('command_gate', 3.4, 'robot_fault', 'invalid'),
    ('policy_node', 5.4, 'policy_lost', 'invalid'),
    ('', 5.4, 'policy_fault', 'failure')])
def test_a_process_that_is_gone_is_not_the_arms_fault(
        cell: Any, silent: str, after: float, reason: str, verb: str) -> None:
    """The gate that died does not let the time run out; a policy that lives and thinks failed."""
    cell.begin()
    for name in ('command_gate', 'policy_node'):
        cell.session.signs.hear(name)
    cell.session.chunk(cell.now)
    for _ in range(round(after * 10)):
        for name in {'command_gate', 'policy_node'} - {silent}:
            cell.session.signs.hear(name)
        # A clock of coarse steps does not stand.
        cell.sent += cell.session.tick(cell.now, cell.now + 0.05)
        if silent == 'command_gate':
            cell.session.chunk(cell.now)
        cell.run(0.1)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == [reason]
    assert cell.sent[-1] == SendInstruction('')
    assert state_of(cell.session, cell.design, cell.now)['suggestion']['verb'] == verb


def test_a_policy_that_dies_just_before_the_timeout_has_not_failed(cell: Any) -> None:
    """Time is up before its silence is long enough to end the trial: its beats tell."""
    cell.begin()
    while cell.now < cell.session.conductor.current.started + cell.design.timeout - 3.6:
        cell.session.signs.hear('policy_node')
        cell.session.chunk(cell.now)
        cell.run(0.1)
    cell.run(4.0)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['policy_lost']


@pytest.mark.parametrize(('after', 'reason'), [
    (0.0, 'robot_fault'), (1.0, 'robot_fault'), (27.0, 'robot_fault'), (28.5, 'robot_fault'),
    (29.9, 'timeout')])
def test_a_camera_that_dies_costs_no_arm_a_trial(cell: Any, after: float, reason: str) -> None:
    """Before the first chunk, in the middle, before the timeout; not in its last instant."""
    cell.begin()
    while cell.phase() is Phase.RUNNING:
        dead = cell.now - cell.session.conductor.current.started >= after
        cell.session.signs.beat(blind=dead)
        if not dead:
            cell.session.chunk(cell.now)
        cell.run(0.1)
    [ended] = [data for kind, data in cell.events if kind == 'ended']
    assert ended['reason'] == reason
    assert cell.session.conductor.current.duration <= cell.design.timeout + 0.2
    suggested = state_of(cell.session, cell.design, cell.now)['suggestion']['verb']
    assert suggested == ('failure' if reason == 'timeout' else 'invalid')


def test_one_late_frame_at_the_timeout_excuses_nobody(cell: Any) -> None:
    """A policy that answers every half second was not silent: its time is up."""
    cell.begin()
    step = 0
    while cell.phase() is Phase.RUNNING:
        step += 1
        left = cell.session.conductor.current.started + cell.design.timeout - cell.now
        cell.session.signs.beat(blind=left < 0.25)
        if step % 5 == 0:
            cell.session.chunk(cell.now)
        cell.run(0.1)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['timeout']


def test_a_late_frame_is_no_excuse_for_a_policy_that_hangs(cell: Any) -> None:
    """One blind beat in five seconds of silence changes nothing."""
    cell.begin()
    cell.session.chunk(cell.now)
    for beat in range(60):
        cell.session.signs.beat(blind=beat == 30)
        cell.run(0.1)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['policy_fault']


@pytest.mark.parametrize(('silent', 'reason'), [
    ('command_gate', 'robot_fault'), ('policy_node', 'policy_lost'), ('', 'timeout')])
@pytest.mark.parametrize('before', [2.5, 0.3])
def test_who_dies_just_before_the_timeout_is_found_out(
        cell: Any, silent: str, reason: str, before: float) -> None:
    """The robot stops when time is up; the end is written when all have given a sign, or died."""
    cell.begin()
    names = {'command_gate', 'policy_node'}
    up = cell.session.conductor.current.started + cell.design.timeout
    while cell.now < up + 0.5 or (silent and cell.now < up + 4.0):
        dead = cell.now > up - before
        for name in names - ({silent} if dead else set()):
            cell.session.signs.hear(name)
        if not (dead and silent == 'policy_node'):
            cell.session.chunk(cell.now)
        cell.run(0.1)
        if up + 0.15 < cell.now < up + 0.25 and silent:
            assert cell.sent[-1] == SendInstruction('') and cell.kinds('ended') == []
    [ended] = [data for kind, data in cell.events if kind == 'ended']
    assert ended['reason'] == reason
    assert ended['stamp'] == pytest.approx(up, abs=0.2)


def test_while_the_roll_is_called_nothing_ends_the_trial_otherwise(cell: Any) -> None:
    """STOP, a success that is seen late and chunks that are on their way do not change the end."""
    until_time_is_up(cell, 'command_gate')
    up = cell.session.conductor.current.started + cell.design.timeout
    chunks = cell.session.measures.chunks
    cell.run(0.2)
    assert cell.kinds('ended') == []
    assert cell.press('stop').done
    cell.session.detect('simulator', '', True, True)
    cell.session.chunk(cell.now)
    cell.run(0.2)
    assert cell.kinds('ended') == [] and cell.session.measures.chunks == chunks
    cell.session.signs.hear('command_gate')
    cell.run(0.2)
    [ended] = [data for kind, data in cell.events if kind == 'ended']
    assert (ended['reason'], ended['stamp']) == ('timeout', pytest.approx(up, abs=0.2))


def until_time_is_up(cell: Any, *living: str) -> None:
    """Run a trial until its time is up, with signs of life of these."""
    cell.begin()
    while cell.now < cell.session.conductor.current.started + cell.design.timeout:
        for name in living:
            cell.session.signs.hear(name)
        cell.session.chunk(cell.now)
        cell.run(0.1)
    cell.run(0.1)
    assert cell.sent[-1] == SendInstruction('') and cell.kinds('ended') == []


def test_a_recorder_that_hangs_holds_no_end_up(cell: Any) -> None:
    """It gives signs of life too, and nobody waits for them."""
    until_time_is_up(cell, 'command_gate', 'bag_recorder')
    cell.session.signs.hear('command_gate')
    cell.run(0.2)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['timeout']


def test_a_stop_at_the_last_moment_changes_no_end(cell: Any) -> None:
    """All have given a sign, the next tick has not come: the reason and the time stay."""
    until_time_is_up(cell, 'command_gate')
    cell.session.signs.hear('command_gate')
    assert cell.press('stop').done
    [ended] = [data for kind, data in cell.events if kind == 'ended']
    assert (ended['reason'], ended['stamp']) == ('timeout', pytest.approx(cell.now, abs=0.3))


def test_a_session_that_ends_before_all_have_answered_blames_nobody(cell: Any) -> None:
    """The gate may have died before the timeout, and its end may end this node."""
    until_time_is_up(cell, 'command_gate')
    cell.session.close()
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['crash']


def test_a_policy_that_is_started_anew_at_the_timeout_is_lost(cell: Any) -> None:
    """It beats again, and answers to nobody."""
    until_time_is_up(cell, 'command_gate', 'policy_node')
    cell.session.signs.hear('command_gate')
    cell.session.policy('sealed:none')
    cell.run(0.2)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['policy_lost']


def test_what_is_held_up_holds_no_end_up(cell: Any) -> None:
    """Measures do not fit on the disk, the end of the next trial does."""
    cell.begin()
    append = cell.append

    def refuse(kind: str, data: Any) -> None:
        if kind == 'measured':
            raise TrialError('disk full')
        append(kind, data)

    cell.session.conductor._append = refuse
    cell.press('stop')
    cell.run(0.3)
    assert cell.press('success').done
    cell.run(0.5)
    assert cell.press('start').done
    for _ in range(320):
        cell.session.chunk(cell.now)
        cell.run(0.1)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == [
        'stopped', 'timeout']


def test_a_robot_whose_clock_stands_after_the_timeout_does_not_hold_the_end_up(cell: Any) -> None:
    """A policy cannot beat then, and is forgiven: the robot is lost."""
    until_time_is_up(cell, 'policy_node')
    at = cell.now
    for step in range(120):
        cell.session.tick(at, at + 0.1 * step)
    assert [data['reason'] for kind, data in cell.events if kind == 'ended'] == ['robot_fault']


def test_while_the_clock_stands_no_policy_can_beat(cell: Any) -> None:
    """Its beats are on that clock: a robot that is late is no lost policy."""
    cell.begin()
    cell.session.signs.hear('policy_node')
    cell.session.chunk(cell.now)
    standing = cell.now
    for step in range(60):
        cell.session.tick(standing, standing + 0.1 * step)
    cell.now = standing + 6.0
    cell.session.tick(standing + 0.1, cell.now)
    assert not cell.session.signs.silent('policy_node') and cell.phase() is Phase.RUNNING


@pytest.mark.parametrize('cause', ['e-stop', 'timeout', 'detector'])
def test_the_robot_hears_of_the_end_before_the_log(cell: Any, cause: str) -> None:
    """A disk that takes its time holds no stop up."""
    cell.begin()
    heard: list[bool] = []
    append = cell.append

    def slow(kind: str, data: Any) -> None:
        if kind == 'ended':
            heard.append(cell.sent[-1] == SendInstruction(''))
        append(kind, data)

    cell.append = slow
    cell.session.conductor._append = slow
    if cause == 'e-stop':
        cell.session.gate('estopped')
    elif cause == 'detector':
        cell.session.detect('simulator', '', True, True)
    for _ in range(round(cell.design.timeout * 10) + 5):
        cell.session.chunk(cell.now)
        cell.run(0.1)
    assert heard == [True]


def test_a_node_that_ends_says_so(cell: Any) -> None:
    """A trial that runs when the session is closed is over."""
    cell.begin()
    cell.session.close()
    assert cell.kinds('ended') == ['ended'] and cell.phase() is Phase.JUDGE
