# SPDX-License-Identifier: Apache-2.0
"""Draws figures as SVG elements that can stand in one page beside each other."""

from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
import re
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by people who see fewer; markers and lines differ as well.
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#aa4499', '#8a6d00', '#56b4e9')
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
LINES: tuple[Any, ...] = ('-', (0, (5, 1.5)), (0, (1.5, 1.2)), '-.', (0, (6, 2, 1, 2, 1, 2)), '-')
INK, QUIET, GRID = '#1c2026', '#5c646d', '#e4e6e9'
WIDTH = 4.7  # [in]: a phone's width at a size that can be read
STYLE: Any = {
    'font.size': 10, 'axes.edgecolor': QUIET, 'axes.labelcolor': INK, 'text.color': INK,
    'xtick.color': INK, 'ytick.color': INK, 'axes.spines.top': False, 'axes.spines.right': False,
    'axes.titlesize': 10.5, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left',
    'axes.axisbelow': True, 'svg.fonttype': 'none', 'savefig.facecolor': 'white',
    'legend.frameon': False, 'legend.fontsize': 9.5,
    'font.family': ['DejaVu Sans', 'sans-serif']}
NOT_THE_ELEMENT = re.compile(r'^.*?(?=<svg)|<metadata>.*?</metadata>', re.DOTALL)
OWN_SIZE = re.compile(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"|'
                      r'(<svg[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"')
NAMES = re.compile(r'(\bid="|url\(#|href="#)')


def svg(name: str, words: str, height: float, draw: Callable[['Figure'], None]) -> str:
    """Return a figure as one SVG element.

    Args:
        name: in front of every id, so that two figures in a page do not mix.
        words: for people who do not see it.
        height: [in]; the width is that of a phone.
        draw: puts axes into the figure.

    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, 'svg.hashsalt': name}):
        figure = Figure(figsize=(WIDTH, height), layout='constrained')
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = StringIO()
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    text = NOT_THE_ELEMENT.sub('', buffer.getvalue())
    text = OWN_SIZE.sub(lambda found: ''.join(part or '' for part in found.groups()), text, 1)
    text = NAMES.sub(lambda found: f'{found.group(1)}{name}-', text)
    return text.strip().replace('<svg', f'<svg role="img" aria-label="{escape(words)}"', 1)


def label(text: str, longest: int = 22) -> str:
    """Return text that matplotlib takes as it is; one that would not fit loses its middle."""
    tail = longest // 3  # names of a family differ at the end
    cut = text if len(text) <= longest else f'{text[:longest - tail - 1]}…{text[-tail:]}'
    return cut.replace('$', r'\$')


def arm_style(place: int) -> dict[str, Any]:
    """Return colour, marker and line of an arm by its place in the design."""
    return {'color': COLOURS[place % len(COLOURS)], 'marker': MARKERS[place % len(MARKERS)],
            'linestyle': LINES[place % len(LINES)]}


def named_rows(axes: 'Axes', names: Sequence[str]) -> None:
    """Give a panel one line a name, the first at the top."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    axes.grid(axis='x', color=GRID, linewidth=0.8)
