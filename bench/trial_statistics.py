#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the error and the power of every rule that a study may use, and what breaks them.

Most numbers are exact, by the walk of the counts; the rest are simulations of many studies and
carry their standard error. Every number stands beside the one of an independent earlier
computation, in brackets, where there is one. The tables go into docs/statistics.md between two
marks.

Examples:
  python bench/trial_statistics.py             # all, minutes; writes the document
  python bench/trial_statistics.py --quick     # fewer studies and no long horizon, prints only

"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import sys
import time

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm

from vla_drop_ros.trials.betting import anytime_rule
from vla_drop_ros.trials.boundary import Boundary, Spending
from vla_drop_ros.trials.paired_walk import crossing, Flags, one_look, peeking, Rule, scores
from vla_drop_ros.trials.planning import fixed_pairs, sequential_pairs, Truth

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs/statistics.md'
BEGIN = '<!-- begin: bench/trial_statistics.py -->'
END = '<!-- end: bench/trial_statistics.py -->'
N, ALPHA = 100, 0.05
COLUMNS = ('one look', 'exact McNemar, one look', 'peeking', 'bet', 'linear', 'quadratic')
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One truth: p, q of the walk and column -> number of the earlier computation."""

    name: str
    p: float
    q: float
    known: Mapping[str, float] = field(default_factory=dict)


def _row(name: str, p: float, q: float, *known: float | None) -> Row:
    return Row(name, p, q, {column: value for column, value in zip(COLUMNS, known, strict=True)
                            if value is not None})


SUPERIORITY = (
    _row('equal, .8/.8 independent', 0.16, 0.16, 0.050, 0.036, 0.228, 0.022, 0.041, 0.046),
    _row('equal, .6/.6 independent', 0.24, 0.24, 0.049, 0.037, 0.231, 0.025, 0.045, 0.049),
    _row('equal, 16 % discordant', 0.08, 0.08, 0.050, 0.031, 0.200, 0.015, 0.033, 0.041),
    _row('.6 to .8 independent', 0.32, 0.12, 0.929, 0.908, None, 0.724, 0.877, 0.906),
    _row('.7 to .9 independent', 0.27, 0.07, 0.977, 0.967, None, 0.864, 0.951, 0.965),
    _row('.5 to .8 independent', 0.40, 0.10, 0.998, 0.997, None, 0.973, 0.995, 0.997),
    _row('.7 to .8, 20 % discordant', 0.15, 0.05, 0.743, 0.675, None, 0.455, 0.629, 0.682))
NON_INFERIORITY = (
    _row('loses 10 points, .11/.21', 0.11, 0.21, 0.049, None, 0.227, 0.026, 0.041, 0.046),
    _row('loses 10 points, .03/.13', 0.03, 0.13, 0.049, None, 0.198, 0.022, 0.029, 0.037),
    _row('equal, 32 % discordant', 0.16, 0.16, 0.543, None, None, 0.270, 0.443, 0.492),
    _row('equal, 16 % discordant', 0.08, 0.08, 0.778, None, None, 0.491, 0.653, 0.708),
    _row('equal, 8 % discordant', 0.04, 0.04, 0.940, None, None, 0.745, 0.846, 0.889),
    _row('gains 8 points, .20/.12', 0.20, 0.12, 0.939, None, None, 0.745, 0.889, 0.915))
PLAN = {(0.10, 0.08): (64, 81, 61), (0.10, 0.16): (107, 124, 88), (0.10, 0.32): (200, 224, 152),
        (0.15, 0.08): (36, 44, 34), (0.15, 0.16): (52, 60, 44), (0.15, 0.32): (90, 101, 69),
        (0.20, 0.08): (20, 27, 22), (0.20, 0.16): (30, 36, 27), (0.20, 0.32): (50, 58, 41)}


def mcnemar_one_look(n: int) -> Flags | None:
    """Reject where the exact binomial test of the discordant pairs does, one-sided, at the end."""
    if n != N:
        return None
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing='ij')
    return np.asarray((b + c <= n) & (binom.sf(b - 1, b + c, 0.5) <= ALPHA) & (b > c))


def rules(margin: float) -> dict[str, Rule]:
    """Return column -> rule over 100 pairs."""
    found: dict[str, Rule] = {
        'one look': one_look(N, margin, ALPHA), 'exact McNemar, one look': mcnemar_one_look,
        'peeking': peeking(margin, ALPHA, range(10, N + 1)), 'bet': anytime_rule(margin, ALPHA),
        'linear': Boundary.build(N, margin, ALPHA).region,
        'quadratic': Boundary.build(N, margin, ALPHA, 'quadratic').region}
    if margin:
        del found['exact McNemar, one look']
    return found


def cell(value: float, known: float | None, pairs: float | None = None) -> str:
    """Return a number, mean pairs, and the earlier number in brackets."""
    text = f'{value:.3f}' + (f', {pairs:.0f} pairs' if pairs is not None else '')
    return text + (f' [{known:.3f}]' if known is not None else '')


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head),
            *('| ' + ' | '.join(line) + ' |' for line in lines), '']


def error_and_power(margin: float, rows: Sequence[Row]) -> list[str]:
    """Return P(reject) of every rule under every truth, exact."""
    found = rules(margin)
    p, q = np.array([row.p for row in rows]), np.array([row.q for row in rows])
    walks = {name: crossing(rule, N, p, q) for name, rule in found.items()}
    lines = []
    for place, row in enumerate(rows):
        null = abs(row.q - row.p - margin) < 1e-9
        cells = [row.name]
        for name, walk in walks.items():
            looks_often = name in ('bet', 'linear', 'quadratic') and not null
            cells.append('' if name == 'peeking' and not null else cell(
                float(walk.power[place]), row.known.get(name),
                float(walk.mean_pairs[place]) if looks_often else None))
        lines.append(cells)
    return table(['truth', *found], lines)


def worst_errors() -> list[str]:
    """Return the worst error over all nuisances, and under an adversary."""
    known = {(0.0, 'linear'): (None, 0.116), (0.1, 'linear'): (0.0499, 0.086),
             (0.15, 'linear'): (None, 0.080), (0.0, 'quadratic'): (0.0500, 0.180),
             (0.1, 'quadratic'): (0.0500, 0.113), (0.15, 'quadratic'): (None, 0.103)}
    spendings: tuple[Spending, ...] = ('linear', 'quadratic')
    lines = []
    for margin in (0.0, 0.1, 0.15):
        for spending in spendings:
            plain = Boundary.build(N, margin, ALPHA, spending)
            worst, adversary = known[margin, spending]
            lines.append([f'{margin:.2f}', spending, f'{plain.errors()[-1]:.4f}'
                          + (f' [{worst:.4f}]' if worst else ''),
                          cell(plain.adversarial_error(), adversary)])
    return table(['margin', 'spending', 'worst error, pairs alike', 'under an adversary'], lines)


def adversarial_power() -> list[str]:
    """Return what the calibration against an adversary costs."""
    cases = ((0.0, 0.32, 0.12, 0.79), (0.0, 0.27, 0.07, 0.90), (0.0, 0.15, 0.05, 0.48),
             (0.1, 0.16, 0.16, 0.34), (0.1, 0.08, 0.08, 0.54), (0.1, 0.04, 0.04, 0.75))
    strict = {margin: Boundary.build(N, margin, ALPHA, calibration='adversarial')
              for margin in (0.0, 0.1)}
    lines = [[f'{margin:.2f}', f'{p:.2f} / {q:.2f}',
              cell(float(crossing(strict[margin].region, N, p, q).power[0]), known),
              f'{strict[margin].adversarial_error():.4f}'] for margin, p, q, known in cases]
    return table(['margin', 'only one / only other', 'power', 'error under the adversary'], lines)


def _changing(p: Array, q: Array, margin: float) -> list[float]:
    found = (Boundary.build(N, margin, ALPHA).region,
             Boundary.build(N, margin, ALPHA, 'quadratic').region, anytime_rule(margin, ALPHA))
    return [float(crossing(rule, N, p[:, None], q[:, None]).power[0]) for rule in found]


def _independent(baseline: Array, candidate: Array) -> tuple[Array, Array]:
    return candidate * (1 - baseline), baseline * (1 - candidate)


def deterministic_changes() -> list[list[str]]:
    """Return the error where the truth changes over the study in a way fixed beforehand; exact."""
    share = np.arange(N) / (N - 1)
    falling, ramp = 0.95 - 0.4 * share, 0.02 + 0.46 * share
    jump = np.where(share < 0.5, 0.02, 0.45)
    blocks = np.repeat([0.1, 0.1, -0.25, -0.35], N // 4)

    def discordance(level: Array, margin: float) -> tuple[Array, Array]:
        level = np.maximum(level, margin)
        return (level - margin) / 2, (level + margin) / 2

    cases = (
        ('both arms fall from .95 to .55', 0.1, _independent(falling, falling - 0.1),
         (0.046, 0.049, 0.025)),
        ('both arms fall from .95 to .55', 0.0, _independent(falling, falling),
         (0.051, 0.0545, 0.022)),
        ('discordance rises from .02 to .48', 0.0, discordance(ramp, 0.0), (0.048, 0.057, 0.020)),
        ('discordance rises from .02 to .48', 0.1, discordance(ramp, 0.1), (0.042, 0.052, 0.025)),
        ('discordance jumps from .02 to .45', 0.0, discordance(jump, 0.0),
         (0.0515, 0.062, 0.019)),
        ('discordance jumps from .02 to .45', 0.1, discordance(jump, 0.1), (0.043, 0.054, 0.026)),
        ('**tasks one after the other, good ones first**', 0.1,
         _independent(np.full(N, 0.8), 0.8 + blocks), (0.685, 0.648, 0.641)))
    return [[name, f'{margin:.2f}', *(cell(value, reference) for value, reference
                                      in zip(_changing(p, q, margin), known, strict=True))]
            for name, margin, (p, q), known in cases]


def simulated(steps: npt.NDArray[np.int8], rule: Rule) -> npt.NDArray[np.bool_]:
    """Return where a rule rejects: studies x pairs, from their steps of 1, -1 and 0."""
    b, c = np.cumsum(steps == 1, axis=1), np.cumsum(steps == -1, axis=1)
    found = np.zeros(steps.shape, bool)
    for n in range(1, steps.shape[1] + 1):
        region = rule(n)
        if region is not None:
            found[:, n - 1] = region[b[:, n - 1], c[:, n - 1]]
    return found


def draw(rng: np.random.Generator, p: Array, q: Array) -> npt.NDArray[np.int8]:
    """Return steps of the walk; p and q are of every study and pair."""
    luck = rng.random(p.shape)
    return (luck < p).astype(np.int8) - ((luck >= p) & (luck < p + q)).astype(np.int8)


def random_orders(rng: np.random.Generator, studies: int) -> list[list[str]]:
    """Return the error where conditions differ but come in random order; simulated."""
    spread = np.linspace(0.1, 1.0, 20)
    cases = (('20 conditions from .1 to 1, shuffled in every round', spread,
              np.maximum(spread - 0.1, 0.0), (0.044, 0.045, 0.024)),
             ('tasks that lose 0 and 20 points, shuffled in every round', np.full(2, 0.8),
              np.array([0.8, 0.6]), (0.039, 0.049, 0.028)),
             ('tasks +10, +10, -25, -35 points, shuffled in every round', np.full(4, 0.8),
              np.array([0.9, 0.9, 0.55, 0.45]), (0.035, 0.034, 0.018)))
    found = (Boundary.build(N, 0.1, ALPHA).region,
             Boundary.build(N, 0.1, ALPHA, 'quadratic').region, anytime_rule(0.1, ALPHA))
    lines = []
    for name, baseline, candidate, known in cases:
        order = rng.permuted(np.tile(np.arange(baseline.size),
                                     (studies * N // baseline.size, 1)), axis=1)
        order = order.reshape(studies, N)
        steps = draw(rng, *_independent(baseline[order], candidate[order]))
        lines.append([name, '0.10', *(
            f'{rate:.3f} ± {error(rate, studies):.3f} [{reference:.3f}]' for rule, reference
            in zip(found, known, strict=True)
            for rate in [float(simulated(steps, rule).any(axis=1).mean())])])
    return lines


def error(rate: float, studies: int) -> float:
    """Return the standard error of a simulated rate."""
    return float(np.sqrt(rate * (1 - rate) / studies))


def robustness(rng: np.random.Generator, studies: int) -> list[str]:
    """Return both kinds of rows."""
    return table(['what is not as assumed', 'margin', 'linear', 'quadratic', 'bet'],
                 deterministic_changes() + random_orders(rng, studies))


def optional_stopping(rng: np.random.Generator, studies: int) -> list[str]:
    """Return false verdicts of studies at the null under people who stop as they like."""
    p, q = np.full((studies, N), 0.11), np.full((studies, N), 0.21)
    steps = draw(rng, p, q)
    score = np.array([scores(n, 0.1)[np.cumsum(steps == 1, axis=1)[:, n - 1],
                                     np.cumsum(steps == -1, axis=1)[:, n - 1]]
                      for n in range(1, N + 1)]).T
    bored = rng.integers(10, N + 1, studies)
    bad = (score < 0.0) & (np.arange(1, N + 1) >= 20)
    discouraged = np.where(bad.any(axis=1), bad.argmax(axis=1) + 1, N)
    lines = []
    for name, rule in (('5 % test, whenever it is looked at',
                        peeking(0.1, ALPHA, range(10, N + 1))),
                       ('bet', anytime_rule(0.1, ALPHA)),
                       ('linear', Boundary.build(N, 0.1, ALPHA).region),
                       ('quadratic', Boundary.build(N, 0.1, ALPHA, 'quadratic').region)):
        crossed = simulated(steps, rule)
        cells = [name]
        for stops in (np.full(studies, N), bored, discouraged):
            rate = float((crossed & (np.arange(N) < stops[:, None])).any(axis=1).mean())
            cells.append(f'{rate:.4f} ± {error(rate, studies):.4f}')
        lines.append(cells)
    return table(['rule', 'stops at the verdict or at 100', 'stops at a random pair',
                  'gives up once the score is negative'], lines)


def protocol_failures(rng: np.random.Generator, studies: int) -> list[str]:
    """Return what no rule can mend."""
    lines = []
    for end, blocked_known, paired_known in ((0.80, 0.097, 0.052), (0.70, 0.236, 0.046),
                                             (0.60, 0.407, 0.049)):
        rates = np.linspace(0.85, end, N)
        luck = rng.random((studies, N)) < rates
        first, second = luck[:, :50].sum(axis=1), luck[:, 50:].sum(axis=1)
        pooled = (first + second) / N
        z = (first - second) / 50 / np.sqrt(np.maximum(pooled * (1 - pooled), 1e-9) * 2 / 50)
        blocked = float((z >= norm.isf(ALPHA)).mean())
        sides = np.where(rng.random((studies, 50)) < 0.5, 1, -1)
        steps = sides * (luck[:, ::2].astype(int) - luck[:, 1::2].astype(int))
        b, c = (steps == 1).sum(axis=1), (steps == -1).sum(axis=1)
        paired = float((scores(50, 0.0)[b, c] >= norm.isf(ALPHA)).mean())
        lines += [[f'all of one arm, then all of the other; the robot falls from .85 to {end:.2f}',
                   f'{blocked:.3f} ± {error(blocked, studies):.3f} [{blocked_known:.3f}]'],
                  ['the same robot, pairs in random order',
                   f'{paired:.3f} ± {error(paired, studies):.3f} [{paired_known:.3f}]']]
    region = Boundary.build(50, 0.1, ALPHA, 'quadratic').region
    for name, candidate, known in (
            ('loses 10 points (.75 to .65), honest, 50 pairs', 0.65, 0.043),
            ('30 % of the failures of the pruned arm are run again', 0.65 + 0.35 * 0.3 * 0.65,
             0.172),
            ('10 % of the failures of the pruned arm are called a success', 0.65 + 0.035, 0.092)):
        p, q = candidate * 0.25, 0.75 * (1 - candidate)
        lines.append([name, cell(float(crossing(region, 50, p, q).power[0]), known)])
    return table(['what happens', 'false verdicts'], lines)


def plan(longest: int) -> list[str]:
    """Return the pairs for 80 % power where the arms are equal."""
    lines = []
    for (margin, discordance), known in PLAN.items():
        truth = Truth(0.0, discordance)
        cells = [f'{100 * margin:.0f} points', f'{100 * discordance:.0f} %',
                 f'{fixed_pairs(margin, ALPHA, truth)} [{known[0]}]']
        if known[1] <= longest:
            for spending in ('quadratic', 'linear'):
                found = sequential_pairs(margin, ALPHA, truth, spending=spending)
                reference = f' [{known[1]}, {known[2]}]' if spending == 'quadratic' else ''
                cells.append('' if found is None else
                             f'{found.horizon}, {found.mean_pairs:.0f}{reference}')
        else:
            cells += ['', '']
        lines.append(cells)
    return table(['margin', 'discordant', 'one look', 'quadratic: at most, on average',
                  'linear: at most, on average'], lines)


def sections(seed: int, studies: int, longest: int) -> list[tuple[str, Callable[[], list[str]]]]:
    """Return heading and work of every table."""
    rng = np.random.default_rng(seed)
    return [
        ('Is it better? 100 pairs, error 5 %', lambda: error_and_power(0.0, SUPERIORITY)),
        ('Is it no worse than 10 points? 100 pairs, error 5 %',
         lambda: error_and_power(0.1, NON_INFERIORITY)),
        ('The worst error of the boundary', worst_errors),
        ('The price of holding against an adversary', adversarial_power),
        (f'{studies} studies of a checkpoint that loses exactly the margin, by how people stop',
         lambda: optional_stopping(rng, studies)),
        ('Error where pairs are not alike, 100 pairs', lambda: robustness(rng, studies)),
        ('What no rule can mend', lambda: protocol_failures(rng, studies)),
        ('Pairs for 80 % power where the arms are equal', lambda: plan(longest))]


def measure(arguments: Sequence[str]) -> int:
    """Print the tables, and write them into the document unless asked not to."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true',
                        help='few studies, short horizons, no file')
    parser.add_argument('--studies', type=int, default=10_000, help='simulated (%(default)s)')
    parser.add_argument('--seed', type=int, default=1, help='of the simulations (%(default)s)')
    parser.add_argument('--longest', type=int, default=224,
                        help='horizon of the plan, in pairs (%(default)s)')
    parser.add_argument('--document', type=Path, default=DOCUMENT, help='with the marks')
    chosen = parser.parse_args(arguments)
    studies, longest = (500, 60) if chosen.quick else (chosen.studies, chosen.longest)
    text = chosen.document.read_text(encoding='utf-8')
    if not 0 <= text.find(BEGIN) < text.find(END):
        print(f'{chosen.document} lacks the marks {BEGIN} and {END}', file=sys.stderr)
        return 1
    begin, lines = time.perf_counter(), []
    for heading, work in sections(chosen.seed, studies, longest):
        print(f'{heading} ...', file=sys.stderr, flush=True)
        lines += [f'### {heading}', '', *work()]
        print('\n'.join(lines[lines.index(f'### {heading}'):]), flush=True)
    seconds = time.perf_counter() - begin
    if chosen.quick:
        return 0
    before, _, rest = text.partition(BEGIN)
    made = (f'Made by `python bench/trial_statistics.py --studies {studies} --seed {chosen.seed}` '
            f'in {seconds:.0f} s on one core.')
    chosen.document.write_text(
        '\n'.join([before + BEGIN, '', made, '', *lines]) + END + rest.partition(END)[2],
        encoding='utf-8')
    return 0


if __name__ == '__main__':
    raise SystemExit(measure(sys.argv[1:]))
