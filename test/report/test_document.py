# SPDX-License-Identifier: Apache-2.0
"""A document is blocks in sections, whatever it becomes."""

from vla_drop_ros.report.document import (
    Document,
    Gallery,
    Photograph,
    Picture,
    Section,
    Words,
)


def test_pictures_come_in_the_order_of_the_sections() -> None:
    """Whoever writes the figures beside the text finds every one of them, once."""
    one, two, three = (Picture(name, '<svg/>', '', '') for name in ('one', 'two', 'three'))
    told = Document('t', 'q', Words('s'), (
        Section('a', 'A', (one, Words('between'), two)), Section('b', 'B', (three,), True)))
    assert list(told.pictures) == [one, two, three]


def test_photographs_come_from_every_gallery() -> None:
    """Row by row, whatever stands between the galleries."""
    one, two, three = (Photograph(name, b'', '') for name in ('one', 'two', 'three'))
    told = Document('t', 'q', Words('s'), (
        Section('a', 'A', (Gallery((((one, two), ''),), ''), Words('between'))),
        Section('b', 'B', (Gallery((((three,), ''),), ''),))))
    assert list(told.photographs) == [one, two, three]
