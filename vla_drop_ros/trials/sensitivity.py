# SPDX-License-Identifier: Apache-2.0
"""The same question asked in other ways: does the verdict hang on one choice?

The primary analysis alone decides. A row that disagrees with it is a reason to look, and is
printed whether it agrees or not.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
import math
from typing import Any

from scipy.stats import norm

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.trials.evidence import boundaries, evidence, rejected_at, Terms
from vla_drop_ros.trials.invalid_trials import first_attempts, worst_case
from vla_drop_ros.trials.pairs import final, Outcome, Pair, pairs_of, path_of, rounds_of
from vla_drop_ros.trials.statistics import Interval, paired_difference, tango_z
from vla_drop_ros.trials.unpaired import (
    Arm,
    boschloo,
    mantel_haenszel,
    unpaired_score,
)
from vla_drop_ros.trials.verdict import Verdict

ADVERSARIAL_HORIZON = 200  # beyond, the calibration takes minutes


@dataclass(frozen=True, slots=True)
class Row:
    """One analysis.

    Attributes:
        name: of the analysis.
        pairs: that went into it; trials of an arm where it ignores pairs.
        interval: of the difference, confidence 1 - 2 alpha, for one look where not said else.
        no_worse: whether it shows 'no worse than the margin'; None: it does not ask.
        note: how to read it, or why it is missing.

    """

    name: str
    pairs: int
    interval: Interval
    no_worse: bool | None
    note: str = ''

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; nan is null."""
        numbers = {key: None if math.isnan(value) else value
                   for key, value in asdict(self.interval).items()}
        return {'name': self.name, 'pairs': self.pairs, 'interval': numbers,
                'no_worse': self.no_worse, 'note': self.note}


def sensitivity(outcomes: Sequence[Outcome], baseline: str, candidate: str, terms: Terms,
                verdict: Verdict) -> list[Row]:
    """Return the rows, the primary analysis first.

    Args:
        outcomes: every attempt of the study, the invalid ones too, arms unblinded.
        baseline: name of the arm.
        candidate: name of the arm.
        terms: of the study.
        verdict: of the primary analysis.

    """
    everything = pairs_of(outcomes, baseline, candidate)
    rows = [Row('primary', verdict.counts.pairs, verdict.interval,
                verdict.rejections['non_inferior'] > 0, 'decides; right under the stopping rule'),
            _one_look('all complete pairs', everything, terms,
                      'incomplete rounds and pairs beyond the horizon too'),
            _one_look('first attempts only', first_attempts(outcomes, baseline, candidate), terms,
                      'without pairs in which anything was repeated'),
            _one_look('invalid trials at their worst', worst_case(outcomes, baseline, candidate),
                      terms, 'left out: the candidate failed, the baseline succeeded')]
    rows += _judgement(outcomes, baseline, candidate, terms)
    if terms.rule == 'exact_paired' and terms.calibration == 'iid':
        rows.append(_adversarial(everything, terms, verdict.counts.pairs))
    rows += _unpaired(outcomes, baseline, candidate, terms)
    return rows


def _judgement(outcomes: Sequence[Outcome], baseline: str, candidate: str, terms: Terms
               ) -> list[Row]:
    """Return the rows that doubt the verdicts on trials; none where nobody doubted any."""
    valid = [one for one in final(outcomes).values() if one.arm in (baseline, candidate)]
    unsure, rated = sum(not one.sure for one in valid), [
        one for one in valid if one.rated is not None]
    rows = []
    if unsure:
        said = f'{unsure} of {len(valid)} trials were judged unsurely'
        worst = [one if one.sure else replace(one, success=one.arm == baseline) for one in valid]
        rows = [
            _one_look('unsure trials removed', pairs_of(
                [one for one in valid if one.sure], baseline, candidate), terms,
                f'{said}; without their pairs'),
            _one_look('unsure trials at their worst', pairs_of(worst, baseline, candidate), terms,
                      'unsure: the candidate failed, the baseline succeeded')]
    if rated:
        second = [replace(one, success=one.rated) if one.rated is not None else one
                  for one in valid]
        other = sum(one.rated != one.success for one in rated)
        rows.append(_one_look(
            'second rater', pairs_of(second, baseline, candidate), terms,
            f'the word of who saw the recording, where there is one: {len(rated)} of '
            f'{len(valid)} trials, {other} rated otherwise'))
    return rows


def strata_of(outcomes: Sequence[Outcome], baseline: str, candidate: str
              ) -> dict[str, tuple[Arm, Arm]]:
    """Return task -> (successes, trials) of the candidate and of the baseline."""
    valid = list(final(outcomes).values())

    def count(task: str, arm: str) -> Arm:
        mine = [bool(one.success) for one in valid if one.task == task and one.arm == arm]
        return sum(mine), len(mine)

    found = {task: (count(task, candidate), count(task, baseline))
             for task in sorted({one.task for one in valid})}
    return {task: arms for task, arms in found.items() if arms[0][1] and arms[1][1]}


def _one_look(name: str, pairs: Sequence[Pair], terms: Terms, note: str) -> Row:
    b = sum(pair.candidate and not pair.baseline for pair in pairs)
    c = sum(pair.baseline and not pair.candidate for pair in pairs)
    n = len(pairs)
    shown = n > 0 and tango_z(b, c, n, terms.margin) >= norm.isf(terms.alpha)
    return Row(name, n, paired_difference(b, c, n, 1 - 2 * terms.alpha), bool(shown), note)


def _adversarial(pairs: Sequence[Pair], terms: Terms, used: int) -> Row:
    """Return the row of the pairs that the primary analysis used."""
    name = 'adversarial calibration'
    nothing = Interval(math.nan, math.nan, math.nan, 1 - 2 * terms.alpha)
    if terms.horizon > ADVERSARIAL_HORIZON:
        return Row(name, 0, nothing, None, f'not computed beyond {ADVERSARIAL_HORIZON} pairs')
    strict = replace(terms, calibration='adversarial')
    rounds = rounds_of(pairs, terms.conditions)[:used // terms.conditions]
    path = path_of(rounds)
    looks = evidence(path, 'non_inferior', strict, boundaries(strict, ('non_inferior',)))
    b, c, n = path[-1] if path else (0, 0, 0)
    estimate = (b - c) / n if n else math.nan
    return Row(name, n, replace(nothing, estimate=estimate), rejected_at(looks) > 0,
               'holds even if the share of discordant pairs reacts to what came before')


def _unpaired(outcomes: Sequence[Outcome], baseline: str, candidate: str, terms: Terms
              ) -> list[Row]:
    strata = strata_of(outcomes, baseline, candidate)
    totals = [(sum(arms[side][0] for arms in strata.values()),
               sum(arms[side][1] for arms in strata.values())) for side in (0, 1)]
    if not totals[0][1]:
        return []
    found = Interval(totals[0][0] / totals[0][1] - totals[1][0] / totals[1][1], math.nan,
                     math.nan, 1 - 2 * terms.alpha)
    score = unpaired_score(totals[0], totals[1], terms.margin, terms.alpha)
    rows = [Row('pairs ignored', totals[0][1], score.difference, score.p_value <= terms.alpha,
                'Miettinen-Nurminen'),
            Row('pairs ignored, superiority', totals[0][1], found, None,
                f'Boschloo, one-sided p = {boschloo(totals[0], totals[1]):.3f} of no better')]
    try:
        ratio = mantel_haenszel(strata)
        note = (f'Mantel-Haenszel odds ratio {ratio.odds_ratio:.2f} [{ratio.low:.2f}, '
                f'{ratio.high:.2f}], p = {ratio.p_value:.3f}'
                + ('' if math.isnan(ratio.heterogeneity) else
                   f'; tasks alike: p = {ratio.heterogeneity:.3f}'))
    except MissingDependencyError as error:
        note = str(error)
    return [*rows, Row('tasks as strata', totals[0][1], found, None, note)]
