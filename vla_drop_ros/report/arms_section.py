# SPDX-License-Identifier: Apache-2.0
"""What every arm did: success, stages and failures, time, cost, and success against sparsity."""

from collections.abc import Sequence
from math import isfinite

from vla_drop_ros.report.arm_figures import funnel, heat_map, histogram, latency, solved, violins
from vla_drop_ros.report.difference_figures import ladder
from vla_drop_ros.report.document import Block, Heading, Section, Table
from vla_drop_ros.report.measured_table import measured_table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import (
    ladder_sentence,
    milliseconds,
    number,
    p_value,
    percent,
    span,
)
from vla_drop_ros.trials.solve_time import capped
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.trials.wording import points

MIB, MILLION = 2**20, 1e6
MOST_QUOTES = 6  # of one reason


def success_section(results: Results) -> Section:
    """Return success by arm and condition; with three arms and more, letters."""
    letters = results.letters
    rows = [(arm.name, f'{arm.successes} of {arm.trials}', percent(arm.success.estimate),
             _proportions(arm.success), _proportions(arm.belief),
             *([letters.of[arm.name]] if letters else [])) for arm in results.arms]
    blocks: list[Block] = [
        violins(results.arms, letters),
        Table(('arm', 'success', 'share', 'Wilson, 95 %', 'posterior, 95 %',
               *(['letters'] if letters else [])), tuple(rows),
              'Valid trials of complete rounds. Whether intervals of two arms overlap decides '
              'nothing, the pairs do. Posterior: from a flat prior, Beta(1, 1); descriptive.')]
    if letters:
        blocks += [Heading('Which arms one look tells apart'), Table(
            ('arms', 'only the first', 'only the second', 'one test', 'after Holm'),
            tuple((f'{one.first}, {one.second}', str(one.first_only), str(one.second_only),
                   p_value(one.p_value), p_value(one.adjusted)) for one in letters.tests),
            "The letters: arms without a letter in common were told apart by McNemar's exact "
            f'paired test, two-sided, after Holm over all pairs of arms ({percent(letters.error)} '
            'together). One look, descriptive: a letter in common does not mean alike, and the '
            'verdict does not rest on it.')]
    return Section('success', 'Success', (
        *blocks, heat_map(results.arms, results.record.study.design)))


def _proportions(interval: Interval) -> str:
    return f'{percent(interval.low)} to {percent(interval.high)}'


def stages_section(results: Results, recordings: Recordings) -> Section:
    """Return how far trials came, and how they failed, in people's words."""
    design = results.record.study.design
    blocks: list[Block] = []
    if design.rubric:
        blocks = [funnel(results.arms, design), histogram(results.arms)]
    return Section('stages', 'How far trials came, and how they failed', (
        *blocks, *_progress(results), *_failures(results, recordings)))


def _progress(results: Results) -> list[Block]:
    rows = [(one.name, points(one.progress.mean, True), span(one.progress.anytime),
             p_value(one.progress.p_value))
            for one in results.comparisons if one.progress is not None and one.progress.pairs]
    return [Table(
        ('arm', 'progress against the baseline [points]', 'bounds valid at any time',
         'sign flips, "no better"'), tuple(rows),
        'Progress: stages reached, of all. Mean over pairs; sign flips look once, at the end.')
    ] if rows else []


def _failures(results: Results, recordings: Recordings) -> list[Block]:
    most = max(1, MOST_QUOTES // len(results.arms))
    reasons = sorted({reason for arm in results.arms for reason in arm.failures},
                     key=lambda reason: -sum(arm.failures.get(reason, 0) for arm in results.arms))
    said = {reason: [f'{arm.name}, trial {recordings.name(one.robot, one.trial)}: "{one.text}"'
                     for arm in results.arms for one in arm.quotes.get(reason, ())[:most]]
            for reason in reasons}
    rows = [(reason, *(str(arm.failures.get(reason, 0)) for arm in results.arms),
             *(['; '.join(said[reason])] if any(said.values()) else [])) for reason in reasons]
    rows.append(('ended by time', *(str(arm.ends.get('timeout', 0)) for arm in results.arms),
                 *([''] if any(said.values()) else [])))
    return [Table(
        ('how it failed', *(arm.name for arm in results.arms),
         *(['in their words'] if any(said.values()) else [])), tuple(rows),
        'Trials, the most frequent first. The last line counts trials of any verdict that ran to '
        'the timeout.' + (f' At most {most} of an arm; all are in trials.csv.'
                           if any(said.values()) else ''), wide=any(said.values()))]


def time_section(results: Results) -> Section:
    """Return how fast the arms solved."""
    timeout = results.record.study.design.timeout
    columns = []
    for arm in results.arms:
        fast = capped([row.seconds for row in results.rows if row.counted and row.success
                       and row.arm == arm.name and isfinite(row.seconds)], timeout)
        gain = next((one.time for one in results.comparisons if one.name == arm.name), None)
        columns.append((
            number(arm.solved.restricted_mean, 1, 's'),
            f'{gain.mean * timeout:+.1f} s' if gain and isfinite(gain.mean) else '-',
            p_value(gain.p_value) if gain else '-',
            number(float(fast.mean()) if fast.size else float('nan'), 1, 's')))
    return Section('time', 'How fast', (solved(results.arms, timeout), _by_arm(
        results, ('mean, a failure counts as the longest trial', 'sooner than the baseline',
                  'sign flips, "no faster"', 'mean of the successes alone'), columns,
        f'The longest trial is {timeout:g} s. The last line is of other scenes for every arm, and '
        'compares nothing.')))


def cost_section(results: Results) -> Section:
    """Return what pruning saves."""
    columns = []
    for arm in results.arms:
        gain = next((one.speed for one in results.comparisons if one.name == arm.name), None)
        facts, known = arm.facts, gain is not None and gain.pairs > 0
        columns.append((
            milliseconds(arm.speed.median), milliseconds(arm.speed.p95),
            milliseconds(arm.speed.worst), f'{gain.ratio:.2f} x' if gain and known else '-',
            p_value(gain.p_value) if gain and known else '-',
            f'{facts.memory / MIB:.0f} MiB' if facts.memory else '-',
            f'{facts.parameters / MILLION:.1f} M' if facts.parameters else '-',
            f'{facts.bytes / MIB:.0f} MiB' if facts.bytes else '-', facts.blocks or '-'))
    missing = [f'{arm.name}: {arm.facts.note}' for arm in results.arms if arm.facts.note]
    blocks: list[Block] = [latency(results.arms)] if any(
        arm.speed.trials for arm in results.arms) else []
    blocks.append(_by_arm(
        results, ('latency, median', '95 % within', 'worst', 'of the baseline, pair by pair',
                  'sign flips, "no faster"', 'memory of the weights', 'parameters',
                  'weights in the file', 'blocks'), columns,
        'Latency: from the capture of the images to the command, median over trials. Median '
        'ratio and one-sided p value over pairs. Memory: of the weights as they compute, from the '
        'manifest; while a study runs all checkpoints are in memory together.'
        + (f' {"; ".join(missing)}.' if missing else '')))
    if results.running:
        blocks += [Heading('Commands and computer'), measured_table(
            results.running, [arm.name for arm in results.arms],
            'Arms: median of the trials, or what is said. Differences: mean over n pairs, 95 % '
            'bootstrap interval over pairs, one look. The computer keeps all checkpoints in '
            'memory: its memory does not tell one from another.')]
    return Section('cost', 'What pruning saves: latency, memory, size, energy', tuple(blocks))


def _by_arm(results: Results, names: Sequence[str], columns: Sequence[Sequence[str]],
            caption: str) -> Table:
    """Return a table with a line a quantity; a quantity that no arm has is left out."""
    rows = [(name, *values) for name, *values in zip(names, *columns, strict=True)
            if set(values) != {'-'}]
    return Table(('', *(arm.name for arm in results.arms)), tuple(rows), caption)


def ladder_section(results: Results) -> Section:
    """Return success against sparsity, and who is accepted."""
    whole = results.arms[0].facts.parameters
    rows = []
    for arm, one in zip(results.arms[1:], results.comparisons, strict=True):
        removed = percent(1 - arm.facts.parameters / whole) if (
            whole and arm.facts.parameters) else '-'
        rows.append((one.name, removed, one.verdict.word.value,
                     'accepted' if one.rung.accepted else one.rung.reason,
                     f'{points(one.verdict.terms.alpha)} %'))
    return Section('ladder', 'Success against sparsity', (
        ladder(results.arms, results.comparisons),
        Table(('checkpoint', 'parameters removed', 'verdict', 'accepted', 'error'), tuple(rows),
              ladder_sentence(results), wide=True)))
