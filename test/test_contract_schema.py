# SPDX-License-Identifier: Apache-2.0
"""Editors check a contract by the same table as the reader, and the pages say what it says."""

from collections.abc import Iterator
from copy import deepcopy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_drop_ros.contract_file import parse_contract
from vla_drop_ros.contract_schema import (
    contract_schema,
    markdown_table,
    SCHEMA_FILE,
    schema_text,
)
from vla_drop_ros.contracts.keys import children, find_key, KEYS
from vla_drop_ros.errors import ContractError

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / 'config' / 'robots').glob('*.yaml'))
Place = tuple[str, ...]


def places(data: dict[str, Any], place: Place = ()) -> Iterator[Place]:
    """Yield the path of every value and of every section."""
    for name, value in data.items():
        yield (*place, name)
        if isinstance(value, dict):
            yield from places(value, (*place, name))


def section(data: dict[str, Any], path: Place) -> dict[str, Any]:
    """Return the mapping that holds the last name of a path."""
    for name in path[:-1]:
        data = data[name]
    return data


def shipped(path: Path) -> dict[str, Any]:
    """Return a shipped contract as plain types."""
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    assert isinstance(data, dict)
    return data


def is_read(data: dict[str, Any]) -> bool:
    """Say whether the reader takes it."""
    try:
        parse_contract(data)
    except ContractError:
        return False
    return True


@pytest.fixture(scope='module', name='validator')
def _validator() -> Any:
    jsonschema = pytest.importorskip('jsonschema')
    schema = contract_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_file_is_up_to_date() -> None:
    """The shipped schema is what `vla_drop contract schema` prints."""
    assert (ROOT.joinpath(*SCHEMA_FILE)).read_text(encoding='utf-8') == schema_text()


def test_the_page_is_up_to_date() -> None:
    """The table of docs/robot_contract.md is what `vla_drop contract schema --markdown` prints."""
    assert markdown_table() in (ROOT / 'docs' / 'robot_contract.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_editors_find_the_schema(path: Path) -> None:
    """Every shipped contract begins with the line by which editors find the schema beside it."""
    first = path.read_text(encoding='utf-8').splitlines()[0]
    assert first == f'# yaml-language-server: $schema={SCHEMA_FILE[-1]}'


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_contracts_fit_the_schema(path: Path, validator: Any) -> None:
    """Every shipped contract is valid."""
    assert not [error.message for error in validator.iter_errors(shipped(path))]


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_the_schema_refuses_what_the_reader_refuses(path: Path, validator: Any) -> None:
    """Deleted, added, empty and absurd values are judged alike, but for which joints there are."""
    whole = shipped(path)
    for place in places(whole):
        data = deepcopy(whole)
        del section(data, place)[place[-1]]
        if place[:2] != ('limits', 'joints') or len(place) != 3:
            assert validator.is_valid(data) == is_read(data), place
        absurd: tuple[Any, ...] = (None, 'TODO', {}, -1e9, 1e9, [], True)
        for value in absurd:
            data = deepcopy(whole)
            section(data, place)[place[-1]] = value
            if not (value is True and place == ('dry_run',)):
                assert not validator.is_valid(data) and not is_read(data), (place, value)
        data = deepcopy(whole)
        section(data, place)['surplus'] = 1
        assert not validator.is_valid(data) and not is_read(data), place


@pytest.mark.parametrize(('name', 'key', 'value'), [
    ('franka_cartesian', 'command.lead', 0.1), ('franka_cartesian', 'fault_action', 'stop'),
    ('franka_cartesian', 'command.servo', {'pause': 'a'}), ('ur_servo', 'fault_action', 'hold'),
    ('ur_servo', 'command.servo.linear_scale', 0.5), ('so101_joints', 'limits.step', 0.1),
    ('so101_joints', 'command.adapter', 'pose'), ('ur_servo', 'command.topic', 'a b'),
    ('ur_servo', 'frames.base', '/base'), ('ur_servo', 'action.names', ['x', 'x'])])
def test_the_schema_knows_what_belongs_together(
        name: str, key: str, value: Any, validator: Any) -> None:
    """Keys without effect, the wrong fault action, half of a pair and bad names are refused."""
    data = shipped(ROOT / 'config' / 'robots' / f'{name}.yaml')
    path = tuple(key.split('.'))
    section(data, path)[path[-1]] = value
    assert not validator.is_valid(data) and not is_read(data)


def test_every_key_is_described_once() -> None:
    """The table has no key twice, and each has a meaning, and a number its bounds."""
    assert len({key.name for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.meaning and key is find_key(key.path)
        assert key.kind not in ('number', 'range') or key.low < key.high
        assert bool(key.choices) == (key.kind == 'choice')
        assert key.path[0] in children(())
    assert json.loads(schema_text())['$schema'].endswith('2020-12/schema')
