# SPDX-License-Identifier: Apache-2.0
"""The prismatic adapter: each tower its own pixels, one prompt, a chunk in the robot's units."""

from collections.abc import Callable
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
import torch

from vla_drop_ros.errors import CheckpointError, ObservationError
from vla_drop_ros.policies.prismatic import PrismaticPolicy, PROMPT
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.types import ActionSpec, Observation

Maker = Callable[..., Any]
Observe = Callable[..., Observation]


@pytest.fixture(scope='module')
def policy(tmp_path_factory: pytest.TempPathFactory, write_prismatic: Maker) -> PrismaticPolicy:
    """Return one loaded tiny checkpoint for the whole file."""
    folder = tmp_path_factory.mktemp('policies') / 'tiny'
    write_prismatic(folder)
    found = load_policy(folder, device='cpu')
    assert isinstance(found, PrismaticPolicy)
    return found


def test_chunk_is_the_denormalised_output_of_the_model(
        policy: PrismaticPolicy, observe: Observe) -> None:
    """What the model says, times std plus mean, with the capture stamp and the short hash."""
    observation = observe()
    inputs, _ = policy.encode([observation])
    with torch.no_grad():
        raw = policy.model(**inputs)[0].double().numpy()
    chunk = policy.infer(observation)
    statistics = policy.normalization.action
    assert chunk.actions.shape == (4, 4) and np.isfinite(chunk.actions).all()
    assert np.allclose(chunk.actions, raw * statistics.std + statistics.mean, atol=1e-6)
    assert chunk.stamp == 1.5 and chunk.checkpoint == policy.checkpoint
    assert chunk.spec.names == ('x', 'y', 'z', 'gripper')


def test_prompt_and_state_are_what_the_model_was_trained_on(
        policy: PrismaticPolicy, observe: Observe) -> None:
    """BOS, the lower-cased question, padding to a multiple of 16; and a normalised state."""
    observation = observe(0, 'Put the RED cube')
    inputs, counts = policy.encode([observation])
    text = PROMPT.format('put the red cube')
    assert text == 'In: What action should the robot take to put the red cube?\nOut:'
    words = policy.tokenizer.encode(text, add_special_tokens=False).ids
    ids = inputs['input_ids'][0].tolist()
    assert ids[:len(words) + 1] == [3, *words] and len(ids) % 16 == 0 and counts == [0]
    assert inputs['attention_mask'].sum() == len(words) + 1 + 2 * 4 + 1 + 4 * 4 + 1
    state = policy.normalization.state
    assert np.allclose(inputs['state'][0], (observation.state - state.mean) / state.std, atol=1e-5)


def test_each_tower_has_its_own_normalisation_and_size(
        tiny_prismatic: Maker, write_prismatic: Maker, tmp_path: Path, observe: Observe) -> None:
    """DINOv2 sees ImageNet's statistics, SigLIP [-1, 1], both the same camera at their sizes."""
    dino = tiny_prismatic().config.dino_config.to_dict()
    write_prismatic(tmp_path / 'two', tiny_prismatic(
        dino_config={**dino, 'image_size': 28, 'patch_size': 14}))
    policy, observation = load_policy(tmp_path / 'two', device='cpu'), observe()
    assert isinstance(policy, PrismaticPolicy)
    observation.images['wrist'][:] = 255
    inputs, _ = policy.encode([observation])
    assert inputs['dino_pixels'].shape == (1, 2, 3, 28, 28)
    assert inputs['siglip_pixels'].shape == (1, 2, 3, 20, 20)
    assert torch.allclose(inputs['siglip_pixels'][0, 1], torch.ones(3, 20, 20))
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(inputs['dino_pixels'][0, 1].mean((1, 2)), white)
    front = observation.images['front'].astype(np.float32) / 127.5 - 1
    assert np.allclose(inputs['siglip_pixels'][0, 0], front.transpose(2, 0, 1), atol=1e-6)


def test_noise_changes_nothing_and_words_do(policy: PrismaticPolicy, observe: Observe) -> None:
    """The same observation gives the same chunk each time; another instruction does not."""
    first, second = policy.infer(observe()), policy.infer(observe(), np.ones((4, 4)))
    assert np.array_equal(first.actions, second.actions)
    left = policy.infer(observe(0, 'red cube left'))
    assert not np.allclose(left.actions, policy.infer(observe(0, 'red cube right')).actions)


def test_batch_equals_single_calls(policy: PrismaticPolicy, observe: Observe) -> None:
    """A row of a batch, padded by a longer neighbour, equals the same observation alone."""
    observations = [observe(0, 'red cube'), observe(1), observe(2, 'put the blue cube ' * 6)]
    for observation, chunk in zip(
            observations, policy.infer_batch(observations, seed=5), strict=True):
        assert np.allclose(chunk.actions, policy.infer(observation).actions, atol=1e-5)


def test_traced_graph_follows_every_input(
        policy: PrismaticPolicy, observe: Observe, caplog: pytest.LogCaptureFixture) -> None:
    """One graph serves other images, states and words: nothing of the warm-up is baked in."""
    with caplog.at_level(logging.WARNING):
        policy.warm_up()
    assert 'untraced' not in caplog.text
    noise = torch.zeros(1, 4, 4)
    for seed, text in ((1, 'blue bin'), (2, 'put the red cube in the right bin')):
        inputs, _ = policy.encode([observe(seed, text)])
        sampler = policy._traced[policy.shape_key(inputs)]
        with torch.inference_mode():
            assert torch.allclose(sampler(inputs, noise), policy.family.act(
                policy.model, inputs, noise), atol=1e-5)


def test_loss_counts_what_is_inside_the_episode(
        policy: PrismaticPolicy, observe: Observe) -> None:
    """The L1 error in the model's units; steps behind the end of an episode do not count."""
    actions, valid = np.zeros((2, 4, 4)), np.ones((2, 4))
    valid[0, 2:] = 0
    batch = policy.batch([observe(0), observe(1)], actions, valid, np.zeros((2, 1, 4, 4)),
                         policy.family.flow_times(policy.model, np.full((2, 1), 0.5)))
    wanted = policy.normalization.action.normalize(actions)
    error = np.abs(policy.family.act(policy.model, batch.inputs, batch.noise).numpy() - wanted)
    assert np.allclose(policy.family.loss(policy.model, batch).numpy(),
                       [error[0, :2].mean(), error[1].mean()], rtol=1e-5)


def test_unknown_words_are_counted_and_nonsense_refused(
        policy: PrismaticPolicy, observe: Observe) -> None:
    """Only the instruction's own words count, and special tokens cannot be spelt in it."""
    assert policy.infer(observe(0, 'Put the purple cube, please!')).info['unknown_words'] == 2
    with pytest.raises(ObservationError, match='no word of the instruction'):
        policy.infer(observe(0, 'bonjour <image>'))


def test_a_tokenizer_of_bytes_knows_every_word(
        policy: PrismaticPolicy, observe: Observe) -> None:
    """Without an unknown token nothing is unknown, and special tokens are left out."""
    letters = {letter: index for index, letter in enumerate(ByteLevel.alphabet())}
    tokenizer = Tokenizer(BPE(letters, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken('</s>', special=True)])
    other = PrismaticPolicy(policy.model, policy.manifest, tokenizer, policy.normalization)
    assert other._check_words(observe(0, 'bonjour')) == 0
    assert other._ids('go</s>') == other._ids('go')
    with pytest.raises(ObservationError, match='no word of the instruction'):
        other._check_words(observe(0, '</s>'))


def test_missing_camera_and_short_state_are_named(policy: PrismaticPolicy) -> None:
    """An observation that does not fit is refused, naming the camera or the state."""
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ObservationError, match='wrist'):
        policy.infer(Observation(0.0, {'front': image}, np.zeros(4), 'red cube'))
    with pytest.raises(ObservationError, match='gripper.width'):
        policy.infer(Observation(0.0, {'front': image, 'wrist': image}, np.zeros(3), 'red cube'))


def test_state_that_the_model_is_not_shown(
        tiny_prismatic: Maker, write_prismatic: Maker, tmp_path: Path, observe: Observe) -> None:
    """Without a state projector the state changes nothing; half a state is a contradiction."""
    write_prismatic(tmp_path / 'blind', tiny_prismatic(state_dim=0))
    policy, observation = load_policy(tmp_path / 'blind', device='cpu'), observe()
    moved = Observation(0.0, observation.images, observation.state + 1, observation.instruction)
    assert np.array_equal(policy.infer(observation).actions, policy.infer(moved).actions)
    write_prismatic(tmp_path / 'half', tiny_prismatic(state_dim=2))
    with pytest.raises(CheckpointError, match='state_dim 2 is less than the state'):
        load_policy(tmp_path / 'half', device='cpu')


def test_another_chunk_length_is_a_contradiction(write_prismatic: Maker, tmp_path: Path) -> None:
    """A manifest that promises other chunks than the model makes is refused."""
    write_prismatic(tmp_path / 'long', action_spec=ActionSpec(
        ('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 6, 2))
    with pytest.raises(CheckpointError, match='contradicts itself'):
        load_policy(tmp_path / 'long', device='cpu')
