# SPDX-License-Identifier: Apache-2.0
"""The verdict comes first, and every other analysis says that it does not decide."""

from vla_drop_ros.report.document import Table, VerdictBox
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.verdict_section import sensitivity_section, verdict_section


def test_the_box_comes_first(opened: Results) -> None:
    """Before advice and deviations."""
    first = verdict_section(opened).blocks[0]
    assert isinstance(first, VerdictBox)
    assert first.word == opened.comparisons[0].verdict.word.value


def test_doubted_verdicts_have_their_rows(opened: Results) -> None:
    """Unsure trials and the second rater are in the table, and disagreement is marked."""
    table = sensitivity_section(opened).blocks[0]
    assert isinstance(table, Table)
    names = [row[0] for row in table.rows]
    assert names[0] == 'primary' and {
        'first attempts only', 'unsure trials removed', 'unsure trials at their worst',
        'second rater'} <= set(names)
    primary = opened.comparisons[0].rows[0].no_worse
    for row, one in zip(table.rows, opened.comparisons[0].rows, strict=True):
        assert ('DISAGREES' in str(row[3])) == (
            one.no_worse is not None and one.no_worse != primary)
