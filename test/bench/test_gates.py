# SPDX-License-Identifier: Apache-2.0
"""A gate judges by the majority of its repeats, and excuses what the machine could not give."""

from pathlib import Path

import pytest

from bench.gates import as_markdown, as_text, gated, Row, with_verdict, write_between_marks
from vla_drop_ros.errors import VlaDropError


def row(values: tuple[float, ...], witness: tuple[float, ...] = ()) -> Row:
    """Return a row that wants at most 1."""
    return gated('section', 'name', values, 'ms', 0.5, '<= 1', lambda value: value <= 1.0,
                 witness=witness)


@pytest.mark.parametrize(('values', 'witness', 'verdict'), [
    ((0.5, 0.5, 0.5), (), 'PASS'), ((0.5, 0.5, 9.0), (), 'PASS'), ((0.5, 9.0, 9.0), (), 'FAIL'),
    ((9.0,), (), 'FAIL'), ((9.0,), (0.1,), 'FAIL'), ((9.0,), (5.0,), 'BUSY'),
    ((9.0, 9.0, 0.5), (0.1, 0.1, 5.0), 'FAIL'), ((9.0, 9.0, 9.0), (5.0, 5.0, 0.1), 'BUSY')])
def test_verdicts(values: tuple[float, ...], witness: tuple[float, ...], verdict: str) -> None:
    """Two of three fail; a failure counts less where a process that only sleeps fails as well."""
    assert row(values, witness).verdict == verdict
    assert bool(with_verdict([row(values, witness)], 'FAIL')) == (verdict == 'FAIL')


def test_a_row_without_a_gate_has_no_verdict() -> None:
    """What is only shown can neither pass nor fail, and shows median and range."""
    shown = Row('section', 'name', (3.0, 1.0, 200.0), 'ms', 0.5)
    assert shown.verdict == '' and shown.shown == '3.00 [1.00, 200] ms'


def test_tables_hold_every_row() -> None:
    """Both forms name section, row, value, wanted, verdict and load."""
    for text in (as_text([row((9.0,))]), as_markdown([row((9.0,))])):
        for part in ('section', 'name', '9.00 ms', '<= 1', 'FAIL', '0.5'):
            assert part in text


def test_a_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    """The text around stays, a second time changes nothing, and absent marks are named."""
    page = tmp_path / 'page.md'
    page.write_text('before\n<begin>\nold\n<end>\nafter\n')
    for _ in range(2):
        write_between_marks(page, 'new', '<begin>', '<end>')
        assert page.read_text() == 'before\n<begin>\nnew\n<end>\nafter\n'
    with pytest.raises(VlaDropError, match='<other>'):
        write_between_marks(page, 'new', '<other>', '<end>')
