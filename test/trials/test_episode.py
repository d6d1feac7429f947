# SPDX-License-Identifier: Apache-2.0
"""The schedule pairs the arms, and records survive the way through JSON."""

import dataclasses
import json
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.episode import Arm, Episode, Latency, remaining, schedule, Slot, Study

STUDY = Study(arms=(Arm('baseline', '/models/a', 'a' * 64), Arm('pruned', '/models/b', 'b' * 64)),
              episodes=40, seed=1000, task='', variant='nominal', timeout=20.0,
              tool_version='0.1.0')


def episode(slot: Slot, **changes: Any) -> Episode:
    """Return a successful episode at ``slot``, with ``changes``."""
    done = Episode(slot=slot, attempt=0, task='bin', instruction='put the red cube in the bin',
                   variant='nominal', checkpoint='/models/a', checkpoint_hash='a' * 64,
                   outcome='success', reason='', detail='', started=1.0, duration=4.5,
                   moved_object='red cube', latency=Latency.of([0.1, 0.2, 0.3]),
                   captures=(1.0, 1.5))
    return dataclasses.replace(done, **changes)


def test_every_arm_runs_every_seed_once() -> None:
    """Each scene is run by each arm exactly once, back to back."""
    slots = schedule(STUDY)
    assert len(slots) == 80
    for first, second in zip(slots[::2], slots[1::2], strict=True):
        assert first.seed == second.seed == STUDY.seed + first.pair
        assert {first.arm, second.arm} == {'baseline', 'pruned'}


def test_order_of_the_arms_is_random_and_repeatable() -> None:
    """Neither arm always goes first, and the same seed gives the same order."""
    first = [slot.arm for slot in schedule(STUDY)[::2]]
    assert 8 < first.count('baseline') < 32
    assert schedule(STUDY) == schedule(STUDY)
    assert schedule(dataclasses.replace(STUDY, seed=1)) != schedule(STUDY)


def test_a_longer_study_begins_like_the_shorter() -> None:
    """The order of a pair does not depend on how many follow."""
    assert schedule(dataclasses.replace(STUDY, episodes=5)) == schedule(STUDY)[:10]


def test_remaining_leaves_out_what_is_done_and_retries_what_was_invalid() -> None:
    """An invalid episode leaves its slot open with the next attempt number."""
    slots = schedule(STUDY)
    done = [episode(slots[0]),
            episode(slots[1], outcome='invalid', reason='robot_silent'),
            episode(slots[1], outcome='invalid', reason='robot_silent', attempt=1)]
    left = remaining(STUDY, done)
    assert left[0] == (slots[1], 2)
    assert left[1] == (slots[2], 0)
    assert len(left) == 79


@pytest.mark.parametrize('latency', [Latency.of([0.1, 0.2]), Latency.of([])])
def test_episode_survives_json(latency: Latency) -> None:
    """What is read back equals what was written, also without any chunk."""
    before = episode(schedule(STUDY)[0], latency=latency)
    after = Episode.from_dict(json.loads(json.dumps(before.to_dict(), allow_nan=False)))
    assert after.to_dict() == before.to_dict()
    assert after.slot == before.slot


def test_study_survives_json() -> None:
    """A study read back equals the one written."""
    assert Study.from_dict(json.loads(json.dumps(STUDY.to_dict()))) == STUDY


def test_latency_is_summarised() -> None:
    """Median, tail and worst come from all samples."""
    latency = Latency.of([0.1] * 99 + [1.1])
    assert (latency.count, latency.median, latency.worst) == (100, 0.1, 1.1)
    assert latency.mean == pytest.approx(0.11)


def test_invalid_needs_a_reason_from_the_list() -> None:
    """A reason made up afterwards is refused, and the message lists the allowed ones."""
    with pytest.raises(TrialError, match='emergency_stop'):
        episode(schedule(STUDY)[0], outcome='invalid', reason='it was a bad day')
    with pytest.raises(TrialError, match='timeout'):
        episode(schedule(STUDY)[0], outcome='good')


@pytest.mark.parametrize('changes', [
    {'episodes': 0}, {'seed': -1}, {'timeout': 0.0}, {'arms': ()},
    {'arms': (STUDY.arms[0], STUDY.arms[0])}])
def test_impossible_study_is_refused(changes: dict[str, Any]) -> None:
    """A study that could not be run raises before anything is written."""
    with pytest.raises(TrialError):
        dataclasses.replace(STUDY, **changes)


def test_record_of_another_version_is_named() -> None:
    """Missing and unknown fields are named instead of a KeyError later."""
    data = episode(schedule(STUDY)[0]).to_dict()
    del data['duration']
    with pytest.raises(TrialError, match='duration'):
        Episode.from_dict(data)
