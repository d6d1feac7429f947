# SPDX-License-Identifier: Apache-2.0
"""The policy node with a locked study: tokens in, nothing else, and what it refuses."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import Float64, UInt64

from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.runtime.robot_inputs import seconds

pytestmark = pytest.mark.ros


@pytest.fixture(name='study')
def _study(sealed_bench: Any, tmp_path: Path) -> Any:
    return sealed_bench.Study(tmp_path / 'study', sealed_bench.manifests(tmp_path / 'models'))


@pytest.fixture(name='run')
def _run(make: Callable[..., Any], policy_bench: Any, sealed_bench: Any,
         study: Any) -> Callable[..., Any]:
    """Return what makes a bench of the study with fakes: settings -> bench, not started."""
    def run(**settings: Any) -> Any:
        bench = make(start=False, **{'study': str(study.folder), 'checkpoint': '', **settings})
        return sealed_bench.with_fakes(bench, policy_bench, study.arms)

    return run


def refused(bench: Any, *sentences: str) -> None:
    """Check that the node does not start, and says why."""
    assert not bench.policy.start()
    for sentence in sentences:
        assert sentence in bench.policy.failure


def ask(bench: Any, value: str) -> Any:
    """Set the parameter as a service call does; return the result."""
    return bench.policy.set_parameters([Parameter('checkpoint', value=value)])[0]


def said(bench: Any) -> list[str]:
    """Return what ~/checkpoint said."""
    return [message.data for message in bench.seen['policy_node/checkpoint']]


def arm_of(bench: Any, study: Any, value: str) -> Any:
    """Return the fake behind a token."""
    arm = study.schedule.arm_of(value.removeprefix('sealed:'))
    return bench.policies[study.arms[arm]]


def test_all_are_loaded_before_the_first_token(run: Callable[..., Any]) -> None:
    """Nobody answers until then, the gate sees no progress, and the operator is told."""
    bench = run(instruction='go')
    assert bench.policy.start()
    assert bench.loads == 2
    bench.until(lambda: said(bench) == ['sealed:none'])
    bench.until(lambda: 'no policy answers: set the parameter checkpoint' in bench.diagnosis)
    bench.until(lambda: bench.silence > 0.5)
    assert bench.values['checkpoint'] == 'sealed:none'
    assert not bench.moves and not any(one.observations for one in bench.policies.values())


def test_each_token_brings_its_arm(run: Callable[..., Any], study: Any) -> None:
    """The parameter, the topic and the diagnostics say the token; nothing is loaded again."""
    bench = run(instruction='go', replan_period=0.1)
    assert bench.policy.start()
    slots = study.slots(6)
    assert {slot.arm for slot, _ in slots} == set(study.arms)
    for _, value in slots:
        assert ask(bench, value).successful
        bench.until(lambda value=value: said(bench)[-1:] == [value])
        policy = arm_of(bench, study, value)
        before = len(policy.observations)
        bench.until(lambda policy=policy, before=before: len(policy.observations) > before + 1)
        bench.until(lambda value=value: bench.values.get('checkpoint') == value)
        assert bench.policy.get_parameter('checkpoint').value == value
    assert bench.loads == 2 and not any(one.closed for one in bench.policies.values())
    assert not bench.seen['policy_node/latency']


def test_the_dead_man_is_fed_through_a_switch(run: Callable[..., Any], study: Any) -> None:
    """Heartbeats go on while one arm takes over from another in motion."""
    bench = run(instruction='go', replan_period=0.1)
    assert bench.policy.start()
    for _, value in study.slots(4):
        assert ask(bench, value).successful
        bench.until(lambda value=value: said(bench)[-1:] == [value])
        count = len(bench.moves)
        bench.until(lambda count=count: len(bench.moves) > count + 2)
        if value == study.slots(1)[0][1]:
            del bench.seen['policy_node/heartbeat'][:]
    beats = [seconds(beat.stamp) for beat in bench.seen['policy_node/heartbeat']]
    gaps = [later - earlier for earlier, later in zip(beats, beats[1:], strict=False)]
    assert len(gaps) > 20 and max(gaps) < 0.5


def test_nobody_acts_while_nobody_conducts(run: Callable[..., Any], study: Any) -> None:
    """A trial node that hangs stops the robot: its timeout and its buttons are gone too."""
    bench = run(instruction='go', replan_period=0.1)
    assert bench.policy.start()
    assert ask(bench, study.slots(1)[0][1]).successful
    bench.until(lambda: len(bench.moves) > 2)
    bench.conducted = False
    bench.until(lambda: not bench.chunks[-1].points)
    assert 'sign of life of trial_node' in ' '.join(bench.policy._replanner.problems)
    bench.until(lambda: bench.silence > 0.5)  # the gate's dead-man is not fed either
    bench.conducted, count = True, len(bench.moves)
    bench.until(lambda: len(bench.moves) > count)


def test_the_same_token_again_begins_again(run: Callable[..., Any], study: Any) -> None:
    """The trial node asks again after a doubt; the steps are those of any other token."""
    bench = run()
    assert bench.policy.start()
    (_, value), = study.slots(1)
    for count in (1, 2):
        assert ask(bench, value).successful
        bench.until(lambda count=count: said(bench).count(value) == count)


@pytest.mark.parametrize('value', ['models', 'quokka', 'reference', 'sealed:none', ''])
def test_only_tokens_are_taken(run: Callable[..., Any], study: Any, value: str) -> None:
    """Folders, arms and names are refused, and the sentence repeats none of them."""
    bench = run()
    assert bench.policy.start()
    result = ask(bench, study.arms['zebra'] if value == 'models' else value)
    assert not result.successful and 'takes sealed:<token> of that study' in result.reason
    assert not [word for word in study.words() if word in result.reason]
    assert bench.policy.get_parameter('checkpoint').value == ''


def test_a_token_of_another_study_is_refused(
        run: Callable[..., Any], study: Any, sealed_bench: Any, tmp_path: Path) -> None:
    """Two studies of the same checkpoints have different secrets; what runs goes on."""
    bench = run()
    assert bench.policy.start()
    (_, mine), = study.slots(1)
    (_, other), = sealed_bench.Study(tmp_path / 'other', study.arms).slots(1)
    assert ask(bench, mine).successful
    result = ask(bench, other)
    assert not result.successful and 'is no token of this study' in result.reason
    bench.until(lambda: said(bench)[-1:] == [mine])
    assert bench.policy.get_parameter('checkpoint').value == mine


def test_a_study_beside_a_checkpoint_is_refused(run: Callable[..., Any], study: Any) -> None:
    """A plain checkpoint at the start would answer the first trial."""
    bench = run(checkpoint=study.arms['zebra'])
    refused(bench, 'leave it empty at the start')
    assert bench.loads == 0


def test_a_token_before_configure_is_refused(run: Callable[..., Any], study: Any) -> None:
    """The study is opened by configure; the sentence says so."""
    bench = run()
    (_, value), = study.slots(1)
    result = ask(bench, value)
    assert not result.successful and 'configure the node before' in result.reason


def test_a_node_that_is_configured_again_goes_on(run: Callable[..., Any], study: Any) -> None:
    """With the token that it has; all checkpoints are given back in between."""
    bench = run()
    assert bench.policy.start()
    (_, value), = study.slots(1)
    assert ask(bench, value).successful
    bench.until(lambda: said(bench)[-1:] == [value])
    bench.policy.trigger_deactivate()
    bench.policy.trigger_cleanup()
    assert [one.closed for one in bench.policies.values()] == [1, 1]
    assert bench.policy.start()
    bench.until(lambda: said(bench)[-2:] == ['sealed:none', value])


def test_a_changed_checkpoint_is_refused(run: Callable[..., Any], study: Any) -> None:
    """Before anything is loaded, with both identities and what to do."""
    path = Path(study.arms['zebra']) / 'manifest.json'
    data = json.loads(path.read_text())
    data['name'] = 'another'
    path.write_text(json.dumps(data))
    bench = run()
    refused(bench, 'is not the one that the study was locked with', 'plan a new study')
    assert bench.loads == 0


def test_a_missing_checkpoint_is_refused(run: Callable[..., Any], study: Any) -> None:
    """The folder that is not there is named."""
    bench = run()
    Path(study.arms['zebra']).rename(study.folder / 'moved')
    refused(bench, "unknown checkpoint '" + study.arms['zebra'])


def test_a_missing_secret_is_refused(run: Callable[..., Any], study: Any) -> None:
    """Without it no token can be understood."""
    (study.folder / 'secret').unlink()
    refused(run(), 'cannot read the secret', str(study.folder / 'secret'))


def test_another_secret_is_refused(
        run: Callable[..., Any], study: Any, sealed_bench: Any, tmp_path: Path) -> None:
    """The commitment in the study is to one secret."""
    other = sealed_bench.Study(tmp_path / 'other', study.arms)
    (study.folder / 'secret').write_text((other.folder / 'secret').read_text())
    refused(run(), 'is not the secret of this study')


def test_a_checkpoint_that_does_not_fit_is_refused(run: Callable[..., Any], study: Any) -> None:
    """Every one is checked against the robot; what was loaded by then is closed."""
    bench = run()
    del bench.policies[study.arms['zebra']]
    refused(bench, 'damaged')
    assert [one.closed for one in bench.policies.values()] == [1]


def test_a_failure_names_the_token_only(run: Callable[..., Any], study: Any) -> None:
    """What the policy said is in a file that only its owner reads; no other arm answers."""
    bench = run(instruction='go', replan_period=0.1)
    assert bench.policy.start()
    slots = study.slots(4)
    first = slots[0][1]
    second = next(value for slot, value in slots if slot.arm != slots[0][0].arm)
    assert ask(bench, first).successful
    bench.until(lambda: bench.moves)
    arm_of(bench, study, second).mood = 'raises'
    assert ask(bench, second).successful
    bench.until(lambda: f'the policy of {second} failed (RuntimeError)' in bench.diagnosis)
    answered = len(arm_of(bench, study, first).observations)
    bench.until(lambda: bench.silence > 0.5)
    assert len(arm_of(bench, study, first).observations) == answered
    text = ' '.join([bench.diagnosis, *bench.values.values()])
    assert not [word for word in study.words() if word in text]
    faults = study.folder / 'sealed_faults.log'
    assert 'out of memory' in faults.read_text() and faults.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize('blinded', [True, False])
def test_a_blinded_gate_says_nothing_of_time(
        run: Callable[..., Any], study: Any, sealed_bench: Any, policy_bench: Any,
        blinded: bool) -> None:
    """No age, no pace, no altered command; without the parameter it says all, for the log too."""
    bench = run(instruction='go', replan_period=0.1)
    gate = CommandGateNode(bench.context, sealed_bench.override(
        robot=str(policy_bench.ROBOT), blinded=blinded))
    bench.executor.add_node(gate)
    ages, altered = bench.seen.setdefault('ages', []), bench.seen.setdefault('altered', [])
    bench.node.create_subscription(UInt64, 'command_gate/commands_altered', altered.append, 10)
    bench.node.create_subscription(Float64, 'command_gate/capture_to_command', ages.append, 10)
    assert gate.start() and bench.policy.start()
    assert ask(bench, study.slots(1)[0][1]).successful

    def told() -> list[Any]:
        return [status for message in bench.seen['/diagnostics']
                for status in message.status if status.name == 'command_gate']

    bench.until(lambda: [one for one in told() if one.message == 'executing'] and ages)
    bench.instruct('')
    bench.until(lambda: told()[-1].message.startswith('holding'))
    keys = {pair.key for status in told() for pair in status.values}
    telling = ('[ms]', 'ticks', 'accepted', 'altered', 'limited')
    assert [any(word in key for key in keys) for word in telling] == [not blinded] * 5
    assert altered[-1].data > 0
    gate.close()
    gate.destroy_node()
