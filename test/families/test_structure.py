# SPDX-License-Identifier: Apache-2.0
"""What a configuration cannot say goes through the structure and comes back the same."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.checkpoint import empty_model
from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.pi0 import PI0
from vla_drop_ros.families.structure import difference, reduce, scan
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.pruning.drop import drop_checkpoint, dropped
from vla_drop_ros.pruning.plan import Plan

PLANS = {
    'parts': Plan({'language': {'keep-kv': (1,), 'mha': (2,), 'mlp': (0,)},
                   'action': {'mha': (3,)}, 'vision': {'mlp': (1,)}}),
    'unread': Plan({'action': {'whole': (2,)}}),
    'widths': Plan(channels={'language': {1: (0, 3)}, 'vision': {0: (5,)}},
                   heads={'vision': {2: (0,)}}),
    'dead': Plan(dead=True),
}


@pytest.mark.parametrize('name', PLANS)
def test_a_folder_is_built_as_it_was_saved(
        name: str, tiny_pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Structure, shapes and names of parameters come back from the folder alone."""
    drop_checkpoint(tiny_pair[0], tmp_path / 'smaller', PLANS[name])
    manifest = load_manifest(tmp_path / 'smaller')
    again = empty_model(tmp_path / 'smaller', 'pi0', manifest.structure)
    # Only what is of JSON was kept.
    assert json.loads(json.dumps(manifest.structure)) == manifest.structure
    with_parts = scan(PI0, again)
    assert difference(PI0, again, PI0.build(tmp_path / 'smaller')) == manifest.structure
    assert with_parts != scan(PI0, PI0.build(tmp_path / 'smaller'))


def test_what_a_configuration_can_say_is_not_repeated(tiny_model: Callable[..., Any]) -> None:
    """A whole model has no structure, and neither has one with fewer blocks of a tied stack."""
    model = tiny_model()
    assert difference(PI0, model, tiny_model()) == {}
    with dropped(PI0, model, Plan({'language': {'tied': (1, 2)}})):
        assert difference(PI0, model, tiny_model(language=2)) == {}
        with pytest.raises(CheckpointError, match='states 4 language blocks, the model has 2'):
            difference(PI0, model, tiny_model())


@pytest.mark.parametrize('structure', [
    {'blocks': {'language': {'9': {'left': [], 'heads': 0, 'key_value_heads': 0}}}},
    {'blocks': {'wheels': {}, 'language': {'0': {'left': ['nose']}}}},
    {'blocks': {'language': {'one': {}}}},
    {'absent': ['model.nowhere.norm']},
])
def test_a_structure_that_does_not_fit_is_refused(
        structure: dict[str, Any], tiny_model: Callable[..., Any]) -> None:
    """A damaged manifest is named, not half carried out."""
    with pytest.raises(CheckpointError, match='does not fit the configuration'):
        reduce(PI0, tiny_model(), structure)
