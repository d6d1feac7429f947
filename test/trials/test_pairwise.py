# SPDX-License-Identifier: Apache-2.0
"""Arms share a letter exactly if they were not told apart, by tests that hold together."""

from itertools import combinations

import numpy as np
import pytest

from vla_drop_ros.trials.pairwise import holm_adjusted, letter_display, pairwise_tests
from vla_drop_ros.trials.statistics import mcnemar_exact

MULTITEST = pytest.importorskip('statsmodels.stats.multitest')


@pytest.mark.parametrize('arms', [2, 3, 4, 5, 6])
def test_letters_say_what_was_told_apart(arms: int) -> None:
    """For random patterns: a letter in common if and only if the two are not different."""
    rng, names = np.random.default_rng(arms), [f'arm{place}' for place in range(arms)]
    for _ in range(60):
        different = [duo for duo in combinations(names, 2) if rng.random() < 0.4]
        letters = letter_display(names, different)
        for one, other in combinations(names, 2):
            assert bool(set(letters[one]) & set(letters[other])) == ((one, other) not in different)
        assert all(letters.values())
        groups = [{name for name in names if letter in letters[name]}
                  for letter in set(''.join(letters.values()))]
        assert not any(one < other for one in groups for other in groups)  # none too many


def test_the_best_has_the_first_letter() -> None:
    """Alike: all a. The worst alone different: b. A chain: the middle has both."""
    assert letter_display('xyz', []) == {'x': 'a', 'y': 'a', 'z': 'a'}
    assert letter_display('xyz', [('x', 'z'), ('z', 'y')]) == {'x': 'a', 'y': 'a', 'z': 'b'}
    assert letter_display('xyz', [('z', 'x')]) == {'x': 'a', 'y': 'ab', 'z': 'b'}


def test_holm_is_that_of_statsmodels() -> None:
    """Adjusted values agree for random families, ties among them."""
    rng = np.random.default_rng(3)
    for size in (1, 2, 3, 10):
        values = np.round(rng.random(size) ** 3, 2)
        expected = MULTITEST.multipletests(values, method='holm')[1]
        assert holm_adjusted(list(values)) == pytest.approx(expected)


def test_every_two_arms_are_tested_on_the_same_scenes() -> None:
    """Counts and p values are those of the columns; unequal columns are refused."""
    solved = {'a': [True] * 12, 'b': [True] * 10 + [False] * 2, 'c': [False] * 12}
    tests = {(one.first, one.second): one for one in pairwise_tests(solved)}
    assert set(tests) == {('a', 'b'), ('a', 'c'), ('b', 'c')}
    assert (tests['a', 'b'].first_only, tests['a', 'b'].second_only) == (2, 0)
    assert tests['b', 'c'].p_value == mcnemar_exact(10, 0)
    assert tests['a', 'c'].adjusted == pytest.approx(3 * mcnemar_exact(12, 0))
    with pytest.raises(ValueError, match='same ones'):
        pairwise_tests({'a': [True], 'b': []})
