# SPDX-License-Identifier: Apache-2.0
"""The SmolVLA adapter: what lerobot would say of the same observation, in the robot's units."""

from collections.abc import Callable
import logging
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.errors import CheckpointError, ObservationError
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.policies.registry import assemble_policy, load_policy
from vla_drop_ros.types import CameraSpec, Observation

pytestmark = pytest.mark.usefixtures('one_thread')
Observe = Callable[..., Observation]
INSTRUCTION = 'put the red cube in the left bin'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory, write_smolvla: Callable[..., Any]) -> Path:
    """Return a tiny checkpoint with a camera that is wider than high."""
    path = tmp_path_factory.mktemp('policies') / 'tiny'
    write_smolvla(path, cameras={
        'front': CameraSpec(width=20, height=20), 'wrist': CameraSpec(width=20, height=12)})
    return path


@pytest.fixture(scope='module')
def loaded(folder: Path) -> ModelPolicy:
    """Return that checkpoint loaded as the robot does."""
    policy = load_policy(folder, device='cpu')
    assert isinstance(policy, ModelPolicy)
    return policy


@pytest.fixture
def policy(loaded: ModelPolicy) -> ModelPolicy:
    """Return the policy as if it were freshly loaded."""
    loaded.reset()
    return loaded


def test_chunk_has_units_stamp_and_checkpoint(policy: ModelPolicy, observe: Observe) -> None:
    """A chunk carries the capture stamp, the spec's shape and the short hash."""
    chunk = policy.infer(observe())
    assert chunk.stamp == 1.5 and chunk.latency > 0
    assert chunk.actions.shape == (4, 4) and np.isfinite(chunk.actions).all()
    assert chunk.checkpoint == policy.checkpoint and len(chunk.checkpoint) == 12


def test_actions_are_those_of_lerobot(policy: ModelPolicy) -> None:
    """Images, words and state go lerobot's way; its chunk times std plus mean comes out."""
    rng, noise = np.random.default_rng(3), np.random.default_rng(4).standard_normal((4, 4))
    images = {'front': rng.integers(0, 256, (20, 20, 3), np.uint8),
              'wrist': rng.integers(0, 256, (12, 20, 3), np.uint8)}
    observation = Observation(0.0, images, rng.uniform(0.0, 0.4, 4), INSTRUCTION)
    words = policy.model.model.vlm_with_expert.processor.tokenizer(
        [f'{INSTRUCTION}\n'], max_length=48, truncation=True, padding='longest',
        padding_side='right', return_tensors='pt')
    batch = {f'observation.images.{name}': torch.from_numpy(image).movedim(-1, 0)[None] / 255.0
             for name, image in images.items()}
    state = policy.normalization.state.normalize(observation.state)
    chunk = policy.model.predict_action_chunk(
        {**batch, 'observation.state': torch.from_numpy(state)[None].float(),
         'observation.language.tokens': words['input_ids'],
         'observation.language.attention_mask': words['attention_mask'].bool()},
        noise=policy.widen(noise[None]))
    expected = policy.normalization.action.denormalize(chunk[0].double().numpy())
    assert np.allclose(policy.infer(observation, noise).actions, expected, atol=1e-5)


def test_batch_equals_single_calls(policy: ModelPolicy, observe: Observe) -> None:
    """A row of a batch, padded by a longer neighbour, equals the same observation alone."""
    observations = [observe(0, 'red cube'), observe(1), observe(2, 'put the blue cube ' * 6)]
    noise = np.random.default_rng(5).standard_normal((3, 4, 4))
    batch = policy.infer_batch(observations, seed=5)
    for observation, row, chunk in zip(observations, noise, batch, strict=True):
        assert np.allclose(chunk.actions, policy.infer(observation, row).actions, atol=1e-5)


def test_traced_graph_follows_every_input(policy: ModelPolicy, observe: Observe,
                                          caplog: pytest.LogCaptureFixture) -> None:
    """The sampler is traced, and one graph serves other images, states and words."""
    with caplog.at_level(logging.WARNING):
        policy.warm_up()
    assert 'untraced' not in caplog.text
    noise = policy.widen(np.random.default_rng(1).standard_normal((1, 4, 4)))
    for seed, text in ((1, 'blue bin'), (2, INSTRUCTION)):
        inputs, _ = policy.encode([observe(seed, text)])
        with torch.inference_mode():
            assert torch.allclose(
                policy._traced[policy.shape_key(inputs)](inputs, noise),
                policy.family.act(policy.model, inputs, noise), atol=1e-5)


def test_long_instruction_is_cut_where_lerobot_cuts(
        policy: ModelPolicy, observe: Observe) -> None:
    """What is longer than the tokens that lerobot reads is cut off, and answered."""
    observation = observe(0, 'red cube ' * 40)
    inputs, _ = policy.encode([observation])
    assert inputs['input_ids'].shape == (1, 48) and inputs['attention_mask'].all()
    assert policy.infer(observation).actions.shape == (4, 4)


def test_unknown_words_are_counted_and_nonsense_refused(
        policy: ModelPolicy, observe: Observe) -> None:
    """A few unknown words are reported; an instruction of nothing else is refused."""
    assert policy.infer(observe(0, 'Put the purple cube, please!')).info['unknown_words'] == 2
    with pytest.raises(ObservationError, match='no word of the instruction'):
        policy.infer(observe(0, 'bonjour'))


def test_missing_camera_and_short_state_are_named(policy: ModelPolicy) -> None:
    """An observation that does not fit is refused, naming the camera or the state."""
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ObservationError, match='wrist'):
        policy.infer(Observation(0.0, {'front': image}, np.zeros(4), 'red cube'))
    with pytest.raises(ObservationError, match=r'gripper\.width'):
        policy.infer(Observation(0.0, {'front': image, 'wrist': image}, np.zeros(3), 'red cube'))


def test_bent_joints_are_refused(folder: Path) -> None:
    """What lerobot converts for one robot is not converted here, so such a policy is refused."""
    model, manifest = load_checkpoint(folder)
    model.config.adapt_to_pi_aloha = True
    with pytest.raises(CheckpointError, match='adapt_to_pi_aloha'):
        assemble_policy(model, manifest, folder)


def test_damaged_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """A file of the VLM that was changed is noticed like any other."""
    copy = tmp_path / 'copy'
    shutil.copytree(folder, copy)
    (copy / 'vlm' / 'tokenizer.json').write_text('{}')
    with pytest.raises(CheckpointError, match=r'vlm/tokenizer\.json differs'):
        load_policy(copy, device='cpu')
