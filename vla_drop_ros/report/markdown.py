# SPDX-License-Identifier: Apache-2.0
"""The same report as Markdown, its figures beside it as SVG files."""

from urllib.parse import quote

from vla_drop_ros.report.document import (
    Block,
    Cell,
    Code,
    Document,
    Gallery,
    Heading,
    Link,
    Listing,
    Picture,
    Table,
    VerdictBox,
    Words,
)

FIGURES = 'figures'


def as_markdown(document: Document) -> str:
    """Return the report; figures are links to ``figures/NAME.svg``."""
    parts = [f'# {_plain(document.title)}', _plain(document.subtitle), _block(document.status)]
    for section in document.sections:
        parts.append(f'## {_plain(section.title)}')
        parts += [_block(block) for block in section.blocks]
    return '\n\n'.join(part for part in (*parts, _plain(document.footer)) if part) + '\n'


def _block(block: Block) -> str:
    if isinstance(block, Words):
        text = _plain(block.text)
        return f'**{text}**' if block.tone == 'warning' else text
    if isinstance(block, Heading):
        return f'### {_plain(block.text)}'
    if isinstance(block, Listing):
        return '\n'.join(f'- {_plain(item)}' for item in block.items)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return (f'![{_plain(block.words)}]({FIGURES}/{block.name}.svg)\n\n'
                f'*{_plain(block.caption)}*')
    if isinstance(block, Code):
        return f'```\n{block.text}\n```'
    if isinstance(block, Gallery):
        return _gallery(block)
    return _box(block)


def _gallery(gallery: Gallery) -> str:
    rows = [' '.join(f'![{_plain(one.words)}]({FIGURES}/{one.name}.jpg)' for one in photographs)
            + f'\n\n*{_plain(text)}*' for photographs, text in gallery.rows]
    return '\n\n'.join((*rows, _plain(gallery.caption)))


def _box(box: VerdictBox) -> str:
    facts = '\n'.join(f'- {_plain(name)}: {_plain(value)}' for name, value in box.facts)
    notes = '\n>\n'.join(f'> {_plain(note)}' for note in box.notes)
    return f'> **{_plain(box.word)}.** {_plain(box.sentence)}\n\n{facts}' + (
        f'\n\n{notes}' if notes else '')


def _table(table: Table) -> str:
    lines = ['| ' + ' | '.join(_plain(name) for name in table.head) + ' |',
             '|' + '---|' * len(table.head)]
    lines += ['| ' + ' | '.join(map(_cell, row)) + ' |' for row in table.rows]
    return '\n'.join(lines) + (f'\n\n{_plain(table.caption)}' if table.caption else '')


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return _plain(cell)
    if isinstance(cell, Link):
        return f'[{_plain(cell.text)}]({quote(cell.target)})'
    return ', '.join(map(_cell, cell))


def _plain(text: str) -> str:
    """Return text that Markdown takes as it is, on one line."""
    found = ' '.join(text.split())
    for sign in '\\`*_[]<>|':
        found = found.replace(sign, f'\\{sign}')
    return found
