# SPDX-License-Identifier: Apache-2.0
"""The page is one file: it parses, needs no network, and shows no trace of what is missing."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
import re
from types import ModuleType

import pytest

from vla_drop_ros.report.document import (
    Document,
    Gallery,
    Listing,
    Photograph,
    Picture,
    Section,
    Table,
    Words,
)
from vla_drop_ros.report.html_page import as_html
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.sections import document
from vla_drop_ros.report.study_record import read_record, unblind

VOID = {'meta', 'br', 'img', 'link', 'hr', 'input'}


class Strict(HTMLParser):
    """Collects ids, links and text; an end tag that does not fit is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ''

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and what it refers to."""
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [value for key in ('id',) if (value := values.get(key))]
        self.links += [value for key in ('href', 'src', 'xlink:href', 'action', 'srcset', 'data')
                       if (value := values.get(key))]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open and self.open.pop() == tag, f'</{tag}> after {self.open[-3:]}'

    def handle_data(self, data: str) -> None:
        """Keep what people read."""
        if not {'style', 'script'} & set(self.open):
            self.text += data + ' '


def parsed(text: str) -> Strict:
    """Return the page taken apart."""
    page = Strict()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def check(page: Strict) -> None:
    """Raise where the page needs a network, has an id twice, or shows what nobody should see."""
    assert [link for link in page.links if re.match(r'([a-z]+:|//)', link)
            and not link.startswith('data:image/jpeg;base64,')] == []
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for link in page.links if link.startswith('#')}
    assert inner <= set(page.ids)
    wrong = re.search(r'\b(nan|NaN|None|inf|Infinity|Traceback|True|False|dict|object at)\b',
                      page.text)
    assert wrong is None, page.text[max(0, wrong.start() - 80):wrong.end() + 40]


def test_the_page_stands_alone(opened: Results, blinded: Results) -> None:
    """Opened or blinded: no network, no double id, no nan; the verdict's word is in the text."""
    page = parsed(as_html(document(opened)))
    check(page)
    assert opened.comparisons[0].verdict.word.value in page.text
    assert {section.id for section in document(opened).sections} <= set(page.ids)
    hidden = parsed(as_html(document(blinded)))
    check(hidden)
    assert 'lean9' not in hidden.text and 'whole9' not in hidden.text


@pytest.mark.parametrize(('trials', 'world'), [
    (0, {}), (2, {}), (7, {'invalid': {'baseline': 1.0, 'half': 1.0}}),
    (None, {'success': {'baseline': 0.0, 'half': 0.0}}),
    (None, {'success': {'baseline': 1.0, 'half': 1.0}})])
def test_poor_studies_make_whole_pages(
        study: Callable[..., Path], studies: ModuleType, trials: int | None,
        world: dict[str, dict[str, float]]) -> None:
    """Nothing run, nothing valid, nothing solved, all solved: the page is clean all the same."""
    folder = study(trials=trials, world=studies.World(**world),
                   data=studies.design_data(horizon=12))
    results = results_of(unblind(read_record(folder), 'P1', early=True))
    check(parsed(as_html(document(results))))


def test_text_is_never_markup() -> None:
    """What people wrote in designs and notes cannot change the page."""
    evil = '<script>alert("&amp;")</script>'
    told = Document(evil, evil, Words(evil), (Section('one', evil, (
        Listing((evil,)), Table((evil,), ((evil,),), evil),
        Gallery((((Photograph('one', b'', evil),), evil),), evil))),), evil)
    page = parsed(as_html(told))
    assert page.text.count(evil) >= 12 and as_html(told).count('<script') == 1  # its own


def test_tables_stand_beside_their_own_picture() -> None:
    """A picture after a table begins a new line, so that nobody reads the wrong table."""
    one, two = (Picture(name, '<svg></svg>', '', '') for name in ('one', 'two'))
    table = Table(('a',), (('b',),))
    told = Document('t', 'q', Words('s'), (Section('x', 'X', (one, table, two, table)),))
    assert as_html(told).count('class="figures"') == 2
    assert as_html(Document('t', 'q', Words('s'), (
        Section('x', 'X', (one, two, table)),))).count('class="figures"') == 1


def test_print_is_for_paper() -> None:
    """What is folded is opened, links stay readable, and the page is A4."""
    page = as_html(Document('t', 'q', Words('s'), ()))
    printed = page[page.index('@media print'):page.index('</style>')]
    assert 'size: A4' in page and 'beforeprint' in page
    assert 'break-inside: avoid' in printed and 'background: #fff' in printed
