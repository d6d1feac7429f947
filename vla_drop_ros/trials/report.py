# SPDX-License-Identifier: Apache-2.0
"""What a study showed: counts, intervals and the paired comparison, as data and as text."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_drop_ros.trials.episode import Arm, Episode, Slot, Study
from vla_drop_ros.trials.statistics import Interval, mcnemar_exact, paired_difference, wilson

LIMITS_OF_THE_RESULT = (
    'A simulator is not a robot: success here says nothing certain about a real arm.',
    'One interval a checkpoint, looked at once, at the number of episodes planned. Stopping '
    'early because the numbers look good makes the intervals wrong.',
    '"No difference found" is not "no difference": the interval of the difference shows how '
    'large a loss these episodes could have missed.',
    'Invalid episodes were run again. The worst case counts each of them against the candidate.',
)


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """What one checkpoint did.

    Attributes:
        arm: which.
        outcomes: outcome -> count, the first valid episode of each slot.
        success: rate with its Wilson interval.
        invalid: reason -> count over all attempts.
        latency: median over the episodes of the median capture-to-chunk latency, [s].
        latency_p95: the same of the 95th percentiles, [s].
        solved_in: median duration of the successes, [s]; nan without any.

    """

    arm: Arm
    outcomes: Mapping[str, int]
    success: Interval
    invalid: Mapping[str, int]
    latency: float
    latency_p95: float
    solved_in: float

    @property
    def trials(self) -> int:
        """Return how many episodes count."""
        return sum(self.outcomes.values())

    @property
    def successes(self) -> int:
        """Return how many of them succeeded."""
        return self.outcomes.get('success', 0)


@dataclass(frozen=True, slots=True)
class PairSummary:
    """A candidate against the baseline on the scenes that both completed.

    Attributes:
        baseline: the first arm of the study.
        candidate: the other.
        both: scenes solved by both.
        candidate_only: by the candidate only.
        baseline_only: by the baseline only.
        neither: by none.
        difference: success rate of the candidate minus the baseline's, Tango's interval.
        p_value: exact McNemar, two-sided.
        worst_case: the difference if every scene with an invalid attempt counted against the
            candidate.

    """

    baseline: Arm
    candidate: Arm
    both: int
    candidate_only: int
    baseline_only: int
    neither: int
    difference: Interval
    p_value: float
    worst_case: Interval

    @property
    def pairs(self) -> int:
        """Return how many scenes both completed."""
        return self.both + self.candidate_only + self.baseline_only + self.neither


@dataclass(frozen=True, slots=True)
class Summary:
    """What a study showed; ``complete`` is False while slots are left to run."""

    study: Study
    arms: tuple[ArmSummary, ...]
    pairs: tuple[PairSummary, ...]
    complete: bool


def summarize(study: Study, episodes: Sequence[Episode]) -> Summary:
    """Count the first valid episode of each slot and compare each arm with the first one."""
    counted: dict[Slot, Episode] = {}
    for episode in episodes:
        if episode.valid:
            counted.setdefault(episode.slot, episode)
    baseline, *candidates = study.arms
    return Summary(
        study, tuple(_summarize_arm(arm, counted.values(), episodes) for arm in study.arms),
        tuple(_summarize_pair(baseline, arm, counted.values(), episodes) for arm in candidates),
        complete=len(counted) == study.episodes * len(study.arms))


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.median(known)) if known else float('nan')


def _summarize_arm(arm: Arm, counted: Collection[Episode], episodes: Sequence[Episode],
                   ) -> ArmSummary:
    mine = [episode for episode in counted if episode.slot.arm == arm.name]
    outcomes = Counter[str](episode.outcome for episode in mine)
    return ArmSummary(
        arm, outcomes, wilson(outcomes['success'], len(mine)),
        dict(Counter(episode.reason for episode in episodes
                     if episode.slot.arm == arm.name and not episode.valid)),
        _median([episode.latency.median for episode in mine]),
        _median([episode.latency.p95 for episode in mine]),
        _median([episode.duration for episode in mine if episode.outcome == 'success']))


def _summarize_pair(baseline: Arm, candidate: Arm, counted: Collection[Episode],
                    episodes: Sequence[Episode]) -> PairSummary:
    solved = {name: {e.slot.pair: e.outcome == 'success' for e in counted if e.slot.arm == name}
              for name in (baseline.name, candidate.name)}
    base, other = solved[baseline.name], solved[candidate.name]
    shared = sorted(set(base) & set(other))
    table = Counter((base[pair], other[pair]) for pair in shared)
    spoiled = {name: {e.slot.pair for e in episodes if e.slot.arm == name and not e.valid}
               for name in solved}
    worst = Counter((base[pair] or pair in spoiled[baseline.name],
                     other[pair] and pair not in spoiled[candidate.name]) for pair in shared)
    gained, lost = table[False, True], table[True, False]
    return PairSummary(
        baseline, candidate, table[True, True], gained, lost, table[False, False],
        paired_difference(gained, lost, len(shared)), mcnemar_exact(gained, lost),
        paired_difference(worst[False, True], worst[True, False], len(shared)))


def percent(value: float, sign: bool = False) -> str:
    """Return a proportion as for instance '92.5'; '-' where it is unknown."""
    return '-' if value != value else f'{100 * value:+.1f}' if sign else f'{100 * value:.1f}'


def milliseconds(value: float) -> str:
    """Return seconds as whole milliseconds; '-' where they are unknown."""
    return '-' if value != value else f'{1000 * value:.0f}'


def sentence(pair: PairSummary) -> str:
    """Say in one sentence what the pairs showed, and nothing beyond it."""
    low, high = pair.difference.low, pair.difference.high
    names = f'{pair.candidate.name} minus {pair.baseline.name}'
    found = (f'{names}: {percent(pair.difference.estimate, True)} points of success '
             f'[{percent(low, True)}, {percent(high, True)}] over {pair.pairs} paired scenes')
    if pair.pairs == 0:
        return f'{names}: no scene was completed by both.'
    if high < 0:
        return f'{found}: {pair.candidate.name} is worse.'
    if low > 0:
        return f'{found}: {pair.candidate.name} is better.'
    return f'{found}: no difference shown; a loss of up to {percent(-low)} points fits as well.'


def as_text(summary: Summary) -> str:
    """Return the arms side by side and the paired comparison, for a terminal."""
    rows = [('checkpoint', 'hash', 'success', '95 % Wilson', 'latency ms', 'solved in', 'invalid')]
    for arm in summary.arms:
        interval = arm.success
        rows.append((
            arm.arm.name, arm.arm.short,
            f'{arm.successes}/{arm.trials} = {percent(interval.estimate)} %',
            f'{percent(interval.low)} .. {percent(interval.high)} %',
            f'{milliseconds(arm.latency)} (p95 {milliseconds(arm.latency_p95)})',
            '-' if arm.solved_in != arm.solved_in else f'{arm.solved_in:.1f} s',
            str(sum(arm.invalid.values()))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]
    for pair in summary.pairs:
        lines += ['', sentence(pair),
                  f'  both {pair.both}, {pair.candidate.name} only {pair.candidate_only}, '
                  f'{pair.baseline.name} only {pair.baseline_only}, neither {pair.neither}; '
                  f'Tango 95 % interval; exact McNemar p = {pair.p_value:.3f}']
    if not summary.complete:
        lines += ['', 'Not all planned scenes were run: these numbers are a look at the middle.']
    return '\n'.join(lines)
