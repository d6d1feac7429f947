# SPDX-License-Identifier: Apache-2.0
"""A model that stays on disk answers as one in memory, and only a layer of it is ever here."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vla_drop_ros.families.registry import family
from vla_drop_ros.policies.calibration import Calibration
from vla_drop_ros.pruning.criterion import criterion, Subject
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.streaming import STREAMED, streamed_model


def test_answers_equal_those_of_the_model_in_memory(
        tiny_pair: tuple[Path, Path], subject: Subject) -> None:
    """Not one bit differs, and no parameter is in memory before or after."""
    model = streamed_model(tiny_pair[0])
    inputs, noise = subject.family.fixed_inputs(subject.model, 2, 4)
    assert torch.equal(subject.family.act(model, inputs, noise),
                       subject.family.act(subject.model, inputs, noise))
    assert {parameter.device.type for parameter in model.parameters()} == {'meta'}


@pytest.mark.parametrize('name', [name for name in STREAMED if name not in (
    'random', 'uniform', 'keep-first', 'endpoints')])
def test_scores_equal_those_of_the_model_in_memory(
        tiny_pair: tuple[Path, Path], subject: Subject, name: str) -> None:
    """For every criterion that can be streamed."""
    streamed = Subject(subject.family, streamed_model(tiny_pair[0]), subject.batches,
                       subject.weights, subject.base)
    for one, other in zip(criterion(name).measure(subject), criterion(name).measure(streamed),
                          strict=True):
        assert (one.stack, one.unit) == (other.stack, other.unit)
        for block, again in zip(one.values, other.values, strict=True):
            assert np.allclose(block, again, rtol=1e-6, equal_nan=True)


def test_a_reduced_structure_streams_too(
        tiny_pair: tuple[Path, Path], tmp_path: Path, calibration: Calibration) -> None:
    """A pruned checkpoint, in shards, is as good as a whole one."""
    drop_checkpoint(tiny_pair[0], tmp_path / 'smaller', Plan(
        {'language': {'keep-kv': (1,)}, 'vision': {'mha': (0,)}}, dead=True))
    losses = family('pi0').loss(streamed_model(tmp_path / 'smaller'), calibration.batches[0])
    assert torch.isfinite(losses).all()


def test_one_layer_is_resident_at_a_time(tiny_pair: tuple[Path, Path], subject: Subject) -> None:
    """While a layer computes, the others' weights are nowhere."""
    model, seen = streamed_model(tiny_pair[0]), []

    def look(*_: object) -> None:
        seen.append(sum(parameter.device.type != 'meta' for parameter in model.parameters()))

    for block in model.model.vlm.language_model.layers:
        block.mlp.up_proj.register_forward_pre_hook(look)
    inputs, noise = subject.family.fixed_inputs(subject.model, 2, 4)
    subject.family.act(model, inputs, noise)
    assert len(seen) == 4 and max(seen) <= 2
