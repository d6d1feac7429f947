# SPDX-License-Identifier: Apache-2.0
"""The audit shows every count, by arm where the arms are open."""

from vla_drop_ros.report.document import Block, Table
from vla_drop_ros.report.protocol_section import protocol_section
from vla_drop_ros.report.results import Results


def tables(blocks: tuple[Block, ...]) -> dict[str, Table]:
    """Return the tables by the first word of their head."""
    return {block.head[0]: block for block in blocks if isinstance(block, Table)}


def test_invalid_trials_are_told_by_arm(opened: Results, blinded: Results) -> None:
    """Opened: a column an arm, Fisher's test and the worst case; blinded: sums only."""
    table = tables(protocol_section(opened).blocks)['reason']
    assert table.head == ('reason', 'whole9', 'lean9')
    *reasons, total = table.rows
    for column, name in ((1, 'whole9'), (2, 'lean9')):
        made = sum(row.arm == name for row in opened.rows)
        lost = sum(int(str(row[column])) for row in reasons)
        assert total[column] == f'{lost} of {made}'
    assert 'Fisher' in table.caption and 'points' in table.caption
    assert tables(protocol_section(blinded).blocks)['reason'].head == ('reason', 'trials')


def test_order_drift_looks_and_matches_are_audited(opened: Results) -> None:
    """Each has its line, and second judges and guesses their tables."""
    found = tables(protocol_section(opened).blocks)
    assert {'what', 'reason', 'source', 'arm that ran', 'session'} <= set(found)
    lines = ' '.join(str(row[0]) for row in found['what'].rows)
    for words in ('order', 'place in the pair', 'drift', 'looks', 'taken back', 'corrected',
                  'against its reference, whole9', 'against its reference, lean9'):
        assert words in lines
