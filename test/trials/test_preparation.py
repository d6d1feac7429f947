# SPDX-License-Identifier: Apache-2.0
"""Policy and robot are asked until they are ready, for the trial that comes, and it is timed."""

import pytest

from vla_drop_ros.trials.commands import (
    Command,
    PrepareScene,
    ResetScene,
    SendInstruction,
    UseToken,
)
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.preparation import Preparation, Waits, Wanted


class Machines:
    """A preparation for trials that follow each other, and what it told people."""

    def __init__(self, design: Design, scenes: bool = True) -> None:
        self.index, self.told = 0, ['']
        self.preparation = Preparation(
            design, lambda: Wanted(f'trial {self.index}', f't{self.index}', self.index, 'task'),
            self.told.append, resets=True, scenes=scenes, waits=Waits())

    def at(self, steady: float, *absent: str) -> list[Command]:
        """Return what is asked at a time."""
        self.preparation.steady = steady
        return self.preparation.arrange(absent)


@pytest.fixture(name='machines')
def _machines(design: Design) -> Machines:
    return Machines(design)


def test_what_took_how_long(machines: Machines) -> None:
    """From the first question to the answer that counts, policy and scene apart."""
    one = machines.preparation
    token, scene = machines.at(5.0)
    assert token == UseToken('sealed:t0') and isinstance(scene, PrepareScene)
    machines.at(6.0)
    reset, = one.answer(scene, True, '')
    one.answer(token, True, '')
    machines.at(7.5)
    one.policy('sealed:t0')
    one.policy('sealed:t0')
    assert one.took == {'policy': 2.5} and one.missing(()) == 'the robot is being reset'
    machines.at(9.0)
    assert one.answer(reset, True, '{"instruction": "go"}') == []
    assert one.took == {'policy': 2.5, 'reset': 4.0} and one.scene['instruction'] == 'go'
    assert one.missing(()) == 'the command gate says nothing'
    one.forget()
    assert one.took == {}


def test_a_refusal_counts_into_the_time(machines: Machines) -> None:
    """People read why; it is asked again, and the time is that from the first question."""
    one = machines.preparation
    token = machines.at(5.0)[0]
    assert isinstance(token, UseToken)
    one.answer(token, False, 'no memory')
    assert machines.told[-1] == 'the policy node refused: no memory'
    assert not any(isinstance(command, UseToken) for command in machines.at(6.0))
    again = machines.at(8.0)[0]
    assert isinstance(again, UseToken) and again is not token
    one.answer(token, True, '')  # nobody waits for it any more
    assert machines.told[-1] != ''
    one.answer(again, True, '')
    assert machines.told[-1] == ''
    one.policy('sealed:t0')
    assert one.took['policy'] == 3.0


def test_a_policy_that_takes_over_is_not_asked_again(machines: Machines) -> None:
    """It agreed and takes its time; whoever asked it again at once would never let it finish."""
    asked = machines.at(5.0)[0]
    assert isinstance(asked, UseToken)
    machines.preparation.answer(asked, True, '')
    for steady, times in ((6.0, 0), (9.9, 0), (10.1, 1)):  # it may have been started anew
        found = [one for one in machines.at(steady) if isinstance(one, UseToken)]
        assert len(found) == times, steady


def test_nothing_is_timed_that_nobody_waited_for(machines: Machines) -> None:
    """A policy that answered before it was asked took no time that is known."""
    machines.preparation.policy('sealed:t0')
    assert not any(isinstance(command, UseToken) for command in machines.at(5.0))
    assert machines.preparation.policy_ready and machines.preparation.took == {}


def test_the_next_trial_is_prepared_anew(machines: Machines) -> None:
    """Its silence, its token and its scene: what was ready is not ready for it."""
    one = machines.preparation
    _, scene = machines.at(5.0)
    reset, = one.answer(scene, True, '')
    one.answer(reset, True, '{}')
    one.policy('sealed:t0')
    one.gate('holding: no chunk')
    assert one.missing(()) == '' and machines.at(6.0) == []
    machines.index = 2
    one.forget()
    assert not one.policy_ready and not one.scene_ready
    quiet, token, scene = machines.at(7.0)
    assert (quiet, token) == (SendInstruction(''), UseToken('sealed:t2'))
    assert isinstance(scene, PrepareScene) and scene.seed == machines.preparation._design.seed + 1


def test_who_is_not_there_is_not_asked(design: Design) -> None:
    """When it is back everything is asked again; a real robot is told no scene."""
    machines = Machines(design, scenes=False)
    one = machines.preparation
    token, reset = machines.at(5.0)
    assert isinstance(reset, ResetScene)
    one.policy('sealed:t0')
    assert machines.at(6.0, 'my_cell/reset') == [] and not one.policy_ready
    assert one.missing(['my_cell/reset']) == 'my_cell/reset did not appear yet'
    assert [type(command) for command in machines.at(7.0)] == [type(token), type(reset)]


@pytest.mark.parametrize(('state', 'word'), [
    ('holding: not enabled', 'service enable'), ('dry_run holding: not enabled', 'service enable'),
    ('dry_run executing', 'dry run'), ('inactive', 'not active'), ('executing', ''),
    ('holding: no action chunk', ''), ('', 'says nothing')])
def test_no_trial_on_a_robot_that_nothing_moves(machines: Machines, state: str, word: str
                                                ) -> None:
    """It would stand still until the timeout, and the arm that ran would have failed."""
    one = machines.preparation
    _, scene = machines.at(5.0)
    reset, = one.answer(scene, True, '')
    one.answer(reset, True, '')
    one.policy('sealed:t0')
    one.gate(state)
    missing = one.missing(())
    assert word in missing and bool(missing) == bool(word)
    one.rehearsing = True
    assert bool(one.missing(())) == (state in ('', 'inactive'))  # practice needs no robot


def test_a_robot_that_is_stopped_is_not_reset(machines: Machines) -> None:
    """A reset moves it; after the release it is asked for."""
    machines.preparation.gate('estopped: pressed')
    assert not any(isinstance(one, PrepareScene) for one in machines.at(5.0))
    assert 'emergency stop' in machines.preparation.missing(())
    machines.preparation.gate('holding: no chunk')
    assert any(isinstance(one, PrepareScene) for one in machines.at(6.0))


def test_a_real_robot_does_not_say_what_it_is_told(design: Design) -> None:
    """Its answer to a reset replaces no instruction; a simulated one makes the scene."""
    for scenes in (False, True):
        one = Machines(design, scenes)
        asked = one.at(5.0)[-1]
        if scenes:
            asked, = one.preparation.answer(asked, True, '')
        assert isinstance(asked, ResetScene)
        one.preparation.answer(asked, True, '{"instruction": "go"}')
        assert one.preparation.scene == ({'instruction': 'go'} if scenes else {})
