#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Simulate whole studies whose pruned checkpoints are too bad, and count false acceptances.

One, two or four pruned checkpoints run against one baseline, in rounds, under every stopping
rule, and are judged in a fixed sequence or after Holm, as `vla_drop trials report` does. People
stop when the rule allows it, at a random round, or at the first round at which a bad checkpoint
would be accepted: the worst that optional stopping can do. The table goes into
docs/statistics.md between two marks; each rate has its standard error.

Examples:
  python bench/null_studies.py                  # 10,000 studies a row; writes the document
  python bench/null_studies.py --studies 500 --quick

"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
import sys
import time

import numpy as np
import numpy.typing as npt

from vla_drop_ros.trials.evidence import boundaries, HYPOTHESES, Hypothesis, rule_for, Terms
from vla_drop_ros.trials.verdict import baseline_bound

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs/statistics.md'
BEGIN, END = '<!-- begin: bench/null_studies.py -->', '<!-- end: bench/null_studies.py -->'
TERMS = Terms(margin=0.15, alpha=0.05, rule='exact_paired', horizon=60, conditions=4,
              minimum_baseline=0.5)
ANYTIME_PAIRS = 120  # after which a simulated study without a horizon is given up
BASELINE, SHARED = 0.8, 0.5  # its success; chance that an arm has the luck of the baseline
TRUTHS = ((-0.15,), (-0.15,) * 2, (0.0, -0.15), (-0.15,) * 4, (0.0, 0.0, -0.15, -0.25))
RULES = ('exact_paired', 'anytime', 'fixed')
METHODS = ('fixed_sequence', 'holm')
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """Results of simulated studies, as booleans.

    Attributes:
        baseline: studies x pairs.
        arms: arms x studies x pairs.

    """

    baseline: Flags
    arms: Flags


def pairs_of(terms: Terms) -> int:
    """Return how many pairs a study has at most."""
    return ANYTIME_PAIRS if terms.rule == 'anytime' else terms.horizon


def draw(rng: np.random.Generator, studies: int, pairs: int, truth: Sequence[float]) -> Outcomes:
    """Return outcomes of arms whose success differs from the baseline's by the truth."""
    luck = rng.random((studies, pairs))
    arms = [np.where(rng.random(luck.shape) < SHARED, luck, rng.random(luck.shape))
            < BASELINE + difference for difference in truth]
    return Outcomes(luck < BASELINE, np.array(arms))


@cache
def _regions(terms: Terms) -> dict[Hypothesis, list[Flags]]:
    """Return hypothesis -> region of rejection at every look, in counts b, c."""
    pairs, stored = pairs_of(terms), boundaries(terms)
    found: dict[Hypothesis, list[Flags]] = {}
    for name in HYPOTHESES:
        rule = rule_for(name, terms, stored, pairs)
        regions = [rule(n) for n in range(terms.conditions, pairs + 1, terms.conditions)]
        found[name] = [np.zeros((pairs + 1,) * 2, bool) if region is None else np.asarray(region)
                       for region in regions]
    return found


def judged(terms: Terms, outcomes: Outcomes) -> tuple[Flags, Flags, Flags]:
    """Return ``accepted``, ``may_stop``, ``no_worse`` of verdict.py at the end of every round.

    Returns:
        three arrays: arms x studies x rounds.

    """
    ends = np.arange(terms.conditions, pairs_of(terms) + 1, terms.conditions)
    b = np.cumsum(outcomes.arms & ~outcomes.baseline, axis=-1)[..., ends - 1]
    c = np.cumsum(~outcomes.arms & outcomes.baseline, axis=-1)[..., ends - 1]
    solved = np.cumsum(outcomes.baseline, axis=-1)[..., ends - 1]
    ever: dict[Hypothesis, Flags] = {}
    for name, regions in _regions(terms).items():
        crossed = np.stack([region[b[..., look], c[..., look]]
                            for look, region in enumerate(regions)], axis=-1)
        ever[name] = np.logical_or.accumulate(crossed, axis=-1)
    guarded = np.stack([np.array([baseline_bound(wins, int(n), terms.alpha)
                                  >= terms.minimum_baseline for wins in range(n + 1)])
                        [solved[:, look]] for look, n in enumerate(ends)], axis=-1)
    no_worse, inferior = ever['non_inferior'], ever['inferior']
    better, worse = ever['better'] & no_worse, ever['worse']
    accepted = no_worse & ~inferior & ~(better & worse) & (better | guarded)
    stop = inferior | (no_worse & guarded)
    if terms.rule != 'anytime':
        stop[..., -1] = True
    return accepted, stop, no_worse & guarded


def answered(terms: Terms, outcomes: Outcomes, method: str) -> Flags:
    """Return ``has_answers`` of ladder.py at the end of every round: studies x rounds."""
    if method == 'fixed_sequence':
        return np.asarray(np.all(judged(terms, outcomes)[1], axis=0))
    several = len(outcomes.arms)
    stops, shown = (np.array(ones) for ones in zip(*(
        judged(replace(terms, alpha=terms.alpha / count), outcomes)[1:]
        for count in range(1, several + 1)), strict=True))
    left = np.ones_like(shown[0])
    for _ in range(several):
        at = np.maximum(left.sum(axis=0) - 1, 0)[None, None]
        left &= ~np.take_along_axis(shown, at, axis=0)[0]
    at = np.maximum(left.sum(axis=0) - 1, 0)[None, None]
    return np.asarray(np.all(np.take_along_axis(stops, at, axis=0)[0] | ~left, axis=0))


def climbed(terms: Terms, outcomes: Outcomes, method: str) -> Flags:
    """Return which arms the ladder accepts, had the study ended at every round."""
    if method == 'fixed_sequence':
        return np.logical_and.accumulate(judged(terms, outcomes)[0], axis=0)
    several = len(outcomes.arms)
    strict = [judged(replace(terms, alpha=terms.alpha / (several - passed)), outcomes)[0]
              for passed in range(several)]
    accepted = np.zeros_like(strict[0])
    for _ in range(several):
        count = accepted.sum(axis=0)
        now = np.select([count == passed for passed in range(several)], strict, False)
        accepted = accepted | now
    return np.asarray(accepted)


def false_acceptances(rng: np.random.Generator, studies: int, terms: Terms,
                      truth: Sequence[float], method: str) -> tuple[float, float, float]:
    """Return how often a checkpoint that loses the margin or more is accepted.

    Returns:
        shares of the studies: stopped by the rule, at a random round, at the worst round.

    """
    outcomes = draw(rng, studies, pairs_of(terms), truth)
    bad = np.array(truth) <= -terms.margin + 1e-9
    wrong: Flags = np.any(climbed(terms, outcomes, method)[bad], axis=0)
    stop = answered(terms, outcomes, method)
    at = np.where(np.any(stop, axis=1), stop.argmax(axis=1), stop.shape[1] - 1)
    everyone = np.arange(studies)
    return (float(wrong[everyone, at].mean()),
            float(wrong[everyone, rng.integers(wrong.shape[1], size=studies)].mean()),
            float(np.any(wrong, axis=1).mean()))


def cases(quick: bool) -> Iterator[tuple[str, str, tuple[float, ...]]]:
    """Yield rule, method, truth of every row."""
    for rule in RULES:
        for truth in TRUTHS[:3] if quick else TRUTHS:
            for method in METHODS if len(truth) > 1 else METHODS[:1]:
                yield rule, method, truth


def table(studies: int, seed: int, quick: bool = False) -> list[str]:
    """Return the lines of the table."""
    rng = np.random.default_rng(seed)
    lines = ['| rule | differences of the pruned checkpoints, points | ladder | stops when the '
             'rule allows | at a random round | at the worst round |', '|---|---|---|---|---|---|']
    for rule, method, truth in cases(quick):
        print(f'{rule}, {truth}, {method} ...', file=sys.stderr, flush=True)
        rates = false_acceptances(rng, studies, replace(
            TERMS, rule=rule, horizon=0 if rule == 'anytime' else TERMS.horizon), truth, method)
        name = '-' if len(truth) == 1 else method.replace('_', ' ')
        cells = ' | '.join(f'{rate:.4f} ± {np.sqrt(rate * (1 - rate) / studies):.4f}'
                           for rate in rates)
        lines.append(f'| {rule} | {", ".join(f"{100 * one:.0f}" for one in truth)} | {name} | '
                     f'{cells} |')
    return lines


def measure(arguments: Sequence[str]) -> int:
    """Print the table, and write it into the document unless asked not to."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='few rows, no file')
    parser.add_argument('--studies', type=int, default=10_000, help='a row (%(default)s)')
    parser.add_argument('--seed', type=int, default=1, help='(%(default)s)')
    parser.add_argument('--document', type=Path, default=DOCUMENT, help='with the marks')
    chosen = parser.parse_args(arguments)
    text = chosen.document.read_text(encoding='utf-8')
    if not chosen.quick and not 0 <= text.find(BEGIN) < text.find(END):
        print(f'{chosen.document} lacks the marks {BEGIN} and {END}', file=sys.stderr)
        return 1
    begin = time.perf_counter()
    lines = table(chosen.studies, chosen.seed, chosen.quick)
    print('\n'.join(lines))
    if chosen.quick:
        return 0
    made = (f'Made by `python bench/null_studies.py --studies {chosen.studies} --seed '
            f'{chosen.seed}` in {time.perf_counter() - begin:.0f} s on one core.')
    before, _, rest = text.partition(BEGIN)
    chosen.document.write_text('\n'.join([before + BEGIN, '', made, '', *lines, '', END])
                               + rest.partition(END)[2], encoding='utf-8')
    return 0


if __name__ == '__main__':
    raise SystemExit(measure(sys.argv[1:]))
