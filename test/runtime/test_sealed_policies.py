# SPDX-License-Identifier: Apache-2.0
"""A policy of a study answers to the token of a trial, and tells nobody which one it is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
import queue
import re
import time
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import ObservationError, TrialError, VlaDropError
from vla_drop_ros.runtime.policy_worker import PolicyWorker
from vla_drop_ros.runtime.sealed_policies import SealedPolicies
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

SPEC = ActionSpec(('x',), 'base_link', 'delta', 0.1, 1, 1)
WAIT = 20.0
TOKENS = {'0.0.' + 'a' * 24: 'quokka', '1.0.' + 'b' * 24: 'zebra', '2.0.' + 'c' * 24: 'zebra'}
FIRST, SECOND, THIRD = ('sealed:' + token for token in TOKENS)


class FakePolicy:
    """Says how often it was asked since its last reset; fails with ``failure``."""

    spec = SPEC
    cameras: Mapping[str, CameraSpec] = {'front': CameraSpec(4, 4)}
    state_names: tuple[str, ...] = ('ee.x',)

    def __init__(self, name: str) -> None:
        self.checkpoint, self.resets, self.asked, self.closed = f'hash-of-{name}', 0, 0, 0
        self.failure: Exception | None = None

    def infer(self, observation: Observation) -> ActionChunk:
        if self.failure is not None:
            raise self.failure
        self.asked += 1
        return ActionChunk(observation.stamp, np.full((1, 1), float(self.asked)), self.spec, 0.0,
                           self.checkpoint)

    def reset(self) -> None:
        self.resets, self.asked = self.resets + 1, 0

    def close(self) -> None:
        self.closed += 1


def arm_of(token: str) -> str:
    """Return the arm of a token of the study."""
    if token not in TOKENS:
        raise TrialError(f'{token!r} is no token of this study')
    return TOKENS[token]


class Study:
    """Two fakes behind tokens, and what was kept of their faults."""

    def __init__(self, switch_time: float = 0.0) -> None:
        self.policies = {name: FakePolicy(name) for name in ('quokka', 'zebra')}
        self.faults: list[str] = []

        def keep(text: str) -> str:
            self.faults.append(text)
            return 'a sealed file'

        self.sealed = SealedPolicies(
            self.policies, arm_of, ('quokka', 'zebra', '/models/zebra', 'hash-of-zebra'), keep,
            switch_time)


def seen() -> Observation:
    """Return an observation."""
    return Observation(1.0, {}, np.zeros(1), 'go')


def test_a_policy_calls_itself_by_its_token() -> None:
    """Itself and every chunk carry the token, also when the arm was on before."""
    study = Study()
    for value, arm in ((FIRST, 'quokka'), (SECOND, 'zebra'), (THIRD, 'zebra')):
        policy = study.sealed.load(value)
        assert policy.checkpoint == policy.infer(seen()).checkpoint == value
        assert study.policies[arm].asked == 1, 'each trial begins without a past'


def test_a_trial_begins_without_a_past() -> None:
    """The first inference of a trial follows a reset, each time, whoever was on before."""
    study = Study()
    for value in (SECOND, THIRD, SECOND):
        policy = study.sealed.load(value)
        answers = [policy.infer(seen()).actions[0, 0] for _ in range(3)]
        assert answers == [1.0, 2.0, 3.0]
        policy.close()
    assert study.policies['zebra'].resets == 3
    assert not study.policies['zebra'].closed, 'it stays in memory'
    study.sealed.close()
    assert [policy.closed for policy in study.policies.values()] == [1, 1]


@pytest.mark.parametrize('value', [
    '', 'quokka', '/models/zebra', 'sealed:', 'sealed:none', 'sealed:zebra', 'sealed:0.0.zz',
    'sealed:0.0.' + 'A' * 24, 'sealed:0.0.' + 'a' * 24 + '\n', ' ' + FIRST])
def test_anything_but_a_token_is_refused(value: str) -> None:
    """With a sentence that says what is valid and repeats no name."""
    with pytest.raises(TrialError, match='takes sealed:<token> of that study') as caught:
        Study().sealed.check(value)
    assert not re.search('quokka|zebra', str(caught.value))


def test_a_token_of_another_study_is_refused() -> None:
    """It has the form of a token, and stands for nothing here."""
    with pytest.raises(TrialError, match='is no token of this study'):
        Study().sealed.check('sealed:0.0.' + 'd' * 24)
    Study().sealed.check(FIRST)


def test_all_take_the_same_time_to_come() -> None:
    """The time is the switch time, for the same one as before, too."""
    study = Study(switch_time=0.1)
    for value in (FIRST, SECOND, THIRD):
        begun = time.monotonic()
        study.sealed.load(value)
        assert 0.1 <= time.monotonic() - begun < 1.0


def test_known_errors_lose_the_names() -> None:
    """The sentence stays, with the token in the place of every name; other words stay whole."""
    study = Study()
    policy = study.sealed.load(SECOND)
    study.policies['zebra'].failure = ObservationError(
        'checkpoint hash-of-zebra in /models/zebra (zebra) needs something: zebras')
    with pytest.raises(VlaDropError) as caught:
        policy.infer(seen())
    assert str(caught.value) == (
        f'checkpoint {SECOND} in {SECOND} ({SECOND}) needs something: zebras')
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_unknown_errors_are_kept_elsewhere() -> None:
    """Their text may hold depths and folders: people read the kind, a sealed file has the rest."""
    study = Study()
    policy = study.sealed.load(SECOND)
    study.policies['zebra'].failure = RuntimeError('layer 7 of /models/zebra: out of memory')
    with pytest.raises(VlaDropError) as caught:
        policy.infer(seen())
    assert str(caught.value) == (
        f'the policy of {SECOND} failed (RuntimeError); what it said is sealed in a sealed file')
    assert SECOND in study.faults[0] and 'layer 7 of /models/zebra' in study.faults[0]


@pytest.mark.parametrize('change', [
    {'spec': replace(SPEC, period=0.2)}, {'cameras': {'wrist': CameraSpec(4, 4)}},
    {'state_names': ('ee.y',)}])
def test_arms_that_show_at_the_robot_are_refused(change: dict[str, Any]) -> None:
    """Another action language, camera or state would tell them apart without a word."""
    policies = {name: FakePolicy(name) for name in ('quokka', 'zebra')}
    for name, value in change.items():
        setattr(policies['zebra'], name, value)
    with pytest.raises(TrialError, match='compare checkpoints that differ in weights only'):
        SealedPolicies(policies, arm_of)


class Trial:
    """A worker with the policies of a study; its events arrive in one queue."""

    def __init__(self, study: Study) -> None:
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.worker: PolicyWorker[Observation] = PolicyWorker(
            study.sealed.load, lambda policy, work: work, self, steps_back=False)

    def on_chunk(self, chunk: ActionChunk, work: Observation) -> None:
        self.events.put(('chunk', chunk.checkpoint))

    def on_timed(self, stages: Any, work: Observation) -> None:
        pass

    def on_policy(self, policy: Any, path: str) -> None:
        self.events.put(('policy', path))

    def on_load_failed(self, path: str, reason: str) -> None:
        self.events.put(('load failed', reason))

    def on_infer_failed(self, reason: str) -> None:
        self.events.put(('infer failed', reason))


def test_no_other_arm_takes_the_place_of_one_that_fails() -> None:
    """The trial has no chunk; the policy of the trial before never answers in this one."""
    study = Study()
    trial = Trial(study)
    told: Callable[[], tuple[Any, ...]] = lambda: trial.events.get(timeout=WAIT)  # noqa: E731
    trial.worker.request_load(FIRST)
    assert told() == ('policy', FIRST)
    trial.worker.submit(seen())
    assert told() == ('chunk', FIRST)
    study.policies['zebra'].failure = RuntimeError('broken')
    trial.worker.request_load(SECOND)
    assert told() == ('policy', SECOND)
    for _ in range(2):
        trial.worker.submit(seen())
        kind, reason = told()
        assert kind == 'infer failed' and SECOND in reason
    assert study.policies['quokka'].asked == 1
    assert trial.worker.stop(WAIT)


def test_nothing_is_asked_while_a_switch_is_under_way() -> None:
    """Else the time of the switch would tell how long the policy before thinks."""
    study = Study(switch_time=0.3)
    trial = Trial(study)
    trial.worker.request_load(FIRST)
    assert trial.events.get(timeout=WAIT) == ('policy', FIRST)
    assert trial.worker.is_idle
    trial.worker.request_load(SECOND)
    while trial.events.empty():
        idle, policy = trial.worker.is_idle, trial.worker.policy
        assert policy is not None
        assert not idle or policy.checkpoint == SECOND
    assert trial.events.get() == ('policy', SECOND)
    assert trial.worker.stop(WAIT)
