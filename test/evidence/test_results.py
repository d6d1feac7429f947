# SPDX-License-Identifier: Apache-2.0
"""What was measured survives: whole lines only, from several writers, the same when read again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.evidence.results import Outcomes, Results

EPISODES: list[dict[str, Any]] = [
    {'seed': 4, 'success': True, 'steps': 20, 'moved': 'red cube', 'named': 'red cube'},
    {'seed': 2, 'success': False, 'steps': 92, 'moved': 'blue cube', 'named': 'red cube'},
    {'seed': 9, 'success': False, 'steps': 92, 'moved': None, 'named': 'red cube'}]


def test_outcomes_survive_json() -> None:
    """Success, steps and wrong objects by scene; nothing moved is no wrong object."""
    one = Outcomes.of(EPISODES)
    assert one.other.tolist() == [0, 1, 0]
    again = Outcomes.from_dict(one.to_dict())
    for name in ('seeds', 'success', 'steps', 'other'):
        assert np.array_equal(getattr(one, name), getattr(again, name))
    assert one.on(np.array([9, 4, 77])).success.tolist() == [0, 1]


def test_columns_of_a_unit_are_joined(tmp_path: Path) -> None:
    """Later lines add to a unit; another reader sees the same."""
    results = Results(tmp_path / 'units.jsonl')
    results.add({'unit': 'a', 'flops': 1})
    results.add({'unit': 'a', 'episodes nominal/own': Outcomes.of(EPISODES).to_dict()})
    for one in (results, Results(results.path)):
        assert one.units['a']['flops'] == 1
        found = one.outcomes('a', 'nominal/own')
        assert found is not None and found.seeds.tolist() == [4, 2, 9]
        assert one.outcomes('a', 'hard/own') is None and one.outcomes('b', 'nominal/own') is None


def test_a_torn_line_is_left_out_and_does_no_harm(tmp_path: Path) -> None:
    """What follows a torn line begins on a line of its own."""
    path = tmp_path / 'units.jsonl'
    path.write_text('{"unit": "a", "flops": 1}\n{"unit": "b", "fl')
    results = Results(path)
    assert set(results.units) == {'a'}
    results.add({'unit': 'c', 'flops': 3})
    assert set(Results(path).units) == {'a', 'c'}


def test_writers_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Many at once: every line is whole."""
    path = tmp_path / 'units.jsonl'
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Results(path).add({'unit': str(n), 'x': 'y' * 5000}), range(40)))
    assert set(Results(path).units) == {str(number) for number in range(40)}
