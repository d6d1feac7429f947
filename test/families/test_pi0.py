# SPDX-License-Identifier: Apache-2.0
"""The pi0 family computes what transformers computes, and reads keys as others write them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.pi0 import PALIGEMMA, PI0
from vla_drop_ros.policies.calibration import Calibration


def test_loss_is_that_of_transformers(tiny_policy: Any, calibration: Calibration) -> None:
    """The error by sample is the mean of the errors of each draw, computed one by one."""
    batch, model = calibration.batches[0], tiny_policy.model
    with torch.no_grad():
        found = PI0.loss(model, batch)
        for row in range(len(batch)):
            expected = []
            for draw in range(batch.time.shape[1]):
                noise, time = batch.noise[row:row + 1, draw], batch.time[row:row + 1, draw]
                actions = batch.actions[row:row + 1]
                velocity = model(
                    **{name: tensor[row:row + 1] for name, tensor in batch.inputs.items()},
                    pixel_attention_mask=torch.ones(1, 2, dtype=torch.bool),
                    noise=noise, timestep=time, actions=actions).logits
                error = (velocity - (noise - actions)) ** 2 * batch.weights[row]
                expected.append(float(error.sum() / batch.weights[row].sum()))
            assert found[row] == pytest.approx(np.mean(expected), rel=1e-4)


def test_padded_steps_do_not_count(tiny_policy: Any, calibration: Calibration) -> None:
    """A step behind the end of an episode moves a loss only while its weight is 1."""
    batch, moved = calibration.batches[0], {}
    for weight in (0.0, 1.0):
        weights, actions = batch.weights.clone(), batch.actions.clone()
        weights[:, 3] = weight
        before = replace(batch, weights=weights)
        actions[:, 3, 0] += 1e-3
        with torch.no_grad():
            # The last step also feeds the expert, so only a small change isolates its target.
            moved[weight] = (PI0.loss(tiny_policy.model, replace(before, actions=actions))
                             - PI0.loss(tiny_policy.model, before)).abs()
    assert (moved[0.0] < moved[1.0]).all()


def test_flow_times_are_quantiles_of_the_training_distribution(tiny_policy: Any) -> None:
    """They rise with the share and agree with draws of pi0's shifted beta distribution."""
    shares, config = np.linspace(0.01, 0.99, 50), tiny_policy.model.config
    times = PI0.flow_times(tiny_policy.model, shares)
    assert (np.diff(times) > 0).all() and times[0] > 0.0 and times[-1] <= 1.0
    drawn = config.time_sampling_offset + config.time_sampling_scale * np.random.default_rng(
        0).beta(config.time_sampling_beta_alpha, config.time_sampling_beta_beta, 100_000)
    assert np.abs(np.quantile(drawn, shares) - times).max() < 0.02


@pytest.mark.parametrize(('key', 'name'), [
    ('model.dit.layers.0.mlp.up_proj.weight', 'model.dit.layers.0.mlp.up_proj.weight'),
    ('paligemma_with_expert.gemma_expert.model.layers.3.mlp.up_proj.weight',
     'model.dit.layers.3.mlp.up_proj.weight'),
    ('paligemma_with_expert.paligemma.model.language_model.model.norm.weight',
     'model.vlm.language_model.norm.weight'),
    ('paligemma_with_expert.paligemma.model.vision_tower.encoder.layers.0.layer_norm1.weight',
     'model.vlm.vision_tower.encoder.layers.0.layer_norm1.weight'),
    ('state_proj.weight', 'embed_action_time.state_proj.weight'),
    ('action_out_proj.weight', 'action_out_proj.weight'),
    ('language_model.model.layers.0.mlp.up_proj.weight',
     'model.language_model.layers.0.mlp.up_proj.weight'),
])
def test_keys_of_others_mean_the_same_parameter(key: str, name: str) -> None:
    """What openpi, lerobot and older transformers call a tensor is known."""
    assert PI0.module_name(key) == name


@pytest.mark.parametrize('family', [PI0, PALIGEMMA])
def test_folder_and_model_say_the_same(
        family: Any, write_tiny: Callable[..., Any], tmp_path: Path) -> None:
    """Sites come out equal from a folder and from the live model built of it."""
    write_tiny(tmp_path / 'one', family=family.name)
    model = family.build(tmp_path / 'one')
    assert all(parameter.is_meta for parameter in model.parameters())
    assert family.sites(family.read_config(tmp_path / 'one')) == family.sites(
        family.config(model))
    depths = [len(stack) for stack in stacks(family, model).values()]
    assert depths == ([3, 4, 4] if family is PI0 else [3, 4])


def test_every_block_parameter_has_a_part(tiny_model: Callable[..., Any]) -> None:
    """No parameter of a block escapes the sites: what goes would be counted wrongly."""
    for family in (PI0, PALIGEMMA):
        model = tiny_model(family.name)
        sites = family.sites(family.config(model))
        places = [place for name, _ in model.named_parameters() if (place := sites.locate(name))]
        assert len(places) > 50 and all(part is not None for _, _, part in places)


def test_a_vision_language_model_has_no_action_loss(
        tiny_model: Callable[..., Any], calibration: Calibration) -> None:
    """It answers with logits, and does not act."""
    model = tiny_model('paligemma')
    inputs, noise = PALIGEMMA.fixed_inputs(model, 2, 0)
    assert PALIGEMMA.act(model, inputs, noise).shape == (1, 14)
    with pytest.raises(ValueError, match='no action loss'):
        PALIGEMMA.loss(model, calibration.batches[0])
