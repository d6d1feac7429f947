# SPDX-License-Identifier: Apache-2.0
"""Verdicts in sentences for people who read no statistics."""

import math

from vla_drop_ros.trials.verdict import Verdict, Word

MEANING = {
    Word.NON_INFERIOR: '{candidate} loses less than {margin} points of success to {baseline}.',
    Word.BETTER: '{candidate} is better than {baseline}.',
    Word.WORSE: '{candidate} is worse than {baseline}; whether by less than {margin} points is '
                'open.',
    Word.INFERIOR: '{candidate} is worse than {baseline} by more than {margin} points.',
    Word.WITHIN_MARGIN: '{candidate} is worse than {baseline}, but by less than {margin} points: '
                        'both are shown.',
    Word.INCONCLUSIVE: 'Nothing is shown about {candidate} and {baseline} yet.',
    Word.UNINTERPRETABLE: 'The difference is small, but {baseline} itself may succeed in only '
                          '{low} % of trials (at least {needed} % are asked for): two policies '
                          'that fail are alike, and no verdict follows.',
    Word.CONTRADICTORY: 'The data say two things that exclude each other: the pairs were not '
                        'alike over the study (did the robot, the light or the operator change?).',
}


def points(value: float, sign: bool = False) -> str:
    """Return a proportion in percentage points, one decimal; '-' for nan."""
    if math.isnan(value):
        return '-'
    text = f'{100 * value:+.1f}' if sign else f'{100 * value:.1f}'
    return text.removesuffix('.0')


def sentence(verdict: Verdict, baseline: str = 'the baseline',
             candidate: str = 'the pruned checkpoint') -> str:
    """Return what the verdict means, capitalised, with its numbers."""
    terms, counts, interval = verdict.terms, verdict.counts, verdict.interval
    meaning = MEANING[verdict.word].format(
        candidate=candidate, baseline=baseline, margin=points(terms.margin),
        low=points(verdict.baseline_low), needed=points(terms.minimum_baseline))
    if not counts.pairs:
        return f'{verdict.word.value}. No round is complete.'
    return (f'{verdict.word.value}. {meaning[0].upper()}{meaning[1:]} '
            f'Over {counts.pairs} pairs it solved {counts.candidate}, {baseline} '
            f'{counts.baseline}: {points(interval.estimate, True)} points '
            f'[{points(interval.low, True)}, {points(interval.high, True)}].')


def could_not_have_seen(verdict: Verdict) -> str:
    """Return what was out of the study's reach, at 80 % power."""
    blind = verdict.blindness
    if blind is None:
        return (f'What {verdict.counts.pairs} pairs could not have seen is not computed.'
                if verdict.counts.pairs else
                'No round is complete, so nothing could have been seen.')
    if blind.shows_no_worse_from >= 1.0:
        first = 'it could hardly have shown any checkpoint to be no worse'
    elif blind.shows_no_worse_from > 0.0:
        first = ('it would have shown a checkpoint to be no worse only if that is truly better '
                 f'by {points(blind.shows_no_worse_from)} points or more')
    else:
        first = ('it would have shown a checkpoint to be no worse if that truly loses '
                 f'{points(-blind.shows_no_worse_from)} points or less')
    second = (f'a true loss below {points(blind.sees_loss_from)} points would have passed unseen'
              if blind.sees_loss_from < 1.0 else 'no loss would have been seen reliably')
    return (f'With {points(blind.discordance)} % of pairs discordant, and in four studies of '
            f'five, {first}; {second}.')


def still_needed(verdict: Verdict) -> str:
    """Return how many pairs would decide, if what was observed is the truth."""
    if verdict.word is not Word.INCONCLUSIVE or not verdict.counts.pairs:
        return ''
    if verdict.needed == 0:
        return ('If the observed difference is the truth, no number of pairs shows that the '
                'checkpoint is no worse: the loss reaches the margin.')
    return (f'If the observed difference and discordance are the truth, about {verdict.needed} '
            'pairs with one look at the end show it in four studies of five; a horizon of a '
            'quarter to a half more, if one looks after every round.')
