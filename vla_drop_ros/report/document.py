# SPDX-License-Identifier: Apache-2.0
"""The report as blocks without a format: the page and the Markdown are made of the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal['good', 'bad', 'open', 'quiet', 'warning', 'plain']


@dataclass(frozen=True, slots=True)
class Link:
    """Text that leads to a file, relative to the report's folder."""

    text: str
    target: str


Cell = str | Link | tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class VerdictBox:
    """The verdict on one checkpoint.

    Attributes:
        word: of the closed grammar.
        tone: colour; never the only sign.
        sentence: with numbers.
        facts: (label, value).
        notes: further sentences.

    """

    word: str
    tone: Tone
    sentence: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str
    tone: Tone = 'plain'


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below that of the section."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Short sentences, one a point."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with a head; the first column names the row.

    Attributes:
        head: of the columns.
        rows: cells.
        caption: what the intervals are, what n is.
        wide: many columns; scrolls on its own.

    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ''
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure.

    Attributes:
        name: of the file.
        svg: whole element.
        caption: what is drawn, in units, and what the interval is.
        words: the same for people who do not see it.

    """

    name: str
    svg: str
    caption: str
    words: str


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy, as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture from a camera, small enough to be part of the page.

    Attributes:
        name: of the file.
        jpeg: its content.
        words: what it shows.

    """

    name: str
    jpeg: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Photographs side by side.

    Attributes:
        rows: photographs that belong together, with what is said of them.
        caption: what is shown, and what is left out.

    """

    rows: tuple[tuple[tuple[Photograph, ...], str], ...]
    caption: str


Block = VerdictBox | Words | Heading | Listing | Table | Picture | Code | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """A section.

    Attributes:
        id: anchor.
        title: heading.
        blocks: in order.
        folded: closed until somebody opens it.

    """

    id: str
    title: str
    blocks: tuple[Block, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The whole report.

    Attributes:
        title: of the study.
        subtitle: its question.
        status: one line: finished, unfinished, blinded.
        sections: in order.
        footer: what made it, when.

    """

    title: str
    subtitle: str
    status: Words
    sections: tuple[Section, ...]
    footer: str = ''

    @property
    def pictures(self) -> Sequence[Picture]:
        """Return every figure."""
        return [block for section in self.sections for block in section.blocks
                if isinstance(block, Picture)]

    @property
    def photographs(self) -> Sequence[Photograph]:
        """Return every photograph."""
        return [one for section in self.sections for block in section.blocks
                if isinstance(block, Gallery) for row, _ in block.rows for one in row]
