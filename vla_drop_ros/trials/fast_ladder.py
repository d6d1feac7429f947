# SPDX-License-Identifier: Apache-2.0
"""How thousands of simulated studies of one or more pruned checkpoints end, as ``ladder`` says."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vla_drop_ros.trials.evidence import Boundaries, Progress, Terms
from vla_drop_ros.trials.fast_judge import FastJudge, Flags, Judged, Outcomes


@dataclass(frozen=True, slots=True)
class StudyEnds:
    """Where studies end that are stopped as soon as every arm has its answer.

    Attributes:
        pairs: of every arm with the baseline, shape (studies,).
        answered: whether there were answers; else the study was given up, shape (studies,).
        accepted: shown to be no worse, with all others in mind, shape (arms, studies).
        worse: called worse, shape (arms, studies).

    """

    pairs: npt.NDArray[np.int64]
    answered: Flags
    accepted: Flags
    worse: Flags


@dataclass(frozen=True, slots=True)
class FastLadder:
    """A rule at all errors that a ladder may come to.

    Attributes:
        judges: at the error of the study, and for ``holm`` at a half, a third ... of it.
        method: ``fixed_sequence`` or ``holm``.

    """

    judges: tuple[FastJudge, ...]
    method: str

    @classmethod
    def build(cls, terms: Terms, arms: int, method: str, pairs: int,
              stored: Boundaries | None = None, progress: Progress | None = None) -> 'FastLadder':
        """Tabulate the rule at every error.

        Args:
            terms: of the study.
            arms: pruned ones.
            method: ``fixed_sequence`` or ``holm``.
            pairs: at most; whole rounds.
            stored: boundaries at the full error; built anew if None.
            progress: called after every pair of every table.

        """
        levels = arms if method == 'holm' else 1
        return cls(tuple(FastJudge.build(
            replace(terms, alpha=terms.alpha / count), pairs, stored if count == 1 else None,
            progress) for count in range(1, levels + 1)), method)

    def ends(self, outcomes: Outcomes) -> StudyEnds:
        """Return how the studies end."""
        found = self._judged(outcomes)
        stop = self._answered(found)
        answered = np.any(stop, axis=1)
        at = np.where(answered, stop.argmax(axis=1), stop.shape[1] - 1)
        everyone = np.arange(len(at))
        accepted = self._climbed(found)
        return StudyEnds(self.judges[0].ends[at], answered, accepted[:, everyone, at],
                         self._worse(found, accepted)[:, everyone, at])

    def answered(self, outcomes: Outcomes) -> Flags:
        """Return ``ladder.has_answers`` at the end of every round: (studies, rounds)."""
        return self._answered(self._judged(outcomes))

    def climbed(self, outcomes: Outcomes) -> Flags:
        """Return what ``ladder.climb`` accepts after every round: (arms, studies, rounds)."""
        return self._climbed(self._judged(outcomes))

    def _judged(self, outcomes: Outcomes) -> list[Judged]:
        return [judge.judge(outcomes) for judge in self.judges]

    def _answered(self, found: list[Judged]) -> Flags:
        if self.method == 'fixed_sequence':
            return np.asarray(np.all(found[0].stop, axis=0))
        stops, shown = (np.array(ones) for ones in zip(
            *((one.stop, one.no_worse) for one in found), strict=True))
        left = np.ones_like(shown[0])
        for _ in found:
            at = np.maximum(left.sum(axis=0) - 1, 0)[None, None]
            left &= ~np.take_along_axis(shown, at, axis=0)[0]
        at = np.maximum(left.sum(axis=0) - 1, 0)[None, None]
        return np.asarray(np.all(np.take_along_axis(stops, at, axis=0)[0] | ~left, axis=0))

    def _climbed(self, found: list[Judged]) -> Flags:
        if self.method == 'fixed_sequence':
            return np.asarray(np.logical_and.accumulate(found[0].accepted, axis=0))
        strict = [one.accepted for one in reversed(found)]  # the fewer are accepted, the stricter
        accepted = np.zeros_like(strict[0])
        for _ in strict:
            accepted = accepted | _by_accepted(accepted, strict)
        return np.asarray(accepted)

    def _worse(self, found: list[Judged], accepted: Flags) -> Flags:
        if self.method == 'fixed_sequence':
            return found[0].worse
        return ~accepted & _by_accepted(accepted, [one.worse for one in reversed(found)])


def _by_accepted(accepted: Flags, strict: list[Flags]) -> Flags:
    """Return for every study what holds at the error to which so many accepted ones lead."""
    count = accepted.sum(axis=0)
    return np.asarray(np.select([count == passed for passed in range(len(strict))], strict,
                                False))
