# SPDX-License-Identifier: Apache-2.0
"""One HTML page that needs no other file and no network."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
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
    Section,
    Table,
    VerdictBox,
    Words,
)

TEMPLATE = Path(__file__).with_name('page.html')


def as_html(document: Document) -> str:
    """Return the page."""
    return Template(TEMPLATE.read_text(encoding='utf-8')).substitute(
        title=escape(document.title), subtitle=escape(document.subtitle),
        status=_words(document.status),
        contents=''.join(f'<a href="#{section.id}">{escape(section.title)}</a>'
                         for section in document.sections),
        sections=''.join(map(_section, document.sections)), footer=escape(document.footer))


def _section(section: Section) -> str:
    body = ''.join(map(_grouped, _groups(section.blocks)))
    if section.folded:
        return (f'<section id="{section.id}"><details><summary><h2>{escape(section.title)}</h2>'
                f'</summary>{body}</details></section>')
    return f'<section id="{section.id}"><h2>{escape(section.title)}</h2>{body}</section>'


def _groups(blocks: Sequence[Block]) -> list[list[Block]]:
    """Put a narrow table that follows a picture beside it; a picture after it begins anew."""
    found: list[list[Block]] = []
    for block in blocks:
        narrow = isinstance(block, Picture) or (isinstance(block, Table) and not block.wide)
        goes_on = bool(found) and isinstance(found[-1][0], Picture) and (
            isinstance(block, Table) or isinstance(found[-1][-1], Picture))
        if narrow and goes_on:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def _grouped(blocks: Sequence[Block]) -> str:
    if not isinstance(blocks[0], Picture):
        return ''.join(map(_block, blocks))
    pictures = [_block(block) for block in blocks if isinstance(block, Picture)]
    tables = ''.join(_block(block) for block in blocks if not isinstance(block, Picture))
    return f'<div class="figures">{"".join(pictures)}<div>{tables}</div></div>'


def _block(block: Block) -> str:
    if isinstance(block, Words):
        return _words(block)
    if isinstance(block, Heading):
        return f'<h3>{escape(block.text)}</h3>'
    if isinstance(block, Listing):
        return f'<ul>{"".join(f"<li>{escape(item)}</li>" for item in block.items)}</ul>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return (f'<figure id="{block.name}">{block.svg}'
                f'<figcaption>{escape(block.caption)}</figcaption></figure>')
    if isinstance(block, Code):
        return f'<pre>{escape(block.text)}</pre>'
    if isinstance(block, Gallery):
        return _gallery(block)
    return _box(block)


def _gallery(gallery: Gallery) -> str:
    rows = []
    for photographs, text in gallery.rows:
        shown = ''.join(
            f'<div><img alt="{escape(one.words)}" src="data:image/jpeg;base64,'
            f'{b64encode(one.jpeg).decode()}"><span>{escape(one.words)}</span></div>'
            for one in photographs)
        rows.append(f'<figure><div class="photographs">{shown}</div>'
                    f'<figcaption>{escape(text)}</figcaption></figure>')
    return f'<div class="gallery">{"".join(rows)}</div><p class="quiet">' \
           f'{escape(gallery.caption)}</p>'


def _words(words: Words) -> str:
    return f'<p class="{words.tone}">{escape(words.text)}</p>'


def _box(box: VerdictBox) -> str:
    facts = ''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
                    for name, value in box.facts)
    notes = ''.join(f'<p>{escape(note)}</p>' for note in box.notes)
    return (f'<div class="verdict {box.tone}"><p class="word">{escape(box.word)}</p>'
            f'<p class="sentence">{escape(box.sentence)}</p><dl>{facts}</dl>{notes}</div>')


def _table(table: Table) -> str:
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    heading = f'<thead><tr>{head}</tr></thead>' if any(table.head) else ''
    rows = ''.join(
        f'<tr><th scope="row">{_cell(row[0])}</th>'
        + ''.join(f'<td>{_cell(cell)}</td>' for cell in row[1:]) + '</tr>' for row in table.rows)
    caption = f'<p class="quiet">{escape(table.caption)}</p>' if table.caption else ''
    kind = ' wide' if table.wide else '' if any(table.head) else ' keys'
    return (f'<div class="scroll{kind}" tabindex="0"><table>{heading}'
            f'<tbody>{rows}</tbody></table></div>{caption}')


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, Link):
        return f'<a href="{escape(quote(cell.target))}">{escape(cell.text)}</a>'
    return ', '.join(map(_cell, cell))
