# SPDX-License-Identifier: Apache-2.0
"""The lines of a YAML file are those that an editor shows."""

import pytest

from vla_drop_ros.contracts.document import read_document
from vla_drop_ros.errors import ContractError


def test_lines_are_counted_from_one_in_any_style() -> None:
    """Block, flow and nested keys have the line on which they stand."""
    document = read_document('# one\na: 1\nb: {c: 2,\n    d: 3}\ne:\n  f: {g: 4}\n', 'x')
    assert document.data == {'a': 1, 'b': {'c': 2, 'd': 3}, 'e': {'f': {'g': 4}}}
    assert document.lines == {('a',): 2, ('b',): 3, ('b', 'c'): 3, ('b', 'd'): 4, ('e',): 5,
                              ('e', 'f'): 6, ('e', 'f', 'g'): 6}
    assert not document.repeated


def test_repeated_keys_are_found() -> None:
    """YAML takes the last of two silently; here both lines are known."""
    assert read_document('a: 1\nb: {c: 1, c: 2}\na: 3', 'x').repeated == {
        ('a',): [1, 3], ('b', 'c'): [2, 2]}


def test_an_empty_file_is_no_mapping() -> None:
    """Nothing is None."""
    assert read_document('', 'x').data is None


def test_the_source_is_in_the_error() -> None:
    """The message says which file, and where in it."""
    with pytest.raises(ContractError, match=r'(?s)my\.yaml is not valid YAML.*line 2'):
        read_document('a: 1\nb: [', 'my.yaml')
