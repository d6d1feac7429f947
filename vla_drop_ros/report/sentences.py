# SPDX-License-Identifier: Apache-2.0
"""The closed grammar of the report: every sentence that it can say about a verdict."""

from math import isfinite

from vla_drop_ros.report.comparison import Comparison
from vla_drop_ros.report.document import Tone, VerdictBox, Words
from vla_drop_ros.report.next_study import NextStudy
from vla_drop_ros.report.results import Results
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.trials.verdict import Verdict, Word
from vla_drop_ros.trials.wording import could_not_have_seen, points, sentence, still_needed

TONES: dict[Word, Tone] = {
    Word.NON_INFERIOR: 'good', Word.BETTER: 'good', Word.WITHIN_MARGIN: 'warning',
    Word.WORSE: 'bad', Word.INFERIOR: 'bad', Word.INCONCLUSIVE: 'open',
    Word.UNINTERPRETABLE: 'open', Word.CONTRADICTORY: 'warning'}
NEXT = {
    Word.NON_INFERIOR: 'Use {name} where a loss below {margin} points is worth what pruning '
                       'saves. Watch the discordant pairs first: they show how it fails.',
    Word.BETTER: 'Use {name}. Find out why it is better before relying on it: watch the '
                 'discordant pairs.',
    Word.WITHIN_MARGIN: '{name} loses something, and less than {margin} points. Whether that is '
                        'worth what pruning saves was decided with the margin; say both.',
    Word.WORSE: 'Do not use {name} yet. Recover it longer or prune less; a longer study would '
                'tell whether the loss is below {margin} points.',
    Word.INFERIOR: 'Do not use {name}: prune less, or recover it longer, then run a new study.',
    Word.INCONCLUSIVE: 'Nothing is shown, which is not "no difference". The table of studies '
                       'below says what would decide.',
    Word.UNINTERPRETABLE: 'Mend the baseline, or choose conditions that it can solve: it must '
                          'succeed in {needed} % of trials, beyond doubt, for "no worse" to mean '
                          'anything.',
    Word.CONTRADICTORY: 'Find out what changed during the study (see the protocol), and repeat '
                        'it.'}
SUSPICIOUS = 0.05
FAIR_BLIND = 0.3  # index of Bang beyond which people knew, or were sure of the opposite


def count(number: int, noun: str, many: str = '') -> str:
    """Return '1 trial' or '3 trials'."""
    return f'{number} {noun if number == 1 else many or noun + "s"}'


def percent(value: float) -> str:
    """Return a proportion as '83 %'; '-' for nan."""
    return '-' if not isfinite(value) else f'{100 * value:.0f} %'


def milliseconds(value: float) -> str:
    """Return seconds as '210 ms'; '-' for nan."""
    return '-' if not isfinite(value) else f'{1000 * value:.0f} ms'


def number(value: float, digits: int = 2, unit: str = '') -> str:
    """Return a number with its unit; '-' for nan and infinite."""
    return '-' if not isfinite(value) else f'{value:.{digits}f}' + (f' {unit}' if unit else '')


def p_value(value: float) -> str:
    """Return 'p = 0.03' or 'p < 0.001'; '-' for nan."""
    if not isfinite(value):
        return '-'
    return 'p < 0.001' if value < 0.001 else f'p = {value:.3f}' if value < 0.1 else (
        f'p = {value:.2f}')


def span(interval: Interval, sign: bool = True) -> str:
    """Return '-3.3 [-12.6, +6.1]' in percentage points; '-' where nothing was measured."""
    if not isfinite(interval.estimate):
        return '-'
    if not (isfinite(interval.low) and isfinite(interval.high)):
        return points(interval.estimate, sign)
    return (f'{points(interval.estimate, sign)} [{points(interval.low, sign)}, '
            f'{points(interval.high, sign)}]')


def status(results: Results) -> Words:
    """Return the line below the title: finished or not, and what may be read."""
    done = f'{results.pairs_done} of {results.pairs_planned} pairs' if results.pairs_planned \
        else count(results.pairs_done, 'pair')
    counted = f'{count(results.rounds, "complete round")}, {done}, ' \
        f'{count(len(results.rows), "judged trial")}'
    if results.ended:
        return Words(f'The study has ended ({results.ended}): {counted}.'
                     + (' This view is blinded.' if results.blinded else ''), 'quiet')
    if results.blinded:
        return Words(f'The study has NOT ended: {counted}. This view is blinded: it does not say '
                     'which arm ran when, and nobody has opened the schedule for it.', 'warning')
    left = '' if not results.pairs_planned else (
        f', {count(max(0, results.pairs_planned - results.pairs_done), "pair")} before its '
        'horizon')
    rule = results.record.study.design.stopping.rule
    sound = ('No round is complete, so there is no verdict.' if not results.rounds else
             'This rule looks once, at the horizon: there is no verdict before it.'
             if rule == 'fixed' else
             'The stopping rule allows a look after every complete round, so the verdict holds; '
             'but whoever has seen it can judge no further trial blind.')
    return Words(f'The study has NOT ended: the arms were opened early{left}. {counted}. '
                 f'{sound}', 'warning')


def verdict_box(comparison: Comparison, results: Results) -> VerdictBox:
    """Return the box of one checkpoint."""
    verdict, rung = comparison.verdict, comparison.rung
    terms = verdict.terms
    guard = (f'{percent(verdict.baseline_low)}, at least {percent(terms.minimum_baseline)} '
             f'asked for: {"strong enough" if verdict.guarded else "TOO WEAK"}')
    facts = [('difference', f'{span(verdict.interval)} points' if verdict.counts.pairs else '-'),
             ('margin', f'{points(terms.margin)} points, fixed before trial 1'
              + (f'; keeps {percent(verdict.retained)} of the baseline'
                 if isfinite(verdict.retained) else '')),
             ('pairs', f'{verdict.counts.pairs}'
              + (f' of at most {terms.horizon}' if terms.rule != 'anytime' else ', no horizon')),
             ('rule', f'{rule_in_words(verdict)}; error {points(terms.alpha)} % in each '
                      f'direction, {points(1 - 2 * terms.alpha)} % interval'),
             ('baseline, lower bound', guard if verdict.counts.pairs else '-'),
             ('deviations from the protocol', str(len(deviations(results)))),
             *_saved(comparison, results)]
    notes = [f'What this study could not have seen. {could_not_have_seen(verdict)}',
             still_needed(verdict)] if verdict.counts.pairs else []
    if not rung.accepted and rung.reason.startswith('comes after'):
        notes.insert(0, f'NOT ACCEPTED all the same: it {rung.reason}.')
    if verdict.left_out:
        notes.append(f'{count(verdict.left_out, "pair")} outside complete rounds or beyond the '
                     'horizon did not enter; see the sensitivity table.')
    said = sentence(verdict, _the(comparison.baseline), f'checkpoint {comparison.name}')
    return VerdictBox(verdict.word.value, _tone(comparison),
                      said.removeprefix(f'{verdict.word.value}. '),
                      tuple(facts), tuple(note for note in notes if note))


def _the(baseline: str) -> str:
    return 'the baseline' if baseline == 'baseline' else f'the baseline {baseline}'


def _saved(comparison: Comparison, results: Results) -> list[tuple[str, str]]:
    """Return what the checkpoint saves, as far as it is known."""
    first = results.arms[0]
    mine = next(arm for arm in results.arms if arm.name == comparison.name)
    found = []
    if comparison.speed.pairs:
        found.append(('latency', f'{milliseconds(mine.speed.median)}, the baseline '
                      f'{milliseconds(first.speed.median)}'))
    if mine.facts.parameters and first.facts.parameters:
        found.append(('parameters', f'{percent(mine.facts.parameters / first.facts.parameters)} '
                      'of the baseline'))
    return found


def rule_in_words(verdict: Verdict) -> str:
    """Return when one may look."""
    terms = verdict.terms
    return {'exact_paired': f'exact boundary, {terms.spending} spending, a look a round'
            + (', held against an adversary' if terms.calibration == 'adversarial' else ''),
            'anytime': 'a bet, settled after any round',
            'fixed': 'one look, at the horizon'}[terms.rule]


def _tone(comparison: Comparison) -> Tone:
    tone = TONES[comparison.verdict.word]
    return 'warning' if tone == 'good' and not comparison.rung.accepted else tone


def ladder_sentence(results: Results) -> str:
    """Return how far one may prune; '' with one pruned checkpoint."""
    if len(results.comparisons) < 2:
        return ''
    how = {'fixed_sequence': 'tested by increasing sparsity, each at the full error, until the '
                             'first that is not accepted',
           'holm': "tested in any order, with Holm's step-down"}[results.method]
    if not results.furthest:
        return f'No pruned checkpoint is accepted ({how}).'
    return f'One can prune as far as {results.furthest} ({how}).'


def what_next(comparison: Comparison, results: Results) -> list[str]:
    """Return what to do, the verdict's own advice first."""
    verdict = comparison.verdict
    terms = verdict.terms
    advice = [NEXT[verdict.word].format(
        name=comparison.name, margin=points(terms.margin),
        needed=points(terms.minimum_baseline))]
    if not verdict.counts.pairs:
        advice = ['Finish the first round: every condition with every arm.']
    if not results.ended and verdict.counts.pairs and verdict.word is Word.INCONCLUSIVE and (
            verdict.counts.pairs < terms.horizon or terms.rule == 'anytime'):
        advice.append('The study may go on: its rule allows it.')
    if not comparison.rung.accepted and comparison.rung.reason.startswith('comes after'):
        advice = [f'{comparison.name} {comparison.rung.reason}: it cannot be accepted in this '
                  'study, whatever its own numbers. Test it in a study of its own.']
    if comparison.invalid.p_value < SUSPICIOUS:
        advice.append('The arms lost different shares of trials as invalid: read the reasons and '
                      'the worst case before believing the verdict.')
    primary, *others = comparison.rows
    if any(row.no_worse is not None and row.no_worse != primary.no_worse for row in others):
        advice.append('An analysis in the sensitivity table disagrees with the primary one: see '
                      'which choice it hangs on.')
    return advice


def deviations(results: Results) -> list[str]:
    """Return what was not as it was locked, or not as it should be; the fewer the better."""
    protocol, found = results.protocol, []
    found += [f'amended: {text}' for text in protocol.amendments]
    found += protocol.settings
    found += [f'the arms were opened before the end, {when}' for when in protocol.early_openings]
    if not results.ended and not results.blinded and not protocol.early_openings:
        found.append('the arms were opened before the end, for this report')
    found += [f'trial {one.get("code", "")} was judged again after the next start: '
              f'{one.get("verdict", "")}, because: {one.get("why", "")}'
              for one in protocol.relabelled]
    if protocol.crashes:
        found.append(f'{count(protocol.crashes, "trial")} ran while the trial node died')
    if protocol.hostile:
        found.append(f'{count(sum(protocol.hostile.values()), "hostile request")} refused, to the '
                     'console or on the ROS graph')
    if protocol.lost:
        found.append(f'{count(protocol.lost, "trial")} without a whole recording')
    revised = sum(map(len, (said for one in results.record.attempts
                            for said in one.revised.values())))
    if revised:
        found.append(f'{count(revised, "detection")} changed after the trial')
    if protocol.looks is not None and not all(protocol.looks):
        found.append('at some looks the stopping rule said other than the same data say now '
                     '(verdicts were changed since)')
    if protocol.changed:
        found.append(f'{count(protocol.changed, "verdict")} taken back and given otherwise, '
                     'before the next start')
    found += ["guesses of the arm were not as by luck: Bang's index is "
              f'{one.index.estimate:.2f} where the {one.arm} ran, of '
              f'{count(one.right + one.wrong + one.unknown, "answer")}' for one in protocol.guesses
              if abs(one.index.estimate) > FAIR_BLIND and one.beyond_luck]
    found += [f'{one.name}: the arms lost different shares of trials as invalid '
              f'({p_value(one.invalid.p_value)})'
              for one in results.comparisons if one.invalid.p_value < SUSPICIOUS]
    return found


def study_in_words(one: NextStudy) -> tuple[str, ...]:
    """Return one line of the table of next studies."""
    if not one.one_look:
        return (points(one.margin), one.assumption, points(one.difference, True),
                percent(one.discordance), 'no number would show it', '-', '-', '-')
    return (points(one.margin), one.assumption, points(one.difference, True),
            percent(one.discordance), str(one.one_look), str(one.horizon or '-'),
            number(one.mean_pairs, 0) if one.horizon else '-', number(one.hours, 1))
