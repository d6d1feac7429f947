# SPDX-License-Identifier: Apache-2.0
"""The verdicts of thousands of simulated studies at once, the same as those of ``verdict``.

A rule that rejects at some b and c also rejects at the same b and fewer c, so that after every
round a table of 'fewer than so many c' for each b is the whole rule.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.betting import MOST_TABLED
from vla_drop_ros.trials.evidence import (
    Boundaries,
    boundaries,
    exchanged,
    HYPOTHESES,
    Hypothesis,
    Progress,
    rule_for,
    Terms,
)

Flags = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Successes in simulated studies.

    Attributes:
        baseline: shape (studies, pairs).
        arms: shape (arms, studies, pairs).

    """

    baseline: Flags
    arms: Flags


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of every arm at the end of every round; all (arms, studies, rounds).

    Attributes:
        accepted: the word says no worse, as ``Verdict.accepted``.
        stop: as ``may_stop``.
        no_worse: as ``no_worse``.
        worse: the word is WORSE or WORSE BY MORE THAN THE MARGIN.

    """

    accepted: Flags
    stop: Flags
    no_worse: Flags
    worse: Flags


@dataclass(frozen=True, slots=True)
class FastJudge:
    """One rule at one error.

    Attributes:
        terms: of the study.
        ends: pairs after every round, shape (rounds,).
        steps: hypothesis -> what c has to stay below after every round, by b; b and c change
            places where the arms do. Shape (rounds, pairs + 1).
        strong: whether the baseline is strong enough, by its successes; shape as ``steps``.

    """

    terms: Terms
    ends: Steps
    steps: dict[Hypothesis, Steps]
    strong: Flags

    @classmethod
    def build(cls, terms: Terms, pairs: int, stored: Boundaries | None = None,
              progress: Progress | None = None) -> 'FastJudge':
        """Tabulate a rule.

        Args:
            terms: of the study.
            pairs: at most; whole rounds. The horizon, or where ``anytime`` is given up.
            stored: boundaries of these terms; built anew if None.
            progress: called after every pair of every table.

        Raises:
            TrialError: more pairs than ``anytime`` is tabled for.

        """
        if terms.rule == 'anytime' and pairs > MOST_TABLED:
            raise TrialError(f'{pairs} pairs; by anytime, at most {MOST_TABLED} can be planned')
        if stored is None:
            stored = boundaries(terms, HYPOTHESES, progress)
        ends = np.arange(terms.conditions, pairs + 1, terms.conditions)
        steps = {}
        for name in HYPOTHESES:
            steps[name] = np.zeros((len(ends), pairs + 1), np.int64)
            rule = rule_for(name, terms, stored, pairs)
            for look, n in enumerate(ends):
                region: Any = rule(int(n))
                if region is not None:
                    steps[name][look, :n + 1] = (region.T if exchanged(name)
                                                 else region).sum(axis=1)
                if progress is not None and terms.rule == 'anytime':
                    progress(name, int(n), pairs)
        return cls(terms, ends, steps, _strong(terms, ends, pairs))

    def judge(self, outcomes: Outcomes) -> Judged:
        """Return what is known of every arm at the end of every round."""
        b = self._counted(outcomes.arms & ~outcomes.baseline)
        c = self._counted(~outcomes.arms & outcomes.baseline)
        look = np.arange(len(self.ends))
        ever: dict[Hypothesis, Flags] = {}
        for name, steps in self.steps.items():
            more, fewer = (c, b) if exchanged(name) else (b, c)
            ever[name] = np.logical_or.accumulate(fewer < steps[look, more], axis=-1)
        guarded = self.strong[look, self._counted(outcomes.baseline)]
        no_worse, inferior = ever['non_inferior'], ever['inferior']
        better, worse = ever['better'] & no_worse, ever['worse']
        contradictory = (no_worse & inferior) | (better & worse)
        stop = inferior | (no_worse & guarded)
        if self.terms.rule != 'anytime':
            stop[..., -1] = True
        return Judged(no_worse & ~contradictory & (better | guarded), stop, no_worse & guarded,
                      ~contradictory & (inferior | (worse & ~no_worse)))

    def _counted(self, happened: Flags) -> Steps:
        return np.asarray(np.cumsum(happened, axis=-1)[..., self.ends - 1])


def _strong(terms: Terms, ends: Steps, pairs: int) -> Flags:
    """Return for rounds and successes of the baseline whether its lower bound is high enough."""
    wins = np.arange(pairs + 1)
    trials = np.maximum(ends[:, None], wins)
    low = np.where(wins > 0, beta.ppf(terms.alpha, np.maximum(wins, 1), trials - wins + 1), 0.0)
    return np.asarray(low >= terms.minimum_baseline)
