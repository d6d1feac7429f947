# SPDX-License-Identifier: Apache-2.0
"""What is studied, what is run next, and what one episode left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np

from vla_drop_ros.errors import TrialError, unknown

Outcome = Literal['success', 'failure', 'timeout', 'invalid']
OUTCOMES = ('success', 'failure', 'timeout', 'invalid')

# The only reasons for not counting an episode. None of them is a judgement of how well the policy
# did: a list that is open at this end lets failures be argued away.
INVALID_REASONS = (
    'policy_cannot_load',
    'robot_silent',
    'reset_failed',
    'no_instruction',
    'no_action_chunk',
    'policy_silent',
    'emergency_stop',
    'clock_stopped',
)


def _strict(kind: str, cls: type, data: Mapping[str, Any]) -> None:
    known = {entry.name for entry in fields(cls)}
    if set(data) != known:
        raise TrialError(f'{kind} in the log: missing {sorted(known - set(data))}, unknown '
                         f'{sorted(set(data) - known)}; it was written by another version')


@dataclass(frozen=True, slots=True)
class Arm:
    """One checkpoint of a study.

    Attributes:
        name: what reports call it, for instance ``baseline``.
        path: checkpoint folder, as the policy node is told it.
        hash: identity of the checkpoint, 64 hex digits; its first 12 are the short hash.

    """

    name: str
    path: str
    hash: str

    @property
    def short(self) -> str:
        """Return the short hash, which the policy node publishes while this arm is active."""
        return self.hash[:12]


@dataclass(frozen=True, slots=True)
class Study:
    """What is fixed before the first episode.

    Attributes:
        arms: the checkpoints; the first is the baseline.
        episodes: episodes of each arm; episode i of every arm uses scene seed ``seed + i``.
        seed: seed of the first scene, and of the order of the arms.
        task: task asked for in every episode; empty lets the seed choose.
        variant: scene variant, for instance ``nominal``.
        timeout: longest episode, [s] on the node clock.
        tool_version: version of this package.

    """

    arms: tuple[Arm, ...]
    episodes: int
    seed: int
    task: str
    variant: str
    timeout: float
    tool_version: str

    def __post_init__(self) -> None:
        """Refuse a study that could not be run or read."""
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names) or not all(names):
            raise TrialError(f'the arms {names} need distinct names and at least one is needed; '
                             'write checkpoints as name=path')
        if self.episodes < 1:
            raise TrialError(f'{self.episodes} episodes; at least 1 is needed')
        if self.seed < 0:
            raise TrialError(f'seed {self.seed} is negative; use 0 or more')
        if not self.timeout > 0:
            raise TrialError(f'an episode of {self.timeout} s cannot succeed; use more than 0 s')

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), 'arms': [asdict(arm) for arm in self.arms]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Study':
        """Build from ``to_dict`` output; raise TrialError where it is not one."""
        _strict('study', cls, data)
        return cls(**{**data, 'arms': tuple(Arm(**arm) for arm in data['arms'])})


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the schedule: this arm, on this scene.

    Attributes:
        pair: index of the scene, 0..episodes-1; every arm runs it once.
        position: place of this arm within the pair, 0 first.
        seed: scene seed.
        arm: name of the arm.

    """

    pair: int
    position: int
    seed: int
    arm: str


def schedule(study: Study) -> tuple[Slot, ...]:
    """Return all slots in running order, pair after pair, the arms of a pair in random order.

    The order is drawn from the study's seed and the pair's index alone, so that a resumed study
    goes on with the same order. An independent draw a pair, since strict alternation would couple
    the arms to whatever else alternates.
    """
    slots: list[Slot] = []
    for pair in range(study.episodes):
        order = np.random.default_rng([study.seed, pair]).permutation(len(study.arms))
        slots += [Slot(pair, position, study.seed + pair, study.arms[index].name)
                  for position, index in enumerate(order)]
    return tuple(slots)


@dataclass(frozen=True, slots=True)
class Latency:
    """Time from capture to published chunk over one episode, [s]; nan without any chunk."""

    count: int
    mean: float
    median: float
    p95: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> 'Latency':
        """Summarise the latencies of an episode, [s]."""
        if not seconds:
            nan = float('nan')
            return cls(0, nan, nan, nan, nan)
        values = np.asarray(seconds, dtype=float)
        median, p95 = np.percentile(values, [50, 95])
        return cls(len(values), float(values.mean()), float(median), float(p95),
                   float(values.max()))


@dataclass(frozen=True, slots=True)
class Episode:
    """What one attempt at a slot left behind: one line of the log.

    Attributes:
        slot: which arm on which scene.
        attempt: 0 for the first; more where the ones before were invalid.
        task: task of the scene, as the robot named it.
        instruction: text sent to the policy.
        variant: scene variant.
        checkpoint: path of the checkpoint.
        checkpoint_hash: its identity, 64 hex digits.
        outcome: ``success``, ``failure`` (another object was moved), ``timeout`` or ``invalid``.
        reason: empty for a success; for an invalid episode one of ``INVALID_REASONS``.
        detail: words for people, for instance what the policy node complained of.
        started: node clock when the instruction was sent, [s].
        duration: from instruction to outcome, [s] on the node clock.
        moved_object: the object that the robot moved, None where none.
        latency: capture to published chunk.
        captures: capture stamps of the chunks received, [s].
        frames: name of the file with the recorded frames, empty where none were.
        tool_version: version of this package.

    """

    slot: Slot
    attempt: int
    task: str
    instruction: str
    variant: str
    checkpoint: str
    checkpoint_hash: str
    outcome: Outcome
    reason: str
    detail: str
    started: float
    duration: float
    moved_object: str | None
    latency: Latency
    captures: tuple[float, ...] = field(default=())
    frames: str = ''
    tool_version: str = ''

    def __post_init__(self) -> None:
        """Refuse an outcome that a report could not count."""
        if self.outcome not in OUTCOMES:
            raise TrialError(unknown('outcome', self.outcome, OUTCOMES))
        if self.outcome == 'invalid' and self.reason not in INVALID_REASONS:
            raise TrialError(unknown('reason for an invalid episode', self.reason,
                                     INVALID_REASONS))

    @property
    def valid(self) -> bool:
        """Return whether the episode counts."""
        return self.outcome != 'invalid'

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; nan, which JSON lacks, as None."""
        latency = {key: None if value != value else value
                   for key, value in asdict(self.latency).items()}
        return {**asdict(self), 'latency': latency, 'captures': list(self.captures)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Episode':
        """Build from ``to_dict`` output; raise TrialError where it is not one."""
        _strict('episode', cls, data)
        latency: dict[str, Any] = {key: float('nan') if value is None else value
                                   for key, value in data['latency'].items()}
        return cls(**{**data, 'slot': Slot(**data['slot']), 'latency': Latency(**latency),
                      'captures': tuple(data['captures'])})


def remaining(study: Study, done: Sequence[Episode]) -> tuple[tuple[Slot, int], ...]:
    """Return the slots without a valid episode, in running order, each with its next attempt."""
    finished = {episode.slot for episode in done if episode.valid}
    attempts: dict[Slot, int] = {}
    for episode in done:
        attempts[episode.slot] = max(attempts.get(episode.slot, 0), episode.attempt + 1)
    return tuple((slot, attempts.get(slot, 0)) for slot in schedule(study)
                 if slot not in finished)
