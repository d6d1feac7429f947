# SPDX-License-Identifier: Apache-2.0
"""Taylor, Fisher, magnitude, Wanda, FLAP, divergence: equal to their formulas, unit by unit."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch

from vla_drop_ros.errors import RankingError
from vla_drop_ros.families.registry import family
from vla_drop_ros.pruning.activations import Recorder
from vla_drop_ros.pruning.criteria import divergence, fisher, flap, magnitude, taylor, wanda
from vla_drop_ros.pruning.criterion import Scores, Subject
from vla_drop_ros.pruning.gradients import GROUP, groups_of
from vla_drop_ros.weights import Weights


def by_key(scores: list[Scores]) -> dict[tuple[str, str], Scores]:
    """Return the scores by stack and unit."""
    return {(one.stack, one.unit): one for one in scores}


def gradients(subject: Subject, groups: int = 1) -> list[dict[str, torch.Tensor]]:
    """Return w times g of every parameter, for each group of samples, the plain way."""
    parameters, found = dict(subject.model.named_parameters()), []
    subject.model.requires_grad_(True)
    for batch in list(groups_of(subject.batches))[:groups]:
        loss = subject.family.loss(subject.model, batch).mean()
        slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        found.append({name: torch.zeros_like(value) if slope is None else value.detach() * slope
                      for (name, value), slope in zip(parameters.items(), slopes, strict=True)})
    subject.model.requires_grad_(False)
    return found


def test_taylor_and_fisher_are_sums_over_what_goes(subject: Subject) -> None:
    """|sum w g| and sum (w g)^2 over the weights that a drop removes, mean over groups."""
    count = len(list(groups_of(subject.batches)))
    products = gradients(subject, count)
    first, second = by_key(taylor.measure(subject)), by_key(fisher.measure(subject))
    prefix = 'model.vlm.language_model.layers.1.'
    removed = [[value for name, value in group.items() if name.startswith(prefix)
                and 'k_proj' not in name and 'v_proj' not in name
                and 'input_layernorm' not in name] for group in products]
    assert first['language', 'block'].values[1] == pytest.approx(float(np.mean(
        [abs(sum(float(value.sum()) for value in group)) for group in removed])), rel=1e-4)
    assert second['language', 'block'].values[1] == pytest.approx(float(np.mean(
        [sum(float((value ** 2).sum()) for value in group) for group in removed])), rel=1e-4)
    assert first['language', 'block'].values[-1] == 0.0
    assert first['language', 'block'].samples.shape == (count, 4)
    both = [sum(float(value.sum()) for name, value in group.items()
                if name.startswith((prefix, 'model.dit.layers.1.'))) for group in products]
    assert first['language', 'tied'].values[1] == pytest.approx(
        float(np.mean(np.abs(both))), rel=1e-3)


def test_taylor_of_a_channel_and_of_a_head(subject: Subject) -> None:
    """A channel's rows and column, a head's rows and columns, and nothing else."""
    product = gradients(subject)[0]
    found = by_key(taylor.measure(subject))
    prefix = 'model.dit.layers.2.'
    channel = (product[f'{prefix}mlp.gate_proj.weight'][7].sum()
               + product[f'{prefix}mlp.up_proj.weight'][7].sum()
               + product[f'{prefix}mlp.down_proj.weight'][:, 7].sum())
    assert found['action', 'channel'].samples[2][0, 7] == pytest.approx(
        abs(float(channel)), rel=1e-3)
    head = (product[f'{prefix}self_attn.q_proj.weight'][8:].sum()
            + product[f'{prefix}self_attn.o_proj.weight'][:, 8:].sum())
    assert found['action', 'head'].samples[2][0, 1] == pytest.approx(abs(float(head)), rel=1e-3)


def test_groups_cover_every_sample_once(subject: Subject) -> None:
    """Samples in groups of at most eight, all fields cut alike."""
    groups = list(groups_of(subject.batches))
    assert sum(map(len, groups)) == subject.samples
    assert all(len(group) <= GROUP for group in groups)
    assert torch.equal(torch.cat([group.actions for group in groups]),
                       torch.cat([batch.actions for batch in subject.batches]))


def test_magnitude_reads_files_and_equals_the_norms(subject: Subject) -> None:
    """From the folder, block by block, without the model."""
    state = dict(subject.model.named_parameters())
    found = by_key(magnitude.measure(subject))
    names = [name for name in state if name.startswith('model.vlm.vision_tower.encoder.layers.1.')]
    expected = torch.stack([state[name].detach().norm() for name in names]).norm()
    assert found['vision', 'block'].values[1] == pytest.approx(float(expected), rel=1e-5)
    row = state['model.dit.layers.0.self_attn.q_proj.weight'][:8]
    column = state['model.dit.layers.0.self_attn.o_proj.weight'][:, :8]
    assert found['action', 'head'].values[0][0] == pytest.approx(
        float((row.norm() ** 2 + column.norm() ** 2).sqrt().detach()), rel=1e-5)


def test_wanda_and_flap_see_what_flows_out(subject: Subject) -> None:
    """Weights times root mean square, and variance times squared weights, of valid tokens."""
    batch = subject.batches[0]
    subject.batches = [batch]
    live, inputs = subject.stacks['language'], []
    layer = live.module(1, live.site.contract)
    handle = layer.register_forward_pre_hook(lambda _m, arguments: inputs.append(arguments[0]))
    with torch.no_grad():
        subject.family.loss(subject.model, batch)
    handle.remove()
    rows = inputs[0][batch.inputs['attention_mask'].bool()].double()
    weight = layer.weight.detach().double()
    expected = weight.abs().sum(0) * (rows ** 2).mean(0).sqrt()
    assert np.allclose(by_key(wanda.measure(subject))['language', 'channel'].values[1],
                       expected.numpy(), rtol=1e-4)
    raw = (weight ** 2).sum(0) * rows.var(0, correction=0)
    standard = ((raw - raw.mean()) / raw.std(correction=0)).numpy()
    assert np.allclose(by_key(flap.measure(subject))['language', 'channel'].values[1], standard,
                       rtol=1e-3, atol=1e-5)


def test_recorder_and_features_agree_on_the_width(subject: Subject) -> None:
    """As many scores as channels and heads, in every block."""
    found = by_key(wanda.measure(subject))
    for name, stack in subject.stacks.items():
        assert [len(block) for block in found[name, 'channel'].values] == [
            stack.channels(index) for index in range(len(stack))]
        assert [len(block) for block in found[name, 'head'].values] == [
            stack.heads(index) for index in range(len(stack))]
    with Recorder(subject.family, subject.model) as recorder:
        assert set(recorder.inputs) == set(subject.stacks)


def measure_divergence(subject: Subject, name: str) -> dict[tuple[str, str], Scores]:
    """Return what a variant scores, by stack and unit."""
    return by_key(divergence.CRITERIA[name].measure(subject))


def test_divergence_is_the_norm_of_the_difference(subject: Subject) -> None:
    """Absolute and relative, for blocks and channels; the action expert has no base."""
    assert subject.base is not None
    new = dict(subject.model.named_parameters())
    old = subject.base[2]
    name = 'language_model.layers.2.mlp.down_proj.weight'
    moved, before = new[f'model.vlm.{name}'].detach() - old[f'model.{name}'], old[f'model.{name}']
    gate = 'language_model.layers.2.mlp.gate_proj.weight'
    up = 'language_model.layers.2.mlp.up_proj.weight'
    rows = [new[f'model.vlm.{one}'].detach() - old[f'model.{one}'] for one in (gate, up)]
    expected = torch.sqrt(moved[:, 3].norm() ** 2 + sum(row[3].norm() ** 2 for row in rows))
    absolute = measure_divergence(subject, 'divergence')
    assert absolute['language', 'channel'].values[2][3] == pytest.approx(
        float(expected), rel=1e-4)
    assert not [key for key in absolute if key[0] == 'action']
    relative = measure_divergence(subject, 'divergence-relative')
    size = torch.sqrt(before[:, 3].norm() ** 2 + sum(
        old[f'model.{one}'][3].norm() ** 2 for one in (gate, up)))
    assert relative['language', 'channel'].values[2][3] == pytest.approx(
        float(expected / size), rel=1e-4)


def test_an_unchanged_block_has_not_diverged(subject: Subject, tiny_pair: tuple[Path, Path],
                                             tmp_path: Path) -> None:
    """Only the block that was moved is told apart, by its whole distance."""
    policy, _ = tiny_pair
    pi0, vlm = family('pi0'), family('paligemma')
    state = {pi0.module_name(key).replace('model.vlm.', 'model.'): value
             for key, value in load_file(policy / 'model.safetensors').items()
             if pi0.module_name(key).startswith('model.vlm.')}
    state['model.language_model.layers.1.mlp.up_proj.weight'] = state[
        'model.language_model.layers.1.mlp.up_proj.weight'] + 0.1
    save_file(state, tmp_path / 'model.safetensors')
    assert subject.base is not None
    subject.base = (vlm, subject.base[1], Weights(tmp_path, vlm.module_name))
    values = measure_divergence(subject, 'divergence')['language', 'block'].values
    assert values[[0, 2, 3]] == pytest.approx(0.0)
    assert values[1] == pytest.approx(0.1 * (32 * 16) ** 0.5, rel=1e-4)


def test_controlled_divergence_knows_no_depth_and_no_size(subject: Subject) -> None:
    """What is left is orthogonal to block index and weight norm."""
    controlled = measure_divergence(subject, 'divergence-controlled')['vision', 'channel'].values
    found = divergence.distances(subject)['vision']
    residual = np.concatenate(controlled)
    depth = np.concatenate([np.full(len(block), index) for index, block in enumerate(controlled)])
    size = np.log(np.concatenate(found.base['channel']) + 1e-8)
    for covariate in (depth, size, np.ones_like(residual)):
        assert abs(residual @ (covariate - covariate.mean())) < 1e-6 * len(residual)


@pytest.mark.parametrize('change', ['depth', 'shape', 'name'])
def test_a_base_of_another_shape_is_refused(
        subject: Subject, write_small: Path, change: str) -> None:
    """Fewer blocks, other widths or other names: said which."""
    vlm = family('paligemma')
    state = load_file(write_small / 'model.safetensors')
    key = 'model.language_model.layers.3.mlp.up_proj.weight'
    if change == 'depth':
        state = {name: value for name, value in state.items() if '.layers.3.' not in name}
    elif change == 'shape':
        state[key] = state[key][:-1].clone()
    else:
        state[key.replace('up_proj', 'upper')] = state.pop(key)
    save_file(state, write_small / 'model.safetensors')
    assert subject.base is not None
    subject.base = (vlm, subject.base[1], Weights(write_small, vlm.module_name))
    expected = {'shape': r'block 3 mlp.up_proj.weight: \(31, 16\) in the base, \(32, 16\)',
                'depth': 'block 3 of the base has no', 'name': 'of the base has no mlp.up_proj'}
    with pytest.raises(RankingError, match=expected[change]):
        measure_divergence(subject, 'divergence')


@pytest.fixture
def write_small(tiny_pair: tuple[Path, Path], tmp_path: Path) -> Path:
    """Return a folder with the weights of the base, to be damaged."""
    (tmp_path / 'model.safetensors').write_bytes(
        (tiny_pair[1] / 'model.safetensors').read_bytes())
    return tmp_path
