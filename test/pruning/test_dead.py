# SPDX-License-Identifier: Apache-2.0
"""Dead compute: what structure and gradients both call dead goes, and no action notices."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.policies.calibration import Calibration
from vla_drop_ros.pruning.dead import prove_dead, remove_dead, without_gradient
from vla_drop_ros.pruning.drop import apply_plan, drop_checkpoint
from vla_drop_ros.pruning.plan import Plan

Maker = Callable[..., Any]


def answers(model: Any) -> list[torch.Tensor]:
    """Return chunks for a few fixed inputs."""
    family = family_of(model)
    return [family.act(model, *family.fixed_inputs(model, 2, seed)) for seed in range(5)]


def parameters(model: Any) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_last_language_block_and_the_expert_s_words_go(tiny_model: Maker) -> None:
    """Of pi0: queries, output and MLP of the last language block, its norm, unused words."""
    model = tiny_model()
    before, size = answers(model), parameters(model)
    removed = prove_dead(family_of(model), model, 2, Journal())
    assert [one['what'] for one in removed] == [
        'model.dit.embed_tokens', 'model.vlm.language_model.norm',
        'language block 3: queries, output and MLP']
    assert all(torch.equal(old, new) for old, new in zip(before, answers(model), strict=True))
    assert size - parameters(model) == sum(one['parameters'] for one in removed) > 0


def test_structure_and_gradient_agree(tiny_model: Maker, calibration: Calibration) -> None:
    """What no gradient reaches is exactly what the structure calls dead."""
    model = tiny_model()
    family = family_of(model)
    names = {name for name, why in without_gradient(
        family, model, calibration.batches[0]).items() if why == 'unreached'}
    whole = set(dict(model.named_parameters()))
    remove_dead(family, model, Journal())
    assert names == whole - set(dict(model.named_parameters()))
    left = without_gradient(family, model, calibration.batches[0])
    assert 'unreached' not in left.values()


def test_what_an_earlier_drop_left_dead_goes_too(tiny_model: Maker) -> None:
    """Keys and values without a reader, and blocks of which nothing is left."""
    model = tiny_model()
    family = family_of(model)
    apply_plan(family, model, Plan({'language': {'keep-kv': (1,)}, 'action': {'whole': (1, 3)}}),
               Journal())
    before = answers(model)
    removed = [one['what'] for one in prove_dead(family, model, 2, Journal())]
    assert 'language block 1: keys and values' in removed
    assert 'language blocks [1]' in removed
    assert 'language blocks [3]' in removed  # behind the last block that is read
    assert all(torch.equal(old, new) for old, new in zip(before, answers(model), strict=True))
    assert len(model.model.vlm.language_model.layers) == 2


def test_it_is_taken_back(tiny_model: Maker) -> None:
    """A trial removal leaves the model as it was."""
    model, journal = tiny_model(), Journal()
    size = parameters(model)
    prove_dead(family_of(model), model, 2, journal)
    journal.undo()
    assert parameters(model) == size


def test_a_wrong_structure_is_caught(tiny_model: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a family called living weights dead, the proof would refuse and restore them."""
    model = tiny_model()
    family, before, size = family_of(model), answers(model), parameters(model)
    sites = replace(family.sites(family.config(model)), unused=('model.dit.norm',))
    monkeypatch.setattr(type(family), 'sites', lambda *_: sites)
    with pytest.raises(PlanError, match='changed an action'):
        prove_dead(family, model, 2, Journal())
    monkeypatch.undo()
    assert parameters(model) == size
    assert all(torch.equal(old, new) for old, new in zip(before, answers(model), strict=True))


def test_a_folder_without_dead_parts_loads_and_says_so(
        tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The manifest lists what nothing read; a second pass finds nothing more."""
    before = load_checkpoint(tiny_checkpoint)[0]
    manifest = drop_checkpoint(tiny_checkpoint, tmp_path / 'lossless', Plan(dead=True))
    model, _ = load_checkpoint(tmp_path / 'lossless')
    assert manifest.dropped is not None and len(manifest.dropped['dead']) == 3
    assert all(torch.equal(old, new) for old, new in zip(
        answers(before), answers(model), strict=True))
    assert remove_dead(family_of(model), model, Journal()) == []


def test_the_vision_language_model_has_nothing_dead(write_tiny: Maker, tmp_path: Path) -> None:
    """There the output words read the last block."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    model, _ = load_checkpoint(tmp_path / 'vlm')
    assert remove_dead(family_of(model), model, Journal()) == []
