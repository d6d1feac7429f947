# SPDX-License-Identifier: Apache-2.0
"""Figures are plain SVG elements that can share a page."""

import re
from typing import Any
import xml.etree.ElementTree as ElementTree

from vla_drop_ros.report.drawing import arm_style, COLOURS, label, LINES, MARKERS, svg


def draw(figure: Any) -> None:
    """Draw something with a clip path, a marker and a dollar sign."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], 'o')
    axes.set_title(label('costs $5 & <more>'))


def test_a_figure_stands_alone_and_says_what_it_shows() -> None:
    """It parses, has words for people who do not see it, scales, and names no other file."""
    text = svg('one', 'a "line" & more', 2.0, draw)
    root = ElementTree.fromstring(text)
    assert root.attrib['aria-label'] == 'a "line" & more' and root.attrib['role'] == 'img'
    assert 'viewBox' in root.attrib and 'width' not in root.attrib
    assert 'costs $5 &amp; &lt;more&gt;' in text
    assert not re.search(r'(href|src)="(?!#)', text) and 'metadata' not in text


def test_two_figures_share_no_id() -> None:
    """Ids and what refers to them carry the figure's name, so that none borrows another's."""
    ids = [set(re.findall(r'\bid="([^"]*)"', svg(name, '', 2.0, draw))) for name in ('a', 'b')]
    assert ids[0] and not ids[0] & ids[1]
    text = svg('a', '', 2.0, draw)
    used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text))
    assert used and {one or other for one, other in used} <= ids[0]


def test_the_same_figure_is_the_same_text() -> None:
    """No time and no chance is in it."""
    assert svg('one', '', 2.0, draw) == svg('one', '', 2.0, draw)


def test_arms_differ_without_colour() -> None:
    """Marker and line tell arms apart in print."""
    styles = [arm_style(place) for place in range(4)]
    for key in ('color', 'marker', 'linestyle'):
        assert len({str(style[key]) for style in styles}) == 4
    assert len(COLOURS) == len(MARKERS) == len(LINES)


def test_long_names_are_cut() -> None:
    """A name that would not fit loses its middle: names of a family differ at the end."""
    assert label('condition-with-a-long-name-17', 12) == 'conditi…e-17'
    assert label('short') == 'short'
