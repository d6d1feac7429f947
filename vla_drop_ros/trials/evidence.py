# SPDX-License-Identifier: Apache-2.0
"""The evidence for and against every hypothesis of a paired study, look by look.

There are four, all made of one margin m, and each is a null that is to be rejected:

    non_inferior   the difference is at most -m
    better         it is at most 0
    worse          it is at least 0
    inferior       it is at least -m

The last two are the first two with the arms exchanged, at margins 0 and -m. One statistic and one
threshold per look, whatever the stopping rule: Tango's score, or the logarithm of the e-value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
import math
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from vla_drop_ros.errors import TrialError, unknown
from vla_drop_ros.trials.betting import anytime_interval, anytime_rule, log_e
from vla_drop_ros.trials.boundary import Boundary, Calibration, Spending
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.paired_walk import mirrored, one_look, Rule, TIE
from vla_drop_ros.trials.pairs import Counts
from vla_drop_ros.trials.repeated_interval import agreeing, repeated_interval
from vla_drop_ros.trials.statistics import Interval, paired_difference, tango_z

Hypothesis = Literal['non_inferior', 'better', 'worse', 'inferior']
HYPOTHESES: tuple[Hypothesis, ...] = ('non_inferior', 'better', 'worse', 'inferior')
RULES = ('exact_paired', 'anytime', 'fixed')
Boundaries = Mapping[Hypothesis, Boundary]
Progress = Callable[[str, int, int], None]  # hypothesis, pairs followed so far, pairs in all


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a design decides the verdict.

    Attributes:
        margin: success may be lower by no more than this, as a proportion.
        alpha: one-sided error of each direction.
        rule: ``exact_paired``, ``anytime`` or ``fixed``.
        horizon: most pairs; 0 for ``anytime``.
        conditions: pairs of a round; one looks after complete rounds only.
        minimum_baseline: success below which nothing can be 'no worse'.
        spending: of ``exact_paired``.
        calibration: of ``exact_paired``.

    """

    margin: float
    alpha: float
    rule: str
    horizon: int
    conditions: int = 1
    minimum_baseline: float = 0.5
    spending: Spending = 'linear'
    calibration: Calibration = 'iid'

    def __post_init__(self) -> None:
        """Refuse terms that no study can have."""
        if self.rule not in RULES:
            raise TrialError(unknown('stopping rule', self.rule, RULES))
        if not 0.0 < self.margin < 1.0 or not 0.0 < self.alpha < 0.5:
            raise TrialError(f'margin {self.margin}, alpha {self.alpha}: the margin lies between '
                             '0 and 1, alpha between 0 and 0.5')
        if self.conditions < 1 or (self.rule != 'anytime' and self.horizon < self.conditions):
            raise TrialError(f'a horizon of {self.horizon} pairs with {self.conditions} '
                             'conditions; at least one round is needed')

    @classmethod
    def of(cls, design: Design) -> 'Terms':
        """Return the terms of a design."""
        stopping = design.stopping
        return cls(design.margin, design.alpha, stopping.rule, stopping.horizon,
                   len(design.conditions), design.minimum_baseline, stopping.spending,
                   stopping.calibration)

    @property
    def looks(self) -> tuple[int, ...]:
        """Return the numbers of pairs at which ``exact_paired`` may look: complete rounds."""
        return tuple(range(self.conditions, self.horizon + 1, self.conditions))

    def margin_of(self, hypothesis: Hypothesis) -> float:
        """Return the margin of a null, with the arms exchanged for the last two."""
        return {'non_inferior': self.margin, 'better': 0.0, 'worse': 0.0,
                'inferior': -self.margin}[hypothesis]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one hypothesis.

    Attributes:
        pairs: complete pairs so far.
        statistic: Tango's score, or the logarithm of the e-value; high speaks against the null.
        threshold: what rejects; inf where one may not reject at this look.

    """

    pairs: int
    statistic: float
    threshold: float

    @property
    def crossed(self) -> bool:
        """Say whether this look rejects."""
        return math.isfinite(self.threshold) and self.statistic >= self.threshold - TIE


def exchanged(hypothesis: Hypothesis) -> bool:
    """Say whether candidate and baseline change places in the test of a hypothesis."""
    return hypothesis in ('worse', 'inferior')


@lru_cache(maxsize=64)
def _built(terms: Terms, margin: float) -> Boundary:
    return Boundary.build(terms.horizon, margin, terms.alpha, terms.spending,
                          calibration=terms.calibration, looks=terms.looks)


def boundaries(terms: Terms, hypotheses: Sequence[Hypothesis] = HYPOTHESES,
               progress: Progress | None = None) -> dict[Hypothesis, Boundary]:
    """Build the boundaries of a study with the rule ``exact_paired``, for its file.

    Args:
        terms: of the study; other rules need none, and give an empty dictionary.
        hypotheses: whose boundaries are needed.
        progress: called after every pair of every boundary.

    """
    if terms.rule != 'exact_paired':
        return {}
    found: dict[float, Boundary] = {}
    for hypothesis in hypotheses:
        margin = terms.margin_of(hypothesis)
        if margin in found:
            continue
        found[margin] = _built(terms, margin) if progress is None else Boundary.build(
            terms.horizon, margin, terms.alpha, terms.spending, calibration=terms.calibration,
            looks=terms.looks, progress=_named(progress, hypothesis))
    return {hypothesis: found[terms.margin_of(hypothesis)] for hypothesis in hypotheses}


def _named(progress: Progress, hypothesis: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(hypothesis, done, total)


def check_boundaries(stored: Boundaries, terms: Terms) -> None:
    """Raise TrialError where boundaries are not those of these terms."""
    for hypothesis in HYPOTHESES if terms.rule == 'exact_paired' else ():
        if hypothesis not in stored:
            raise TrialError(f'the study stores no boundary for {hypothesis!r}; lock it again')
        one = stored[hypothesis]
        found = (one.margin, one.alpha, one.horizon, one.spending, one.calibration, one.looks)
        expected = (terms.margin_of(hypothesis), terms.alpha, terms.horizon, terms.spending,
                    terms.calibration, terms.looks)
        if found != expected:
            raise TrialError(f'the stored boundary for {hypothesis!r} is for {found[:5]}, the '
                             f'design says {expected[:5]}; lock the study again')


def evidence(path: Sequence[Counts], hypothesis: Hypothesis, terms: Terms,
             stored: Boundaries) -> tuple[Look, ...]:
    """Return the evidence against a null after every complete round."""
    margin = terms.margin_of(hypothesis)
    found: list[Look] = []
    for counts in path:
        b, c, n = counts
        if exchanged(hypothesis):
            b, c = c, b
        if terms.rule == 'anytime':
            found.append(Look(n, float(log_e(b, c, n, margin)), -math.log(terms.alpha)))
        elif terms.rule == 'fixed':
            bound = float(norm.isf(terms.alpha)) if n == terms.horizon else math.inf
            found.append(Look(n, tango_z(b, c, n, margin), bound))
        else:
            found.append(Look(n, tango_z(b, c, n, margin), stored[hypothesis].threshold(n)))
    return tuple(found)


def rejected_at(looks: Iterable[Look]) -> int:
    """Return the pairs at the first look that rejects, 0 if none does."""
    return next((look.pairs for look in looks if look.crossed), 0)


def interval_of(path: Sequence[Counts], terms: Terms, rejections: Mapping[Hypothesis, int],
                step: Callable[[float], None] | None = None) -> Interval:
    """Return the difference with the interval that belongs to the stopping rule.

    Its confidence is 1 - 2 alpha, and it agrees with the rejections. ``fixed``: Tango's, right
    at the horizon only.
    """
    if terms.rule == 'exact_paired':
        found = repeated_interval(path, terms.horizon, terms.alpha, terms.spending,
                                  calibration=terms.calibration, looks=terms.looks, step=step)
        return agreeing(found, {name for name in HYPOTHESES if rejections[name]}, terms.margin)
    if terms.rule == 'fixed' or not path:
        counts = path[-1] if path else (0, 0, 0)
        return paired_difference(*counts, confidence=1 - 2 * terms.alpha)
    each = [anytime_interval(*counts, alpha=terms.alpha) for counts in path]
    low, high = max(one.low for one in each), min(one.high for one in each)
    estimate = each[-1].estimate
    return Interval(estimate, min(low, estimate), max(high, estimate), 1 - 2 * terms.alpha)


def rule_for(hypothesis: Hypothesis, terms: Terms, stored: Boundaries, pairs: int) -> Rule:
    """Return where a hypothesis is rejected, in counts of the study itself, for planning."""
    margin = terms.margin_of(hypothesis)
    if terms.rule == 'anytime':
        rule = anytime_rule(margin, terms.alpha)
    elif terms.rule == 'fixed':
        rule = one_look(pairs, margin, terms.alpha)
    else:
        rule = stored[hypothesis].region
    allowed = np.arange(terms.conditions, pairs + 1, terms.conditions)

    def at_rounds(n: int) -> Any:
        return rule(n) if n in allowed else None

    return mirrored(at_rounds) if exchanged(hypothesis) else at_rounds
