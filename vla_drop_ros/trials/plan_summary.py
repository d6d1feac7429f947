# SPDX-License-Identifier: Apache-2.0
"""What a design costs in pairs and robot-hours, and what it cannot see, in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import math

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.betting import MOST_TABLED
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import Boundaries, boundaries, HYPOTHESES, Terms
from vla_drop_ros.trials.fast_ladder import FastLadder
from vla_drop_ros.trials.outlook import Assumption, Outlook, outlook, SEED, seen_from, Share
from vla_drop_ros.trials.planning import (
    fixed_pairs,
    fixed_power,
    POWER,
    robot_hours,
    sequential_plan,
    Truth,
)

SEQUENTIAL = 1.3
"""Horizon of a sequential rule over the pairs of one look, for the same power, about."""
LEAST_ERROR = 0.002  # of a simulated share near 0 or 1, that calls for a remark
Progress = Callable[[str, int, int], None]  # what, done, of


@dataclass(frozen=True, slots=True)
class Question:
    """What the plan is to be computed for.

    Attributes:
        assumption: of the arms.
        losses: of success, that are looked at beside equality; empty: half of the margin, the
            margin, and twice the margin.
        cap: pairs after which a study without a horizon is given up.
        studies: simulated for each number.

    """

    assumption: Assumption
    losses: tuple[float, ...] = ()
    cap: int = 300
    studies: int = 4000

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        if not 1 <= self.cap <= MOST_TABLED:
            raise TrialError(f'a cap of {self.cap} pairs; from 1 to {MOST_TABLED} can be planned')
        if self.studies < 100:
            raise TrialError(f'{self.studies} simulated studies say nothing; take 100 or more')
        for loss in self.losses:
            self.assumption.truth(loss)

    def pairs_of(self, design: Design) -> int:
        """Return the pairs up to which a study is followed: whole rounds."""
        conditions, most = len(design.conditions), design.stopping.horizon
        if design.stopping.rule == 'anytime':
            most = min(most or self.cap, MOST_TABLED)
        if most < conditions:
            raise TrialError(f'a cap of {most} pairs holds no round of {conditions} conditions')
        return most // conditions * conditions

    def asked(self, margin: float) -> tuple[float, ...]:
        """Return equality and the losses, ascending; those that the baseline can lose."""
        losses = self.losses or tuple(one for one in (margin / 2, margin, 2 * margin)
                                      if one <= self.assumption.baseline)
        return tuple(sorted({0.0, *losses}))


def describe(design: Design, question: Question, found: Boundaries | None = None,
             progress: Progress | None = None) -> list[str]:
    """Return the plan in words.

    Args:
        design: the study.
        question: what is assumed, and how it is computed.
        found: boundaries that are known already; others are built.
        progress: called now and then.

    Raises:
        TrialError: the cap holds no round.

    """
    terms, truth = Terms.of(design), question.assumption.truth(0.0)
    pairs = question.pairs_of(design)
    stored = found or boundaries(terms, HYPOTHESES, progress)
    arms = len(design.arms) - 1
    needed = fixed_pairs(design.margin, design.alpha, truth)
    lines = [f'[bold]{design.title}[/]', design.question, '',
             f'margin {design.margin:.0%}, error {design.alpha:.0%} in each direction: up to '
             f"{design.margin / question.assumption.baseline:.0%} of the baseline's success may "
             'be given up',
             f'assumed: all arms succeed in {question.assumption.baseline:.0%}, '
             f'{truth.discordance:.0%} of the pairs differ; one look would need {needed} pairs '
             f'for {POWER:.0%} power']
    lines += _ladder_lines(design, terms)
    if arms == 1:
        lines += _exact_lines(design, terms, stored, truth)
    lines += _most_lines(design, terms, pairs)
    ladder = FastLadder.build(terms, arms, design.several, pairs, stored, progress)
    rows = [outlook(ladder, question.assumption, loss, arms, question.studies, progress)
            for loss in question.asked(design.margin)]
    power = _power(design, terms, stored, truth)
    lines += _power_lines(design, rows[0], power, needed)
    lines += ['', *_table(design, terms, rows, pairs), '']
    return lines + list(_unseen(design, question, ladder, progress))


def _ladder_lines(design: Design, terms: Terms) -> list[str]:
    arms = len(design.arms) - 1
    if arms == 1:
        return []
    if design.several == 'holm':
        return [f'{arms} pruned arms, Holm: each is judged at an error of '
                f'{design.alpha / arms:.2%} first, and at more once others are accepted',
                'the study goes on until all have their answers at that error']
    return [f'{arms} pruned arms in a fixed sequence: each at the full error of '
            f'{design.alpha:.0%}, and none is accepted after one that is not']


def _exact_lines(design: Design, terms: Terms, stored: Boundaries, truth: Truth) -> list[str]:
    if terms.rule != 'exact_paired':
        return []
    mean = sequential_plan(stored['non_inferior'], truth).mean_pairs
    hours = robot_hours(round(mean), design.timeout, design.rest)
    return [f'at most {terms.horizon} pairs, on average {mean:.0f} ({hours:.1f} robot-hours), '
            'since one may stop at every complete round']


def _most_lines(design: Design, terms: Terms, pairs: int) -> list[str]:
    arms = len(design.arms)
    hours = robot_hours(pairs, design.timeout, design.rest, arms)
    each = (f'{pairs * arms} trials of up to {design.timeout:.0f} s and {design.rest:.0f} s '
            'between them')
    if terms.rule == 'anytime' and not design.stopping.horizon:
        return ['no horizon: the study goes on until it can tell, or until you stop',
                f'robot: {hours:.1f} hours if you give up after {pairs} pairs (--cap), {each}']
    return [f'robot: at most {hours:.1f} hours, {each}']


def _power(design: Design, terms: Terms, stored: Boundaries, truth: Truth) -> float | None:
    """Return the exact power where there is one; it knows nothing of the guard."""
    if len(design.arms) > 2 or terms.rule == 'anytime':
        return None
    if terms.rule == 'fixed':
        return fixed_power(terms.horizon, design.margin, design.alpha, truth)
    return sequential_plan(stored['non_inferior'], truth).power


def _power_lines(design: Design, equal: Outlook, exact: float | None, needed: int) -> list[str]:
    simulated = equal.all_accepted
    if len(design.arms) == 2:
        power = f'{exact:.0%}' if exact is not None else _percent(simulated)
        lines = [f'if the arms are equal, it says so with a probability of [bold]{power}[/]']
    else:
        each = ', '.join(f'{arm.name} {share.value:.0%}'
                         for arm, share in zip(design.arms[1:], equal.each, strict=True))
        lines = ['if all arms are equal, it says so of every one with a probability of '
                 f'[bold]{_percent(simulated)}[/]',
                 f'of one at least with {_percent(equal.any_accepted)}; one by one: {each}']
    if exact is not None and simulated.value < exact - 5 * max(simulated.error, LEAST_ERROR):
        return [*lines, f'[yellow]With the proof that the baseline succeeds in '
                        f'{design.minimum_baseline:.0%} (minimum_baseline) it is '
                        f'{_percent(simulated)}: take easier conditions, or a lower one.[/]']
    if (simulated.value if exact is None else exact) >= POWER:
        return lines
    rule = design.stopping.rule
    if rule == 'anytime':
        return [*lines, '[yellow]That is little: take a horizon and exact_paired, more pairs, or '
                        'a larger margin.[/]']
    wanted = needed if rule == 'fixed' else round(SEQUENTIAL * needed)
    more = 'about' if len(design.arms) == 2 else 'more than'
    return [*lines, f'[yellow]That is little: think of {more} {wanted} pairs, or of a larger '
                    'margin. A study that ends inconclusive costs as many hours.[/]']


def _table(design: Design, terms: Terms, rows: Sequence[Outlook], pairs: int) -> Iterator[str]:
    arms, several = len(design.arms), len(design.arms) > 2
    yield (f'{rows[0].worse.studies} simulated studies a line (seed {SEED}), one standard error '
           'after ±; stopped at the first round with the answer' + ('s' if several else ''))
    endless = terms.rule == 'anytime'
    shown = ['no worse: all', 'no worse: any'] if several else ['no worse']
    cells = [['loss', *shown, 'an arm worse' if several else 'worse', 'open',
              *([f'no end by {pairs}'] if endless else []), 'pairs: mean', 'half by', '9 of 10 by',
              'robot-hours: mean']]
    for row in rows:
        hours = robot_hours(1, design.timeout, design.rest, arms) * row.mean_pairs
        cells.append([
            f'{100 * row.loss:.3g}', _percent(row.all_accepted),
            *([_percent(row.any_accepted)] if several else []), _percent(row.worse),
            _percent(row.neither),
            *([_percent(Share(1 - row.answered.value, row.answered.studies))] if endless else []),
            f'{row.mean_pairs:.0f} ± {row.mean_error:.1f}',
            *(f'{count}' + ('+' if endless and count == pairs else '')
              for count in (row.half_by, row.most_by)), f'{hours:.1f}'])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield '  '.join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    if several:
        yield ('every pruned arm loses as much. no worse: accepted with all others in mind; '
               'worse, open: of one arm')
        yield f'a pair is one condition with every arm: {arms} trials'


def _unseen(design: Design, question: Question, ladder: FastLadder, progress: Progress | None
            ) -> Iterator[str]:
    """Yield from which loss on the study sees it, and what becomes of smaller ones."""
    arms, assumption = len(design.arms) - 1, question.assumption
    points = seen_from(ladder, assumption, arms, question.studies, progress)
    if points:
        yield (f'what it cannot see: a loss is called worse with {POWER:.0%} from [bold]{points} '
               f'points[/] on')
        missed = sorted({max(1, points // 2), max(1, points - 1)})
    else:
        yield f'what it cannot see: no loss is called worse with {POWER:.0%}'
        missed = [math.floor(100 * assumption.baseline)]
    for loss in missed:
        row = outlook(ladder, assumption, loss / 100, arms, question.studies, progress)
        accepted = Share(sum(one.value for one in row.each) / arms, question.studies)
        yield (f'  one of {loss} points: called no worse with {_percent(accepted)}, left open '
               f'with {_percent(row.neither)}, called worse with {_percent(row.worse)}')


def _percent(share: Share) -> str:
    """Return a share with its standard error, in percent; where none or all, a 95 % bound."""
    if share.value in (0.0, 1.0):
        bound = 300 / share.studies
        return f'> {100 - bound:.1f} %' if share.value else f'< {bound:.1f} %'
    return f'{100 * share.value:.1f} ± {100 * share.error:.1f} %'
