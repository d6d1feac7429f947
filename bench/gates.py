# SPDX-License-Identifier: Apache-2.0
"""Rows of a benchmark: what was measured in every repeat, and whether that is good enough."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import itertools
import os
from pathlib import Path
import statistics

from vla_drop_ros.errors import VlaDropError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        section: heading that it stands under.
        name: what was measured.
        values: one of every repeat, as it is shown.
        unit: of the values.
        load: load average of the machine while it was measured.
        gate: what is wanted, in words, or '' where nothing is.
        passes: whether each repeat was good enough; () without a gate.
        busy: whether in each repeat the machine itself had no time to give.
        note: other numbers of the same measurement.

    """

    section: str
    name: str
    values: tuple[float, ...]
    unit: str
    load: float
    gate: str = ''
    passes: tuple[bool, ...] = ()
    note: str = ''
    busy: tuple[bool, ...] = ()

    @property
    def verdict(self) -> str:
        """Return PASS, FAIL, BUSY or '': a gate fails when most of its repeats do.

        BUSY: as often as not the machine had no time to give, so the failure tells nothing.
        """
        if not self.gate:
            return ''
        if 2 * sum(self.passes) >= len(self.passes):
            return 'PASS'
        excused = sum(busy for busy, good in zip(self.busy, self.passes, strict=False) if not good)
        return 'BUSY' if 2 * excused >= len(self.passes) - sum(self.passes) else 'FAIL'

    @property
    def shown(self) -> str:
        """Return the median of the repeats, and their range where there are several."""
        low, high = min(self.values), max(self.values)
        middle = f'{_number(statistics.median(self.values))}'
        span = f' [{_number(low)}, {_number(high)}]' if len(self.values) > 1 else ''
        return f'{middle}{span} {self.unit}'.strip()


def gated(section: str, name: str, values: Sequence[float], unit: str, load: float, gate: str,
          passes: Callable[[float], bool], note: str = '', witness: Sequence[float] = ()) -> Row:
    """Return a row with a gate, see ``Row``.

    ``passes`` looks at each value, and at each of ``witness``: the same of a process that only
    sleeps, if one ran beside.
    """
    return Row(section, name, tuple(values), unit, load, gate,
               tuple(passes(value) for value in values), note,
               tuple(not passes(value) for value in witness))


def load_average() -> float:
    """Return how many processes wanted to run in the last minute, on average."""
    return os.getloadavg()[0]


def with_verdict(rows: Sequence[Row], verdict: str) -> list[Row]:
    """Return the rows with this verdict."""
    return [row for row in rows if row.verdict == verdict]


HEADINGS = ('', 'median [range of the repeats]', 'wanted', '', 'load', '')


def _cells(row: Row) -> tuple[str, ...]:
    return row.name, row.shown, row.gate, row.verdict, f'{row.load:.1f}', row.note


def _sections(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    for section, inside in itertools.groupby(rows, key=lambda row: row.section):
        yield section, [_cells(row) for row in inside]


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    widths = [max(map(len, column))
              for column in zip(HEADINGS, *map(_cells, rows), strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return '  ' + '  '.join(padded).rstrip()

    lines = [line(HEADINGS)]
    for section, cells in _sections(rows):
        lines += ['', section, *map(line, cells)]
    return '\n'.join(lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table for a page."""
    lines: list[str] = []
    for section, cells in _sections(rows):
        lines += [f'**{section}**', '', f'| {" | ".join(HEADINGS)} |', '|---' * 6 + '|']
        lines += [f'| {" | ".join(one)} |' for one in cells] + ['']
    return '\n'.join(lines).rstrip()


def write_between_marks(page: Path, text: str, begin: str, end: str) -> None:
    """Put the text between two lines of a page, in place of what is there.

    Raises:
        VlaDropError: the page has not got both lines, in this order.

    """
    before, found, rest = page.read_text(encoding='utf-8').partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise VlaDropError(f'{page} needs the lines {begin!r} and {end!r}; the table goes between')
    page.write_text(f'{before}{begin}\n{text}\n{end}{after}', encoding='utf-8')


def _number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f'{value:.0f}'
    return f'{value:.{2 if abs(value) >= 1 else 3}f}'
