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
from dataclasses import replace
from functools import cache
from pathlib import Path
import sys
import time

import numpy as np

from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.fast_judge import Outcomes
from vla_drop_ros.trials.fast_ladder import FastLadder

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs/statistics.md'
BEGIN, END = '<!-- begin: bench/null_studies.py -->', '<!-- end: bench/null_studies.py -->'
TERMS = Terms(margin=0.15, alpha=0.05, rule='exact_paired', horizon=60, conditions=4,
              minimum_baseline=0.5)
ANYTIME_PAIRS = 120  # after which a simulated study without a horizon is given up
BASELINE, SHARED = 0.8, 0.5  # its success; chance that an arm has the luck of the baseline
TRUTHS = ((-0.15,), (-0.15,) * 2, (0.0, -0.15), (-0.15,) * 4, (0.0, 0.0, -0.15, -0.25))
RULES = ('exact_paired', 'anytime', 'fixed')
METHODS = ('fixed_sequence', 'holm')


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
def ladder_of(terms: Terms, arms: int, method: str) -> FastLadder:
    """Return the tables of a ladder."""
    return FastLadder.build(terms, arms, method, pairs_of(terms))


def false_acceptances(rng: np.random.Generator, studies: int, terms: Terms,
                      truth: Sequence[float], method: str) -> tuple[float, float, float]:
    """Return how often a checkpoint that loses the margin or more is accepted.

    Returns:
        shares of the studies: stopped by the rule, at a random round, at the worst round.

    """
    outcomes = draw(rng, studies, pairs_of(terms), truth)
    bad = np.array(truth) <= -terms.margin + 1e-9
    ladder = ladder_of(terms, len(truth), method)
    wrong = np.any(ladder.climbed(outcomes)[bad], axis=0)
    stop = ladder.answered(outcomes)
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
