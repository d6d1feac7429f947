# SPDX-License-Identifier: Apache-2.0
"""Losses are zero for perfect answers, blind to what is unknown, and reach every weight."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from vla_drop_ros.reference import adapt, losses, pretrain
from vla_drop_ros.reference.batches import Batch, make_batch, Source
from vla_drop_ros.reference.model import (
    build_vla,
    build_vlm,
    Heads,
    IMAGE_TOKENS,
    PATCHES,
    Tap,
    THINGS,
    vocabulary,
    WIDTH,
)

FRAMES, REPEATS = 4, 2


@pytest.fixture(scope='module')
def batch(frames_folder: Path) -> Batch:
    """Return a small batch with questions and instructions."""
    source = Source(frames_folder, {'still': 0.5, 'demo': 0.5})
    return make_batch(source, vocabulary(), np.random.default_rng(0), FRAMES, REPEATS, 0.7)


def without_gradient(*modules: torch.nn.Module) -> list[str]:
    """Return the names of weights that the last backward did not reach."""
    return [name for module in modules for name, parameter in module.named_parameters()
            if parameter.grad is None or not parameter.grad.any()]


def backward(parts: losses.Parts, weights: dict[str, float]) -> None:
    """Sum the parts as the trainer does and go back."""
    assert set(parts) <= set(weights)
    assert all(torch.isfinite(part) for part in parts.values())
    sum(weights[name] * part for name, part in parts.items()).backward()


def test_perfect_detection_costs_nothing(batch: Batch) -> None:
    """Sure logits in the right patches, exact offsets and positions: all parts vanish."""
    cameras = batch.thing.shape[1]
    present = functional.one_hot(batch.thing + 1, PATCHES + 1)[..., 1:].transpose(2, 3).float()
    shift = batch.thing_offset[:, :, None].expand(-1, -1, PATCHES, -1, -1)
    detected = torch.cat([40 * present[..., None] - 20, shift], -1)
    located = batch.thing_position[:, :, None].expand(-1, -1, PATCHES, -1, -1)
    heads: Any = SimpleNamespace(
        detect=lambda _: detected.reshape(FRAMES, cameras * PATCHES, 3 * THINGS),
        locate=lambda _: located.reshape(FRAMES, cameras * PATCHES, 3 * THINGS))
    parts = losses.detection(heads, torch.zeros(FRAMES, IMAGE_TOKENS, WIDTH), batch)
    for name, part in parts.items():
        assert part.item() == pytest.approx(0.0, abs=1e-6), name
    detected[..., 1] += 0.3  # every column off by 0.3 of a patch, half of the two coordinates
    parts = losses.detection(heads, torch.zeros(FRAMES, IMAGE_TOKENS, WIDTH), batch)
    assert parts['shift'].item() == pytest.approx(0.15, abs=1e-6)


def test_pretraining_reaches_every_weight(batch: Batch) -> None:
    """The language stage trains vision, language and its heads; only the guess comes later."""
    torch.manual_seed(0)
    vlm, heads = build_vlm(vocabulary()), Heads()
    backward(losses.language(vlm, heads, Tap(vlm.model.language_model), batch, REPEATS),
             pretrain.WEIGHTS)
    missed = without_gradient(vlm, heads)
    assert missed == ['guess.weight', 'guess.bias']


def test_adaptation_reaches_the_action_expert(batch: Batch) -> None:
    """The flow stage trains vision, language and action expert together."""
    torch.manual_seed(0)
    heads = Heads()
    vla = build_vla(build_vlm(vocabulary()))
    tap = Tap(vla.model.vlm.language_model)
    backward(losses.flow(vla, heads, tap, batch, REPEATS, draws=2), adapt.WEIGHTS)
    missed = without_gradient(vla, heads)
    # The expert reads keys and values of the last language block, not its output; it has no words.
    idle = ('language_model.layers.7.', 'language_model.norm.', 'dit.embed_tokens.')
    assert not [name for name in missed if not any(part in name for part in idle)]
    assert not [name for name in missed if 'k_proj' in name or 'v_proj' in name]


def test_rehearsal_speaks_with_the_words_it_reads(batch: Batch) -> None:
    """During adaptation questions are answered through the tied input words."""
    torch.manual_seed(0)
    vlm = build_vlm(vocabulary())
    vla = build_vla(vlm)
    heads = Heads()
    with torch.no_grad():
        own = losses.language(vlm, heads, Tap(vlm.model.language_model), batch, REPEATS)
        rehearsed = losses.language(adapt.Rehearsal(vla), heads,
                                    Tap(vla.model.vlm.language_model), batch, REPEATS)
    for name, part in own.items():
        torch.testing.assert_close(part, rehearsed[name], msg=name)
