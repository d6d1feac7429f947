# SPDX-License-Identifier: Apache-2.0
"""A plan is data: it survives a file, and bad ones are refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.plan import Plan

FULL = Plan({'language': {'tied': (3, 1), 'mha': (2,)}}, {'vision': {0: (5, 4)}},
            {'action': {2: (1,)}}, True, 'ab' * 32, {'criterion': {'name': 'x'}})


def test_survives_a_file(tmp_path: Path) -> None:
    """Written and read again it is the same plan, sorted."""
    FULL.save(tmp_path / 'deep' / 'plan.json')
    assert Plan.load(tmp_path / 'deep' / 'plan.json') == FULL
    assert FULL.blocks['language']['tied'] == (1, 3)
    assert [path.name for path in (tmp_path / 'deep').iterdir()] == ['plan.json']


def test_empty_entries_vanish() -> None:
    """A stack or mode without blocks is not in the plan, and such a plan is empty."""
    assert Plan({'language': {'tied': ()}, 'vision': {}}, {'vision': {1: ()}}).is_empty
    assert not FULL.is_empty and not Plan(dead=True).is_empty


def test_key_tells_what_goes_and_nothing_else() -> None:
    """Origin and checkpoint do not change what a plan removes."""
    assert FULL.key() == Plan(FULL.blocks, FULL.channels, FULL.heads, True).key()
    assert FULL.key() != Plan(FULL.blocks, FULL.channels, FULL.heads).key()


def test_grows_by_blocks_and_widths() -> None:
    """More blocks join those of the same mode; more widths stand beside the others."""
    plan = Plan().with_blocks('language', 'tied', [2]).with_blocks('language', 'tied', [0])
    assert plan.blocks == {'language': {'tied': (0, 2)}}
    plan = plan.with_widths('channel', {'vision': {0: (1,)}}).with_widths('head', {})
    assert plan.channels == {'vision': {0: (1,)}} and plan.heads == {}


@pytest.mark.parametrize(('fields', 'message'), [
    ({'blocks': {'language': {'tied': [1, 1]}}}, r'language block \[1\] is named more than once'),
    ({'blocks': {'language': {'tied': [1], 'mha': [1]}}}, 'in several modes'),
    ({'blocks': {'language': {'teid': [1]}}}, "Did you mean 'tied'"),
    ({'blocks': {'language': {'tied': ['one']}}}, 'whole numbers'),
    ({'blocks': {'language': {'tied': 3}}}, 'malformed'),
    ({'blocks': {'language': [3]}}, 'malformed'),
    ({'channels': {'vision': {'0': [2, 2]}}}, r'vision block 0 channel \[2\]'),
    ({'surprise': 1}, "unknown field of a plan 'surprise'"),
    ({'format': 9}, '"format": 1'),
])
def test_bad_files_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    """What is wrong is named, and the file."""
    path = tmp_path / 'plan.json'
    path.write_text(json.dumps({'format': 1, **fields}))
    with pytest.raises(PlanError, match=message) as error:
        Plan.load(path)
    assert 'plan.json' in str(error.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """A missing file and half a file are errors that name it."""
    with pytest.raises(PlanError, match='cannot be read'):
        Plan.load(tmp_path / 'absent.json')
    (tmp_path / 'half.json').write_text('{"format"')
    with pytest.raises(PlanError, match='half.json'):
        Plan.load(tmp_path / 'half.json')


@pytest.mark.parametrize(('fields', 'message'), [
    ({'blocks': {'language': {'tied': [1.5]}}}, 'must be a list of whole numbers'),
    ({'blocks': {'vision': {'whole': '12'}}}, 'must be a list of whole numbers'),
    ({'dead': 'yes'}, "dead 'yes' must be true or false"),
])
def test_nothing_is_guessed(fields: dict[str, Any], message: str) -> None:
    """A fraction is not rounded, a text is not taken for digits."""
    with pytest.raises(PlanError, match=message):
        Plan.from_dict({'format': 1, **fields})
