# SPDX-License-Identifier: Apache-2.0
"""Resident policies are loaded once, kept within the limit, and closed when nobody uses them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.runtime.memory import process_memory
from vla_drop_ros.runtime.resident import ResidentPolicies


class Shelf:
    """Loads stand-ins for policies, and notes what was loaded and closed."""

    def __init__(self, limit: int) -> None:
        self.loaded: list[str] = []
        self.closed: list[str] = []
        self.contents: dict[str, str] = {}
        self.resident = ResidentPolicies(
            self.load, lambda path: self.contents.get(path, path), limit,
            weigh=lambda path: 100 * len(path))

    def load(self, path: str) -> Any:
        if path == 'broken':
            raise ValueError('broken')
        self.loaded.append(path)
        return SimpleNamespace(spec=None, cameras={}, state_names=(), checkpoint=path,
                               infer=lambda observation: f'{path} saw {observation}',
                               reset=lambda: None, close=lambda: self.closed.append(path))

    def swap(self, *paths: str) -> Any:
        """Take one policy after another, as the worker does: the new before the old goes."""
        current = None
        for path in paths:
            upcoming = self.resident.load(path)
            if current is not None:
                current.close()
            current = upcoming
        return current


def test_going_back_loads_nothing() -> None:
    """Two policies that alternate are loaded once each."""
    shelf = Shelf(limit=2)
    current = shelf.swap('a', 'b', 'a', 'b', 'a')
    assert (shelf.loaded, shelf.closed) == (['a', 'b'], [])
    assert current.checkpoint == 'a'
    assert current.infer('this') == 'a saw this'


def test_the_one_used_longest_ago_goes() -> None:
    """A third policy takes the place of the idle one used longest ago."""
    shelf = Shelf(limit=2)
    shelf.swap('a', 'b', 'c')
    assert shelf.closed == ['a']


def test_limit_one_keeps_what_is_in_use_only() -> None:
    """Without residency a swap loads beside the running one, and then closes that."""
    shelf = Shelf(limit=1)
    shelf.swap('a', 'b', 'a')
    assert (shelf.loaded, shelf.closed) == (['a', 'b', 'a'], ['a', 'b'])


def test_a_policy_in_use_is_never_closed() -> None:
    """Closing the shelf leaves the loan alone; giving it back twice counts once."""
    shelf = Shelf(limit=2)
    current = shelf.swap('a', 'b')
    shelf.resident.close()
    assert shelf.closed == ['a']
    current.close()
    current.close()
    shelf.resident.close()
    assert shelf.closed == ['a', 'b']


def test_a_changed_checkpoint_is_loaded_again() -> None:
    """The same path with other contents is another policy."""
    shelf = Shelf(limit=2)
    shelf.swap('a')
    shelf.contents['a'] = 'a, retrained'
    shelf.swap('a')
    assert shelf.loaded == ['a', 'a']


def test_a_failed_load_changes_nothing() -> None:
    """What was resident stays, and the error goes to who asked."""
    shelf = Shelf(limit=2)
    shelf.swap('a', 'b')
    with pytest.raises(ValueError, match='broken'):
        shelf.resident.load('broken')
    shelf.swap('a', 'b')
    assert shelf.loaded == ['a', 'b']


def test_usage_counts_what_is_in_memory() -> None:
    """Policies and their weights, until they are closed."""
    shelf = Shelf(limit=2)
    assert shelf.resident.usage == (0, 0)
    current = shelf.swap('a', 'bb')
    assert shelf.resident.usage == (2, 300)
    assert shelf.resident.holds('a') and not shelf.resident.holds('c')
    shelf.resident.close()
    assert shelf.resident.usage == (1, 200) and not shelf.resident.holds('a')
    current.close()
    shelf.resident.close()
    assert shelf.resident.usage == (0, 0)


def test_the_memory_of_a_closed_policy_goes_back_to_the_machine() -> None:
    """The allocator does not keep it, though a block that was made later stays."""
    weights = [np.ones(12_000) for _ in range(2000)]
    stays, full = np.ones(12_000), process_memory()
    policy = SimpleNamespace(spec=None, cameras={}, state_names=(), checkpoint='a',
                             close=weights.clear)
    resident = ResidentPolicies(lambda path: policy, lambda path: path)
    resident.load('a').close()
    resident.close()
    left = process_memory()
    assert full is not None and left is not None and stays.nbytes == 96_000
    assert full - left > 0.8 * 2000 * stays.nbytes
