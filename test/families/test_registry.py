# SPDX-License-Identifier: Apache-2.0
"""Families are found by name and by a live model."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.registry import family, family_of


@pytest.mark.parametrize('name', ['pi0', 'paligemma', 'prismatic'])
def test_names_and_models_lead_to_the_same(
        name: str, tiny_model: Callable[..., Any], tiny_prismatic: Callable[..., Any]) -> None:
    """What a model says of itself is the name in the registry."""
    model = tiny_prismatic() if name == 'prismatic' else tiny_model(name)
    assert family_of(model) is family(name) and family(name).name == name


def test_unknown_families_are_refused() -> None:
    """The valid ones are listed."""
    with pytest.raises(CheckpointError, match=r"'octo'; valid: .*pi0.*smolvla"):
        family('octo')
    with pytest.raises(CheckpointError, match="'bert'"):
        family_of(SimpleNamespace(config=SimpleNamespace(model_type='bert')))
