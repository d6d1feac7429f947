# SPDX-License-Identifier: Apache-2.0
"""The verdict, the difference behind it, the same question in other ways, and the next study."""

from vla_drop_ros.report.difference_figures import evidence, forest
from vla_drop_ros.report.document import Block, Heading, Listing, Section, Table, Words
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import (
    deviations,
    ladder_sentence,
    span,
    study_in_words,
    verdict_box,
    what_next,
)
from vla_drop_ros.trials.wording import points


def verdict_section(results: Results) -> Section:
    """Return a box for every candidate, and what to do next."""
    blocks: list[Block] = [verdict_box(one, results) for one in results.comparisons]
    if ladder_sentence(results):
        blocks.insert(0, Words(ladder_sentence(results)))
    blocks.append(Heading('What to do next'))
    blocks.append(Listing(tuple(dict.fromkeys(
        text for one in results.comparisons for text in what_next(one, results)))))
    said = deviations(results)
    if said:
        blocks += [Heading('What was not as it should be'), Listing(tuple(said))]
    return Section('verdict', 'Verdict', tuple(blocks))


def difference_section(results: Results) -> Section:
    """Return differences by task, and the evidence over the pairs."""
    blocks: list[Block] = []
    for place, one in enumerate(results.comparisons, start=1):
        blocks += [forest(one, place), evidence(one, place)]
        rows = [(task.task, str(task.pairs), f'{task.candidate}', f'{task.baseline}',
                 span(task.difference)) for task in one.tasks]
        counts = one.verdict.counts
        rows.append(('whole study', str(counts.pairs), str(counts.candidate),
                     str(counts.baseline), span(one.verdict.interval)))
        rows.append(('mean over tasks', str(counts.pairs), '', '', points(one.macro, True)))
        blocks.append(Table(
            ('task', 'pairs', one.name, one.baseline, 'difference [points]'), tuple(rows),
            f'Successes of each arm. Intervals of '
            f'{points(1 - 2 * one.verdict.terms.alpha)} %: the whole study under its stopping '
            'rule, tasks for one look. The whole study weighs conditions alike, the mean over '
            'tasks weighs tasks alike.'))
    return Section('difference', 'The difference, and the evidence for it', tuple(blocks))


def sensitivity_section(results: Results) -> Section:
    """Return the other analyses; only the first decides."""
    blocks: list[Block] = []
    for one in results.comparisons:
        primary = one.rows[0].no_worse
        rows = [(row.name, str(row.pairs or '-'), span(row.interval),
                 '-' if row.no_worse is None else ('yes' if row.no_worse else 'no')
                 + ('' if row.no_worse == primary else ', DISAGREES'), row.note)
                for row in one.rows]
        if len(results.comparisons) > 1:
            blocks.append(Heading(one.name))
        blocks.append(Table(
            ('analysis', 'pairs', 'difference [points]', 'no worse than the margin?',
             'how to read it'), tuple(rows), 'Only the first row decides.', wide=True))
    return Section('sensitivity', 'The same question in other ways', tuple(blocks))


def planning_section(results: Results) -> Section:
    """Return what other studies would take."""
    last = results.comparisons[-1].name
    if not results.next_studies:
        return Section('planning', 'The next study', (Words('Nothing was observed to plan on.'),))
    return Section('planning', 'The next study', (Table(
        ('margin [points]', 'if the truth is', 'difference', 'discordant', 'pairs, one look',
         'pairs at most, a look a round', 'on average', 'robot-hours'),
        tuple(study_in_words(one) for one in results.next_studies),
        f'For 80 % power to show {last} no worse, error '
        f'{points(results.record.study.design.alpha)} %. Hours of all arms, with the observed '
        'length of a trial and the planned rest. "-": not computed.', wide=True),))
