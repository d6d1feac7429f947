# SPDX-License-Identifier: Apache-2.0
"""The pi0 adapter: same numbers however a prompt is padded, batched or traced."""

from collections.abc import Callable
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_drop_ros.errors import CheckpointError, ObservationError
from vla_drop_ros.manifest import Manifest
from vla_drop_ros.policies import pi0
from vla_drop_ros.policies.model_policy import fit
from vla_drop_ros.policies.prompt import encode_instructions, pixels
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.types import CameraSpec, Observation

Observe = Callable[..., Observation]


@pytest.fixture(scope='module')
def loaded(tmp_path_factory: pytest.TempPathFactory,
           write_tiny: Callable[..., Manifest]) -> pi0.Pi0Policy:
    """Return one loaded tiny checkpoint for the whole file."""
    folder = tmp_path_factory.mktemp('policies') / 'tiny'
    write_tiny(folder)
    policy = load_policy(folder, device='cpu')
    assert isinstance(policy, pi0.Pi0Policy)
    return policy


@pytest.fixture
def policy(loaded: pi0.Pi0Policy) -> pi0.Pi0Policy:
    """Return the policy as if it were freshly loaded."""
    loaded.reset()
    return loaded


def test_chunk_has_units_stamp_and_checkpoint(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """A chunk carries the capture stamp, the spec's shape and the short hash."""
    chunk = policy.infer(observe())
    assert chunk.stamp == 1.5
    assert chunk.actions.shape == (4, 4)
    assert np.isfinite(chunk.actions).all()
    assert chunk.checkpoint == policy.checkpoint and len(chunk.checkpoint) == 12
    assert chunk.latency > 0


def test_actions_are_the_denormalised_output_of_the_stock_sampler(
        policy: pi0.Pi0Policy, observe: Observe) -> None:
    """What transformers samples, times std plus mean, is what the policy says."""
    noise = np.random.default_rng(3).standard_normal((4, 4))
    observation = observe()
    images = torch.tensor(np.stack([observation.images['front'], observation.images['wrist']]))
    ids, mask = encode_instructions(policy.tokenizer, [observation.instruction], 8)
    state = (observation.state - policy.normalization.state.mean) / policy.normalization.state.std
    raw = policy.model.sample_actions(
        state=torch.tensor(state)[None].float(), input_ids=ids, attention_mask=mask,
        pixel_values=pixels(images)[None], pixel_attention_mask=torch.ones(1, 2).bool(),
        noise=torch.tensor(noise)[None].float())[0].double().numpy()
    statistics = policy.normalization.action
    assert np.allclose(policy.infer(observation, noise).actions,
                       raw * statistics.std + statistics.mean, atol=1e-5)


def test_noise_repeats_after_reset(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """Two chunks in a row differ in noise; reset starts the same sequence again."""
    first, second = policy.infer(observe()), policy.infer(observe())
    policy.reset()
    again = policy.infer(observe())
    assert not np.allclose(first.actions, second.actions)
    assert np.array_equal(first.actions, again.actions)


def test_batch_equals_single_calls(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """A row of a batch, padded by a longer neighbour, equals the same observation alone."""
    observations = [observe(0, 'red cube'), observe(1), observe(2, 'put the blue cube ' * 6)]
    noise = np.random.default_rng(5).standard_normal((3, 4, 4))
    batch = policy.infer_batch(observations, seed=5)
    for observation, row, chunk in zip(observations, noise, batch, strict=True):
        assert np.allclose(chunk.actions, policy.infer(observation, row).actions, atol=1e-5)


def test_traced_graph_follows_every_input(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """One graph serves other images, states and words: nothing of the warm-up is baked in."""
    noise = np.random.default_rng(1).standard_normal((1, 4, 4))
    for seed, text in ((1, 'blue bin'), (2, 'put the red cube in the right bin')):
        inputs, _ = policy.encode([observe(seed, text)])
        sampler, start = policy._traced[policy.shape_key(inputs)], policy.widen(noise)
        with torch.inference_mode():
            assert torch.allclose(sampler(inputs, start), policy.family.act(
                policy.model, inputs, start), atol=1e-5)


def test_long_instruction_is_answered_without_a_stall(
        policy: pi0.Pi0Policy, observe: Observe) -> None:
    """A prompt longer than the traced one runs untraced: no trace is made while moving."""
    before = dict(policy._traced)
    assert policy.infer(observe(0, 'red cube ' * 20)).actions.shape == (4, 4)
    assert policy._traced == before


@pytest.mark.parametrize('failure', ['raises', 'differs'])
def test_untraceable_model_still_runs(
        policy: pi0.Pi0Policy, observe: Observe, failure: str,
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where tracing fails or gives other numbers the plain sampler answers, with a warning."""
    def trace(*_: object, **__: object) -> Callable[..., torch.Tensor]:
        if failure == 'raises':
            raise RuntimeError('no tracing here')
        return lambda *_: torch.zeros(1, 4, 4)
    noise = np.zeros((4, 4))
    expected = policy.infer(observe(), noise)
    monkeypatch.setattr('vla_drop_ros.families.traced._graph', trace)
    monkeypatch.setattr(policy, '_traced', {})
    with caplog.at_level(logging.WARNING):
        policy.warm_up()
    assert np.allclose(policy.infer(observe(), noise).actions, expected.actions, atol=1e-5)
    assert 'untraced' in caplog.text


def test_instruction_changes_the_actions(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """The words reach the actions."""
    noise = np.zeros((4, 4))
    left = policy.infer(observe(0, 'red cube left'), noise)
    right = policy.infer(observe(0, 'red cube right'), noise)
    assert not np.allclose(left.actions, right.actions)


def test_kept_prompt_follows_the_instruction_and_can_be_trained_on(
        policy: pi0.Pi0Policy, observe: Observe) -> None:
    """An instruction is tokenised once, another one anew, also where nothing is differentiated."""
    one, other = observe(0, 'red cube left'), observe(0, 'zork cube')
    with torch.inference_mode():
        (ids, mask), counts = policy.read([one])
    assert not ids.is_inference() and not mask.is_inference() and counts == [0]
    assert policy.read([observe(1, 'red cube left')])[0][0] is ids
    (changed, _), unknown = policy.read([other])
    assert unknown == [1] and not torch.equal(ids, changed)
    assert torch.equal(policy.read([one])[0][0], ids)
    assert policy.read([one, other])[0][0].shape[0] == 2


def test_unknown_words_are_counted_and_nonsense_refused(
        policy: pi0.Pi0Policy, observe: Observe) -> None:
    """A few unknown words are reported; an instruction of nothing else is refused."""
    assert policy.infer(observe(0, 'Put the purple cube, please!')).info['unknown_words'] == 2
    with pytest.raises(ObservationError, match='no word of the instruction'):
        policy.infer(observe(0, 'bonjour <image>'))


def test_missing_camera_and_short_state_are_named(policy: pi0.Pi0Policy) -> None:
    """An observation that does not fit is refused, naming the camera or the state."""
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ObservationError, match='wrist'):
        policy.infer(Observation(0.0, {'front': image}, np.zeros(4), 'red cube'))
    with pytest.raises(ObservationError, match='gripper.width'):
        policy.infer(Observation(0.0, {'front': image, 'wrist': image}, np.zeros(3), 'red cube'))


def test_larger_images_are_resized_without_stretching() -> None:
    """A square in the middle of a wide image stays a square at the checkpoint's size."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:80, 60:100] = 255
    small = fit(image, CameraSpec(20, 20))
    bright = small[..., 0] > 127
    assert small.shape == (20, 20, 3) and small.dtype == np.uint8
    assert bright.any(axis=0).sum() == bright.any(axis=1).sum()
    assert fit(small, CameraSpec(20, 20)) is small


def test_other_image_sizes_are_accepted(policy: pi0.Pi0Policy, observe: Observe) -> None:
    """A camera of another size than the checkpoint's is resized by the policy."""
    assert policy.infer(observe(size=64)).actions.shape == (4, 4)


@pytest.mark.parametrize(('device', 'message'), [('gpu', 'unknown device'), ('cuda', 'no GPU')])
def test_bad_device_is_refused(tiny_checkpoint: Path, device: str, message: str,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown device, or a GPU that is not there, is an error and no silent CPU run."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(CheckpointError, match=message):
        load_policy(tiny_checkpoint, device=device)
