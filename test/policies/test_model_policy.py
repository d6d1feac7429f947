# SPDX-License-Identifier: Apache-2.0
"""What all policies share: units of training batches, noise, examples, and an end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_drop_ros.errors import CheckpointError, ObservationError
from vla_drop_ros.policies.model_policy import ModelPolicy, torch_device, widen
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.simulation.opengl import prepare_rendering
from vla_drop_ros.types import ActionPrefix, FloatArray, Observation

Observe = Callable[..., Observation]
REFERENCE = Path(__file__).parents[2] / 'models' / 'reference'


def test_a_batch_is_in_the_model_s_units(tiny_policy: Any, observe: Observe) -> None:
    """Actions are normalised by the checkpoint's statistics, weights cover every dimension."""
    actions = np.zeros((2, 4, 4))
    batch = tiny_policy.batch([observe(0), observe(1)], actions, np.array([[1, 1, 1, 0.0]] * 2),
                              np.ones((2, 3, 4, 4)), np.full((2, 3), 0.5))
    statistics = tiny_policy.normalization.action
    assert batch.actions[0, 0].numpy() == pytest.approx(
        -statistics.mean / statistics.std, abs=1e-5)
    assert batch.weights[:, 3].sum() == 0 and batch.weights[:, :3].all()
    assert batch.noise.shape == (2, 3, 4, 4) and batch.time.dtype == torch.float32
    assert tiny_policy.family.loss(tiny_policy.model, batch).shape == (2,)


def test_narrow_actions_are_filled_with_zeros() -> None:
    """The model may be wider than the robot."""
    wide = widen(np.ones((2, 3, 4)), 6)
    assert wide.shape == (2, 3, 6) and wide[..., :4].all() and not wide[..., 4:].any()


def test_examples_differ_and_fit(tiny_policy: Any) -> None:
    """A trace that only repeats its example would be caught."""
    (first, noise), (second, other) = tiny_policy.example_inputs()
    assert tiny_policy.shape_key(first) == tiny_policy.shape_key(second)
    assert not torch.equal(noise, other)
    assert not torch.equal(first['pixel_values'], second['pixel_values'])


def test_devices_are_named() -> None:
    """A GPU that is not there is an error with the way out, not a crash in torch."""
    assert torch_device('cpu').type == 'cpu'
    assert torch_device('auto').type in ('cpu', 'cuda')
    with pytest.raises(CheckpointError, match="unknown device 'gpu'; valid: auto, cpu, cuda"):
        torch_device('gpu')
    if not torch.cuda.is_available():
        with pytest.raises(CheckpointError, match='sees no GPU'):
            torch_device('cuda:0')


@pytest.mark.parametrize('continuing', [False, True])
def test_closing_frees_the_model(tiny_checkpoint: Path, continuing: bool) -> None:
    """Nothing holds the weights afterwards."""
    import gc
    import weakref
    policy: Any = load_policy(tiny_checkpoint, device='cpu', continuing=continuing)
    weight = weakref.ref(next(policy.model.parameters()))
    policy.close()
    gc.collect()
    assert weight() is None


def like(observation: Observation, actions: FloatArray, frozen: int) -> Observation:
    """Return the observation with a prefix."""
    return replace(observation, prefix=ActionPrefix(actions, frozen))


@pytest.fixture(scope='module', params=['pi0', 'smolvla'])
def flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
         write_tiny: Callable[..., Any], write_smolvla: Callable[..., Any]) -> ModelPolicy:
    """Return a tiny policy of each family that has a flow, ready to continue chunks."""
    folder = tmp_path_factory.mktemp('policies') / request.param
    (write_tiny if request.param == 'pi0' else write_smolvla)(folder)
    policy = load_policy(folder, device='cpu', continuing=True)
    assert isinstance(policy, ModelPolicy) and policy.continues_chunks
    return policy


def test_without_a_prefix_it_is_the_sampler_of_before(flow: ModelPolicy, observe: Observe) -> None:
    """Bit by bit, also after a continuation; and a prefix of no steps is none."""
    noise, observation = np.random.default_rng(1).standard_normal((4, 4)), observe()
    inputs, _ = flow.encode([observation])
    with torch.inference_mode():
        sampled = flow._traced[flow.shape_key(inputs)](inputs, flow.widen(noise[None]))
    expected = flow.normalization.action.denormalize(sampled[0, :, :4].double().numpy())
    assert np.array_equal(flow.infer(observation, noise).actions, expected)
    flow.infer(like(observation, expected, 2), noise)
    assert np.array_equal(flow.infer(observation, noise).actions, expected)
    empty = like(observation, np.zeros((0, 4)), 0)
    assert np.array_equal(flow.infer(empty, noise).actions, expected)


def test_frozen_steps_come_out_as_they_are_given(flow: ModelPolicy, observe: Observe) -> None:
    """A chunk of other noise begins as the policy's own earlier one; without it would differ."""
    apart, close = [], []
    for seed in range(6):
        one, other = np.random.default_rng(seed).standard_normal((2, 4, 4))
        old, free = (flow.infer(observe(seed), noise).actions for noise in (one, other))
        new = flow.infer(like(observe(seed), old, 2), other).actions
        std = flow.normalization.action.std
        apart.append(np.linalg.norm((free - old)[:2] / std))
        close.append(np.linalg.norm((new - old)[:2] / std))
    assert max(close) < 0.5 * min(apart) and sum(close) < 0.3 * sum(apart)


def test_a_traced_continuation_is_the_plain_one(
        flow: ModelPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph follows pictures, words, prefix and frozen steps: none of them is baked in."""
    cases = [(like(observe(seed, 'blue bin'), 0.01 * np.random.default_rng(seed).standard_normal(
        (rows, 4)), frozen), seed) for seed, (rows, frozen) in enumerate([(4, 1), (2, 2), (3, 0)])]
    noise = np.random.default_rng(9).standard_normal((4, 4))
    sampler, = flow._continued.values()
    assert getattr(sampler, '__name__', '') == 'sampler'  # not the plain one
    fast = [flow.infer(observation, noise).actions for observation, _ in cases]
    monkeypatch.setattr(flow, '_continued', {})
    for found, (observation, _) in zip(fast, cases, strict=True):
        assert np.allclose(found, flow.infer(observation, noise).actions, atol=1e-5)


def test_any_prefix_gives_numbers_and_the_same_again(flow: ModelPolicy, observe: Observe) -> None:
    """Also prefixes that the policy would never say; the noise sequence restarts with a reset."""
    def chunks() -> list[FloatArray]:
        flow.reset()
        rng = np.random.default_rng(4)
        return [flow.infer(like(observe(seed), 10.0 ** rng.integers(-3, 2) * rng.standard_normal(
            (rows, 4)), int(rng.integers(rows + 1)))).actions
            for seed, rows in enumerate(rng.integers(1, 5, 20))]
    first, second = chunks(), chunks()
    assert all(np.isfinite(actions).all() for actions in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_rows_of_a_batch_keep_their_own_prefix(flow: ModelPolicy, observe: Observe) -> None:
    """One that continues and one that starts afresh share a forward pass."""
    fresh, other = observe(0), observe(1)
    continued = like(other, flow.infer(other, np.zeros((4, 4))).actions[:3], 1)
    noise = np.random.default_rng(5).standard_normal((2, 4, 4))
    batch = flow.infer_batch([fresh, continued], seed=5)
    for chunk, one, row in zip(batch, (fresh, continued), noise, strict=True):
        assert np.allclose(chunk.actions, flow.infer(one, row).actions, atol=1e-5)


@pytest.mark.parametrize('shape', [(5, 4), (2, 3)])
def test_a_prefix_that_does_not_fit_is_refused(
        tiny_policy: Any, observe: Observe, shape: tuple[int, int]) -> None:
    """Longer than the chunk, or of another robot: the message says what fits."""
    with pytest.raises(ObservationError, match=r"at most 4 steps of \['x', 'y', 'z', 'gripper'\]"):
        tiny_policy.infer(like(observe(), np.zeros(shape), 1))


def test_what_has_no_flow_says_so(tmp_path: Path, write_prismatic: Callable[..., Any],
                                  observe: Observe) -> None:
    """A policy that cannot continue a chunk refuses at the load, and never ignores a prefix."""
    write_prismatic(tmp_path / 'tiny')
    with pytest.raises(CheckpointError, match='prismatic.*another execution mode'):
        load_policy(tmp_path / 'tiny', device='cpu', continuing=True)
    policy = load_policy(tmp_path / 'tiny', device='cpu')
    assert not policy.continues_chunks
    with pytest.raises(CheckpointError, match='no flow'):
        policy.infer(like(observe(), np.zeros((2, 4)), 1))


@pytest.mark.slow
def test_the_reference_continues_its_chunks() -> None:
    """The shipped policy comes nearer to what it said before of the same scene, on average."""
    prepare_rendering()
    from vla_drop_ros.simulation.environment import PickPlaceEnvironment
    policy, cell = load_policy(REFERENCE, device='cpu', threads=1), PickPlaceEnvironment()
    assert isinstance(policy, ModelPolicy)
    apart, close = [], []
    for seed in range(12):
        observation = cell.reset(seed)
        one, other = np.random.default_rng(seed).standard_normal((2, 8, 4))
        old, free = (policy.infer(observation, noise).actions for noise in (one, other))
        new = policy.infer(like(observation, old, 3), other).actions
        apart.append(np.square((free - old)[:3] / policy.normalization.action.std).mean())
        close.append(np.square((new - old)[:3] / policy.normalization.action.std).mean())
        assert np.isfinite(new).all()
    cell.close()
    assert np.mean(close) < 0.5 * np.mean(apart)
