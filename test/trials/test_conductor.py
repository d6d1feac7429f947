# SPDX-License-Identifier: Apache-2.0
"""A study gets on by what people press, in order, once, and through every crash."""

from collections.abc import Mapping
import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.conductor import Conductor, Verb, VERBS
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design, parse_design, Stopping
from vla_drop_ros.trials.sealed_schedule import SealedSchedule


class Study:
    """A conductor with a log in memory."""

    def __init__(self, design: Design, stops_after: int = 10**9) -> None:
        self.design, self.schedule = design, SealedSchedule(design, bytes(32))
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stops_after, self.full, self.now = stops_after, False, 100.0
        self.conductor = self.make()
        self.conductor.begin()

    def make(self) -> Conductor:
        """Return a new conductor on the same log."""
        return Conductor(self.design, self.schedule, self.append, self.rule)

    def rule(self, attempts: list[Attempt]) -> bool:
        """Allow to stop after so many trials that count."""
        return len(attempts) >= self.stops_after

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep an event, unless the disk is full."""
        if self.full:
            raise TrialError('disk full')
        self.events.append((kind, dict(data)))

    def press(self, name: str, **more: Any) -> bool:
        """Press a button; a second passes."""
        self.now += 1.0
        return self.conductor.take(Verb(name, 'web', **more), self.now).done

    def trial(self, verdict: str = 'success', **more: Any) -> None:
        """Run one whole trial."""
        assert self.press('start') and self.press('stop') and self.press(verdict, **more)


@pytest.fixture(name='study')
def _study(design: Design) -> Study:
    return Study(design)


def state(conductor: Conductor) -> Any:
    """Return all that a conductor remembers, in a form that compares (NaN is not NaN)."""
    return (conductor.phase, conductor.course.may_stop, [repr(one) for one in conductor.attempts])


def test_trials_follow_the_schedule(study: Study) -> None:
    """Slots come in the schedule's order, and what was pressed is what is remembered."""
    for verdict in ('success', 'failure', 'success'):
        study.trial(verdict)
    attempts = study.conductor.attempts
    assert [one.index for one in attempts] == [0, 1, 2, 3]
    assert [one.verdict for one in attempts] == ['success', 'failure', 'success', '']
    assert attempts[0].duration == 1.0 and attempts[0].source == 'web'
    assert study.conductor.condition.id == study.schedule.slot(3).condition


def test_incidents_are_noted_and_change_no_verdict(study: Study) -> None:
    """While it runs and until the verdict; a mis-tap is taken back; then they stay."""
    assert not study.press('collision') and not study.press('forget')
    study.press('start')
    assert study.press('near_miss', note='bin') and study.press('collision')
    study.press('stop')
    assert study.press('intervention') and study.press('forget')
    assert not study.press('collision', code='2') and study.press('collision', code='1')
    assert study.press('success') and not study.press('near_miss') and not study.press('forget')
    first = study.conductor.attempts[0]
    assert [one.kind for one in first.incidents] == ['near_miss', 'collision', 'collision']
    assert first.incidents[0].seconds_after_start == 1.0 and first.incidents[0].note == 'bin'
    assert first.verdict == 'success' and study.conductor.current.incidents == []
    assert study.press('undo') and study.press('forget') and study.press('failure')
    assert len(first.incidents) == 2 and first.verdict == 'failure'


def test_a_verdict_says_how_sure_it_is_and_what_was_reached(study: Study) -> None:
    """Only words of the design are taken; an undo forgets them with the verdict."""
    study.press('start')
    study.press('stop')
    assert not study.press('success', confidence='maybe')
    assert not study.press('success', answers={'flown': True})
    assert study.press('failure', confidence='unsure', answers={'reached': True})
    first = study.conductor.attempts[0]
    assert (first.confidence, first.answers) == ('unsure', {'reached': True})
    assert study.press('undo') and (first.confidence, first.answers) == ('sure', {})
    assert study.press('success') and study.events[-2][1]['confidence'] == 'sure'


def test_answers_say_how_far_a_failure_came(design_data: dict[str, Any]) -> None:
    """The last stage with a yes; who names a stage is believed; a success came all the way."""
    stages = [{'id': name, 'text': f'{name}?'} for name in ('reached', 'grasped', 'placed')]
    study = Study(parse_design({**design_data, 'rubric': stages}))
    study.trial('failure', answers={'reached': True, 'grasped': True, 'placed': False})
    study.trial('failure', answers={'reached': False})
    study.trial('partial', stage='reached', answers={'reached': True, 'grasped': True})
    study.trial('success', answers={'grasped': False})
    study.trial('failure')
    assert [(one.stage, one.progress) for one in study.conductor.attempts[:5]] == [
        ('grasped', 0.5), ('', 0.0), ('reached', 0.25), ('', 1.0), ('', 0.0)]


def test_who_pressed_is_in_every_event_of_a_press(design: Design) -> None:
    """Start, stop, verdict, undo, incident, finish; what nobody pressed names nobody."""
    study = Study(design, stops_after=1)
    for name in ('start', 'near_miss', 'stop', 'success', 'undo', 'success', 'finish'):
        if name == 'finish':
            study.conductor.course.may_stop = True
        assert study.press(name, who='ann')
    pressed = [data for kind, data in study.events if kind in (
        'started', 'incident', 'ended', 'judged', 'undone', 'finished')]
    assert {(data['who'], data['source']) for data in pressed} == {('ann', 'web')}
    assert len(pressed) == 7
    other = Study(design)
    other.press('start', who='ann')
    other.conductor.end('timeout', 9.0)
    assert 'who' not in other.events[-1][1]


def test_a_verdict_needs_a_stop_first(study: Study) -> None:
    """Nobody judges a trial that has not run, or still runs."""
    assert not study.press('success')
    study.press('start')
    assert not study.press('success') and not study.press('start')
    study.press('stop')
    assert study.press('success')


def test_what_ends_is_judged(study: Study) -> None:
    """After the timeout the trial waits for its verdict, and says why it ended."""
    study.conductor.end('timeout', study.now)  # nothing runs that could end
    study.press('start')
    study.conductor.end('timeout', study.now + 30.0)
    assert study.conductor.phase is Phase.JUDGE
    assert study.conductor.current.end_reason == 'timeout'


def test_an_invalid_trial_runs_again_at_the_same_slot(study: Study) -> None:
    """The slot is issued again with a new token; only reasons from the list are taken."""
    token = study.conductor.token()
    study.press('start')
    study.press('stop')
    assert not study.press('invalid', reason='did_not_like_it')
    assert study.press('invalid', reason='reset_failed')
    again = study.conductor.current
    assert (again.index, again.attempt, again.code) == (0, 1, '2')
    assert study.conductor.token() != token
    assert study.schedule.arm_of(study.conductor.token()) == study.schedule.arm_of(token)


def test_two_people_at_once_give_one_verdict(study: Study) -> None:
    """The second press, meant for the trial that was just judged, is refused and logged."""
    study.press('start')
    study.press('stop')
    assert study.press('success', code='1')
    assert not study.press('failure', code='1')
    assert study.conductor.attempts[0].verdict == 'success'
    assert study.events[-1][0] == 'refused'
    study.press('start')
    study.press('stop')
    assert not study.press('failure', code='1') and not study.conductor.current.judged


def test_undo_works_until_the_next_start(study: Study) -> None:
    """A verdict can be taken back and given anew, any number of times, but not after a start."""
    assert not study.press('undo')
    study.trial('failure')
    assert study.press('undo') and study.conductor.phase is Phase.JUDGE
    assert study.press('success') and study.press('undo') and study.press('partial',
                                                                          stage='reached')
    first = study.conductor.attempts[0]
    assert (first.verdict, first.progress, first.undone) == (
        'partial', 0.5, ['failure', 'success'])
    study.press('start')
    assert not study.press('undo')


def test_the_rule_is_asked_at_complete_rounds_only(design: Design) -> None:
    """Ending is possible after the rule allowed it, never in the middle of a round."""
    study = Study(design, stops_after=6)
    for _ in range(5):
        study.trial()
        assert not study.press('finish')
    study.trial()
    assert study.conductor.course.may_stop and study.press('finish')
    assert study.conductor.phase is Phase.FINISHED
    assert [data['rounds'] for kind, data in study.events if kind == 'look'] == [1]


def test_the_horizon_ends_the_study_and_its_last_verdict_can_be_undone(design: Design) -> None:
    """After the last slot nothing is issued; a slip of the finger at the very end is no loss."""
    study = Study(design)
    for _ in range(120):
        study.trial()
    assert study.conductor.phase is Phase.FINISHED and not study.press('start')
    assert study.press('undo') and study.press('failure')
    assert study.conductor.phase is Phase.FINISHED
    assert study.conductor.attempts[-1].verdict == 'failure'


def test_detectors_are_heard_and_decide_nothing(study: Study) -> None:
    """What a detector says stands beside the verdict of the person."""
    study.press('start')
    assert study.press('detect', value=True)
    study.press('stop')
    study.press('failure', reason='dropped')
    assert study.conductor.attempts[0].detected == {'web': True}
    assert study.conductor.attempts[0].verdict == 'failure'


@pytest.mark.parametrize('verb', [
    Verb('format_disk', 'web'), Verb('partial', 'web', stage='nowhere'), Verb('', 'web'),
    Verb('invalid', 'web'), Verb('success', 'web', code='x' * 10_000),
    Verb('failure', 'web', reason='<script>')])
def test_hostile_words_change_nothing_and_are_logged(study: Study, verb: Verb) -> None:
    """Whatever comes in, the state stays; the log has a bounded line about it."""
    study.press('start')
    study.press('stop')
    before = state(study.conductor)
    assert not study.conductor.take(verb, study.now).done
    assert state(study.conductor) == before
    assert study.events[-1][0] == 'refused' and len(str(study.events[-1])) < 500


def test_a_full_disk_changes_nothing(study: Study) -> None:
    """What could not be written did not happen; with room again the press can be repeated."""
    study.press('start')
    before, study.full = state(study.conductor), True
    with pytest.raises(TrialError):
        study.press('stop')
    assert state(study.conductor) == before
    study.full = False
    assert study.press('stop')


def test_a_disk_that_is_full_after_the_verdict_does_not_run_a_trial_twice(study: Study) -> None:
    """The verdict stays; the next press only issues a trial: the policy has the old token."""
    study.press('start')
    study.press('stop')
    write = study.append

    def append(kind: str, data: Mapping[str, Any]) -> None:
        """Have room for everything but the next trial."""
        if kind == 'issued':
            raise TrialError('disk full')
        write(kind, data)

    study.conductor._append = append
    with pytest.raises(TrialError):
        study.press('success')
    with pytest.raises(TrialError):
        study.press('start')
    study.conductor._append = write
    assert not study.press('start')
    assert [one.verdict for one in study.conductor.attempts] == ['success', '']
    assert study.press('start') and study.conductor.current.code == '2'


def test_a_crash_at_any_event_goes_on_at_the_same_slot(design: Design) -> None:
    """From every prefix of the log a new conductor reaches the state, and the study ends."""
    study, rng = Study(design), np.random.default_rng(5)
    for _ in range(300):
        name = str(rng.choice([*VERBS, 'start', 'stop', 'success', 'failure']))
        study.press(name, stage='reached', reason={
            'invalid': 'reset_failed', 'failure': 'dropped'}.get(name, ''),
            value=bool(rng.integers(2)))
    events = copy.deepcopy(study.events)
    assert {kind for kind, _ in events} >= {'issued', 'started', 'ended', 'judged', 'undone',
                                            'detected', 'refused', 'incident', 'forgotten'}
    for length in range(len(events) + 1):
        study.events = copy.deepcopy(events[:length])
        again = study.make()
        again.resume(list(study.events))
        assert again.phase in (Phase.ARRANGE, Phase.JUDGE, Phase.FINISHED)
        judged = [one.index for one in again.attempts if one.counts]
        assert judged == sorted(set(judged))  # no slot counts twice
        twice = study.make()
        twice.resume(list(study.events))
        assert state(twice) == state(again)


def test_nobody_who_has_seen_the_arms_judges_again(design: Design) -> None:
    """After the end and the opening an undo is refused, also by a node that comes back."""
    study = Study(design, stops_after=6)
    for _ in range(6):
        study.trial()
    assert study.press('finish')
    study.events.append(('unblinded', {'who': 'ann', 'ended': True}))
    study.conductor = study.make()
    study.conductor.resume(study.events)
    reply = study.conductor.take(Verb('undo', 'web'), 1.0)
    assert not reply.done and 'relabel' in reply.text


def test_after_an_early_opening_what_was_judged_before_stays(study: Study) -> None:
    """The study goes on, and what is judged from then on can be undone as ever."""
    study.trial()
    study.trial('failure')
    study.events.append(('unblinded', {'who': 'ann', 'ended': False}))
    study.conductor = study.make()
    study.conductor.resume(study.events)
    assert study.conductor.course.undoable is not None
    reply = study.conductor.take(Verb('undo', 'web'), 1.0)
    assert not reply.done and 'relabel' in reply.text
    study.trial('failure')
    assert study.press('undo') and study.press('success')


def test_codes_of_a_rehearsal_mean_no_trial_of_the_study(design: Design, study: Study) -> None:
    """A late press on what was rehearsed takes back no verdict that counts."""
    rehearsal = Conductor(design, SealedSchedule(design, bytes(32)), lambda kind, data: None,
                          lambda attempts: False, prefix='R')
    rehearsal.begin()
    study.trial()
    assert rehearsal.current.code == 'R1'
    assert not study.press('undo', code='R1') and study.press('undo', code='1')


def test_a_button_that_hangs_fills_no_disk(study: Study) -> None:
    """Refusals and incidents are logged up to a number; refusals are counted beyond."""
    study.press('start')
    assert [study.press('near_miss') for _ in range(60)] == [True] * 50 + [False] * 10
    study.conductor.refusals, study.events = 0, []
    study.press('stop')
    study.press('success')
    for _ in range(1000):
        assert not study.press('success')
    assert study.conductor.refusals == 1000
    assert sum(kind == 'refused' for kind, _ in study.events) == 300


def test_an_endless_study_is_ended_by_people(design: Design) -> None:
    """Between two trials, whenever they want; the log says that the rule had no answer."""
    endless = Study(replace(design, stopping=Stopping('anytime', 0)))
    reply = endless.conductor.take(Verb('finish', 'web'), 1.0)
    assert not reply.done and 'another day' in reply.text  # no undo would take it back
    assert not endless.conductor.may_finish
    endless.trial()
    assert endless.press('start') and not endless.press('finish')
    assert endless.press('stop') and endless.press('failure') and endless.press('finish')
    assert 'no answer' in endless.conductor.course.finished
    assert endless.press('undo') and endless.press('success')
    with_rule = Study(design)
    with_rule.trial()
    assert not with_rule.press('finish')
