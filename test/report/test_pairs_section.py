# SPDX-License-Identifier: Apache-2.0
"""Discordant pairs lead to their recordings."""

from vla_drop_ros.report.document import Link, Table
from vla_drop_ros.report.pairs_section import pairs_section
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results


def test_discordant_pairs_lead_to_their_bags(opened: Results) -> None:
    """Every pair to watch has a link to both recordings, relative to the report."""
    section = pairs_section(opened, Recordings(opened.record.folder, '..', False))
    tables = [block for block in section.blocks if isinstance(block, Table)]
    watched = tables[1].rows
    assert len(watched) == len(opened.comparisons[0].discordant) > 0
    for row in watched:
        for cell in row[2:4]:
            assert isinstance(cell, tuple) and isinstance(link := cell[0], Link)
            assert link.target == f'../bags/{link.text.split()[0]}'


def test_the_four_cells_are_the_pairs(opened: Results) -> None:
    """The first table holds the counts on which the verdict rests."""
    section = pairs_section(opened, Recordings(opened.record.folder, '..', False))
    table = next(block for block in section.blocks if isinstance(block, Table))
    counts = opened.comparisons[0].verdict.counts
    assert [row[1:] for row in table.rows] == [
        (str(counts.both), str(counts.candidate_only)),
        (str(counts.baseline_only), str(counts.neither))]
