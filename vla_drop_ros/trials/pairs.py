# SPDX-License-Identifier: Apache-2.0
"""Outcomes become pairs, and pairs become the counts after every complete round.

A pair is one condition in one round, run by both arms. Statistics look only at complete rounds,
from the first on, so that every condition weighs the same and easy ones cannot come first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vla_drop_ros.errors import TrialError

Counts = tuple[int, int, int]  # solved by the candidate only, by the baseline only, pairs
Place = tuple[int, str, str]  # round, condition, arm


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt, unblinded, as far as the statistics care.

    Attributes:
        round: 0, 1, 2 ...; every condition once.
        condition: id of the condition.
        arm: name of the arm.
        success: None: invalid, left out for a reason of the design.
        task: stratum.
        attempt: 0 for the first in this place of the schedule.
        position: place within the pair, 0 first.
        index: running order over the study.
        progress: answered rubric stages, 0 to 1; nan: not asked.
        seconds: time to success, [s]; nan: no success.
        sure: whether the person who judged was.
        rated: success in the eyes of the last second rater; None: nobody else rated it.

    """

    round: int
    condition: str
    arm: str
    success: bool | None
    task: str = ''
    attempt: int = 0
    position: int = 0
    index: int = 0
    progress: float = float('nan')
    seconds: float = float('nan')
    sure: bool = True
    rated: bool | None = None

    @property
    def place(self) -> Place:
        """Return what it was an attempt at: round, condition, arm."""
        return self.round, self.condition, self.arm


@dataclass(frozen=True, slots=True)
class Pair:
    """One condition in one round, run by both arms.

    Attributes:
        round: 0, 1, 2 ...
        condition: id of the condition.
        candidate: success of the pruned checkpoint.
        baseline: success of the baseline.
        task: stratum.

    """

    round: int
    condition: str
    candidate: bool
    baseline: bool
    task: str = ''


def final(outcomes: Iterable[Outcome]) -> dict[Place, Outcome]:
    """Return the last valid attempt at every place, by place."""
    found: dict[Place, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda one: (one.attempt, one.index)):
        if outcome.success is not None:
            found[outcome.place] = outcome
    return found


def pairs_of(outcomes: Iterable[Outcome], baseline: str, candidate: str) -> tuple[Pair, ...]:
    """Return the pairs that both arms ran validly, by round and condition."""
    chosen = final(outcomes)
    found = [Pair(round_, condition, bool(outcome.success), bool(other.success), outcome.task)
             for (round_, condition, arm), outcome in chosen.items()
             if arm == candidate
             and (other := chosen.get((round_, condition, baseline))) is not None]
    return tuple(sorted(found, key=lambda pair: (pair.round, pair.condition)))


def rounds_of(pairs: Iterable[Pair], conditions: int) -> list[list[Pair]]:
    """Return the complete rounds, from the first on.

    Args:
        pairs: in any order; the same pair twice counts once, so that logs can be merged.
        conditions: pairs of a complete round.

    Raises:
        TrialError: a pair has two outcomes, or a round more pairs than conditions.

    """
    rounds: dict[int, dict[str, Pair]] = {}
    for pair in pairs:
        other = rounds.setdefault(pair.round, {}).setdefault(pair.condition, pair)
        if (other.candidate, other.baseline) != (pair.candidate, pair.baseline):
            raise TrialError(f'round {pair.round}, condition {pair.condition!r} has two outcomes; '
                             'the logs contradict each other: keep one of them')
    found: list[list[Pair]] = []
    while len(rounds.get(len(found), {})) >= conditions:
        members = rounds[len(found)]
        if len(members) > conditions:
            raise TrialError(f'round {len(found)} has {len(members)} conditions, not '
                             f'{conditions}: {sorted(members)}')
        found.append([members[name] for name in sorted(members)])
    return found


def common_rounds(pairs: Mapping[str, Iterable[Pair]], conditions: int) -> int:
    """Return how many rounds, from the first on, are complete with every candidate.

    The last round may be complete with some of them already: if it counted for these, a ladder
    opened early would judge its candidates on different rounds.

    Args:
        pairs: candidate -> its pairs with the baseline.
        conditions: pairs of a complete round.

    """
    return min((len(rounds_of(ones, conditions)) for ones in pairs.values()), default=0)


def path_of(rounds: Sequence[Sequence[Pair]]) -> tuple[Counts, ...]:
    """Return the counts after every round."""
    b = c = n = 0
    found: list[Counts] = []
    for members in rounds:
        b += sum(pair.candidate and not pair.baseline for pair in members)
        c += sum(pair.baseline and not pair.candidate for pair in members)
        n += len(members)
        found.append((b, c, n))
    return tuple(found)
