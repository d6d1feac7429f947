# SPDX-License-Identifier: Apache-2.0
"""What machines and detectors say of a trial is logged with that trial, once it is over."""

from typing import Any

import pytest

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.commands import SendInstruction
from vla_drop_ros.trials.conductor import Conductor
from vla_drop_ros.trials.course import Course, Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.detections import details_of
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.study_session import StudySession


def test_what_a_slow_detector_says_is_of_the_trial_it_means(cell: Any) -> None:
    """Not of the one that runs now, which it does not end; a silent one says nothing."""
    cell.begin()
    cell.session.detect('lid', '', False, ends=True)
    assert cell.press('stop').done
    cell.run(0.2)
    cell.session.detect('lid', '1', True, ends=True)
    cell.session.detect('slow', '1', False, ends=True)
    first = cell.session.conductor.current
    assert first.detected == {'lid': False, 'slow': False}
    assert first.revised == {'lid': [True]}
    assert cell.press('success').done
    cell.begin()
    cell.session.detect('late', '1', True, ends=True)
    cell.run(0.2)
    assert cell.phase() is Phase.RUNNING and first.detected['late'] is True
    assert cell.press('stop').done
    cell.run(0.2)
    assert cell.session.conductor.current.detected == {}


def test_on_what_a_detection_rests_is_logged(cell: Any) -> None:
    """Score, threshold and model of the detectors that say them; the others stay as they were."""
    cell.begin()
    told = {'score': 0.91, 'threshold': 0.5, 'model': 'lid-net 2'}
    cell.session.detect('lid', '', True, False, told)
    cell.session.detect('plain', '', True, False)
    assert cell.press('stop').done
    cell.run(0.2)
    events = {data['source']: data for kind, data in cell.events if kind == 'detected'}
    assert {name: events['lid'][name] for name in told} == told
    assert set(events['plain']) == {'code', 'source', 'success'}
    assert cell.session.conductor.current.detectors == {'lid': told}


@pytest.mark.parametrize('data', [{'score': 'high'}, {'score': True}, {'score': float('inf')},
                                  {'threshold': []}, {'model': 3}, {'model': 'a' * 81}])
def test_what_no_detector_can_mean_is_refused(data: dict[str, Any]) -> None:
    """By the name of the field; what is left out or null is not stated."""
    with pytest.raises(ValueError, match=next(iter(data))):
        details_of(data)
    assert details_of({'score': None, 'success': True}) == {}


def test_every_attempt_has_a_name_of_its_own(cell: Any) -> None:
    """Among those of all studies, also the second at the same slot; old logs have none."""
    cell.begin()
    cell.press('stop')
    cell.press('invalid', reason='camera_lost')
    issued = [data for kind, data in cell.events if kind == 'issued']
    assert len({one['uuid'] for one in issued}) == 2 and len(issued[0]['uuid']) == 32
    assert cell.session.attempts[0].uuid == issued[0]['uuid']
    assert Attempt.issued({key: value for key, value in issued[0].items()
                           if key != 'uuid'}).uuid == ''


def test_a_detector_cannot_take_back_what_it_said(cell: Any) -> None:
    """Until the end its last word counts; then others are revisions, a few, and change nothing."""
    cell.begin()
    cell.session.detect('lid', '', True, ends=False)
    cell.session.detect('lid', '', False, ends=False)
    assert cell.press('stop').done
    cell.run(0.2)
    first = cell.session.conductor.current
    assert first.detected == {'lid': False} and first.revised == {}
    for number in range(50):
        cell.session.detect('lid', '1', number % 2 == 0, ends=True)
        cell.session.detect(f'unheard of {number}', '1', True, ends=True)
    assert cell.press('failure').done
    for number in range(50):
        cell.session.detect('lid', '1', number % 2 == 0, ends=True)
    assert first.detected['lid'] is False and first.revised == {
        'lid': [True, False, True, False, True]}
    assert len(first.detected) == 20 and len(cell.kinds('detected')) == 1 + 1 + 19 + 5
    replayed = Course.of(cell.events).attempts[0]
    assert (replayed.detected, replayed.revised) == (first.detected, first.revised)


def test_no_number_is_no_age(cell: Any) -> None:
    """A latency that JSON cannot write is left out."""
    cell.begin()
    for age in (0.1, float('nan'), float('inf'), 1e308, 1e308):
        cell.session.age(age)
    assert cell.session.measures.ages == [0.1]


def test_a_later_session_does_not_measure_an_earlier_trial(cell: Any) -> None:
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


def test_a_bag_that_comes_during_rehearsal_is_kept(cell: Any) -> None:
    """It takes a while to close; who rehearses meanwhile loses nothing."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    assert cell.press('rehearse', value=True).done
    cell.session.measure('1', lambda: {'bag': {'uri': 'bags/1'}})
    assert Course.of(cell.events).attempts[0].values['bag'] == {'uri': 'bags/1'}


class Watch(list[str]):
    """Watches the load of a machine."""

    def begin(self) -> None:
        self.append('begin')

    def end(self) -> dict[str, Any]:
        self.append('end')
        return {'cpu': 0.5}


def test_what_is_measured_of_a_trial(design: Design, make_cell: Any) -> None:
    """Preparation, motion, pace, load, and the time to the verdict; the robot is stopped first."""
    cell = make_cell(design, load=Watch())
    cell.session.pose(cell.now, [9.0, 0.0, 0.0])  # nothing runs yet
    cell.begin()
    for step in range(20):
        cell.session.pose(cell.now + step * 0.05, [step * 0.01, 0.0, 0.0])
        cell.session.commanded(cell.now + step * 0.05)
    cell.run(2.0)
    assert cell.press('stop').done and cell.kinds('measured') == []
    cell.session.pose(cell.now, [0.2, 0.0, 0.0])  # it was on its way
    cell.session.pose(cell.now + 0.05, [9.0, 0.0, 0.0])  # after the end
    stop, = cell.session.tick(cell.now, cell.now)
    assert stop == SendInstruction('') and cell.kinds('measured') == []
    cell.run(3.0)
    assert cell.press('success').done
    one = Course.of(cell.events).attempts[0].values
    assert one['motion']['path'] == pytest.approx(0.2, abs=0.01)
    assert one['control'] == {'commands': 20, 'rate': 20.0, 'longest_gap': 0.05}
    assert one['host'] == {'cpu': 0.5} and cell.load == ['begin', 'end']
    assert set(one['prepare']) == {'reset', 'policy'} and one['verdict_after'] == 2.9
    cell.run(1.0)
    assert cell.press('undo').done
    cell.run(1.0)
    assert cell.press('failure').done
    assert cell.session.conductor.attempts[0].values['verdict_after'] == 4.9
    cell.begin()
    assert cell.session.measures.prepare['arrange'] == pytest.approx(5.4, abs=0.15)
