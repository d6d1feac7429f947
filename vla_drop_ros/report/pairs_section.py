# SPDX-License-Identifier: Apache-2.0
"""Pair by pair: what both arms solved, what one alone did, and where to watch it."""

from vla_drop_ros.report.comparison import Discordant
from vla_drop_ros.report.document import Block, Cell, Heading, Section, Table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import count, p_value, percent


def pairs_section(results: Results, recordings: Recordings) -> Section:
    """Return the table of pairs of every candidate, and the pairs to watch."""
    blocks: list[Block] = []
    for one in results.comparisons:
        counts = one.verdict.counts
        discordant = counts.candidate_only + counts.baseline_only
        if len(results.comparisons) > 1:
            blocks.append(Heading(f'{one.name} and {one.baseline}'))
        blocks.append(Table(
            ('', f'{one.baseline} solved', f'{one.baseline} failed'),
            ((f'{one.name} solved', str(counts.both), str(counts.candidate_only)),
             (f'{one.name} failed', str(counts.baseline_only), str(counts.neither))),
            f'{count(counts.pairs, "pair")} of complete rounds; '
            f'{percent(discordant / counts.pairs) if counts.pairs else "-"} discordant. '
            f"McNemar's exact test, one look: {p_value(one.mcnemar)}."))
        if one.discordant:
            blocks.append(Heading(f'Pairs to watch: only one of {one.name} and {one.baseline} '
                                  'solved them'))
            blocks.append(Table(
                ('condition', 'solved by', 'solved in trial', 'failed in trial', 'how it failed'),
                tuple(_watch(pair, recordings) for pair in one.discordant), wide=True))
    return Section('pairs', 'Pair by pair', tuple(blocks))


def _watch(pair: Discordant, recordings: Recordings) -> tuple[Cell, ...]:
    how = [pair.failed.reason or pair.failed.verdict]
    if pair.failed.end_reason != 'stopped':
        how.append(pair.failed.end_reason.replace('_', ' '))
    if pair.failed.note:
        how.append(f'"{pair.failed.note[:120]}"')
    return (pair.condition, pair.solved_by, recordings.link(pair.solved),
            recordings.link(pair.failed), ', '.join(how))
