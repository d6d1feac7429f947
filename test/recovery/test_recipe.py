# SPDX-License-Identifier: Apache-2.0
"""A recipe refuses what makes no sense, and says how rate and average go."""

from dataclasses import replace
from typing import Any

import pytest

from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.recovery.recipe import Recipe


@pytest.mark.parametrize(('change', 'message'), [
    ({'steps': 0}, 'steps is 0, it must be at least 1'),
    ({'batch_size': 7, 'accumulate': 2}, 'batch_size is 7, it must be a multiple of accumulate 2'),
    ({'learning_rate': 0.0}, 'learning_rate is 0.0, it must be greater than 0'),
    ({'learning_rate': float('nan')}, 'learning_rate is nan'),
    ({'average': 1.0}, r'average is 1.0, it must be in \[0, 1\)'),
    ({'share': 0.0}, r'share is 0.0, it must be in \(0, 1\]'),
    ({'method': 'lore'}, "unknown method 'lore'; valid: full, lora. Did you mean 'lora'"),
    ({'schedule': 'linear'}, "unknown schedule 'linear'; valid: constant, cosine"),
    ({'precision': 'int8'}, "unknown precision 'int8'"),
])
def test_nonsense_is_named(change: dict[str, Any], message: str) -> None:
    """The message holds the name, the value and what is valid."""
    with pytest.raises(RecoveryError, match=message):
        Recipe(**change)


def test_the_rate_rises_and_falls() -> None:
    """Linear warm-up; cosine ends at 2 %, constant stays."""
    recipe = Recipe(steps=100, warm_up=10, learning_rate=1.0)
    assert recipe.rate(0) == pytest.approx(0.1, rel=1e-2)
    assert recipe.rate(49) == pytest.approx(0.5, abs=0.03)
    assert recipe.rate(99) == pytest.approx(0.02, abs=1e-3)
    assert replace(recipe, schedule='constant').rate(99) == 1.0
    assert replace(recipe, warm_up=0).rate(0) == 1.0


def test_the_average_begins_short() -> None:
    """After one step it holds mostly the new weights; later the decay asked for; 0 never looks."""
    recipe = Recipe(average=0.98)
    assert recipe.decay(1) < 0.1 and recipe.decay(10_000) == 0.98
    assert replace(recipe, average=0.0).decay(500) == 0.0


def test_the_hash_tells_recipes_apart() -> None:
    """Equal recipes share a hash, any other number changes it."""
    assert Recipe().digest() == Recipe().digest() != Recipe(seed=1).digest()
