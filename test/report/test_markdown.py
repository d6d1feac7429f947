# SPDX-License-Identifier: Apache-2.0
"""The Markdown says what the page says."""

from vla_drop_ros.report.document import Document, Section, Table, Words
from vla_drop_ros.report.markdown import as_markdown
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sections import document


def test_it_has_every_section_and_figure(opened: Results) -> None:
    """Sections are headings, figures are links to files beside it, verdicts stand out."""
    told = document(opened)
    text = as_markdown(told)
    assert all(f'## {section.title}' in text for section in told.sections)
    assert all(f'(figures/{one.name}.svg)' in text for one in told.pictures)
    assert told.photographs and all(f'(figures/{one.name}.jpg)' in text
                                    for one in told.photographs)
    assert f'> **{opened.comparisons[0].verdict.word.value}.**' in text


def test_tables_keep_their_columns(opened: Results) -> None:
    """A sign of Markdown in a name or a note does not break a table."""
    told = Document('t', 'q', Words('s'), (Section('one', 'One', (
        Table(('a|b', 'c'), (('x|y', 'new\nline'), ('*', '_')),),)),))
    lines = [line for line in as_markdown(told).splitlines() if line.startswith('|')]
    assert lines == ['| a\\|b | c |', '|---|---|', '| x\\|y | new line |', '| \\* | \\_ |']
