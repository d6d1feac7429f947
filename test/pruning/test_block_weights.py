# SPDX-License-Identifier: Apache-2.0
"""Sums tensor by tensor are those over a whole block, and a block too many is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vla_drop_ros.errors import RankingError
from vla_drop_ros.families.block_sites import Sites, StackSite
from vla_drop_ros.families.registry import family
from vla_drop_ros.pruning.block_weights import block_names, BlockSquares
from vla_drop_ros.weights import Weights

SITE = StackSite('language', 'layers', 'norm', 1, head_dim=2)
SHAPES = {
    'input_layernorm.weight': (4,), 'self_attn.q_proj.weight': (4, 4),
    'self_attn.k_proj.weight': (2, 4), 'self_attn.v_proj.weight': (2, 4),
    'self_attn.o_proj.weight': (4, 4), 'post_attention_layernorm.weight': (4,),
    'mlp.gate_proj.weight': (3, 4), 'mlp.up_proj.weight': (3, 4), 'mlp.down_proj.weight': (4, 3)}


def test_sums_are_those_of_numpy() -> None:
    """By part, by channel (two rows and a column) and by head (rows of Q, columns of O)."""
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    found = BlockSquares(SITE, SHAPES)
    for name, value in tensors.items():
        found.add(name, torch.from_numpy(value).float())
    square = {name.removesuffix('.weight').rpartition('.')[2]: value ** 2
              for name, value in tensors.items()}
    assert found.parts['mlp'] == pytest.approx(sum(
        square[name].sum() for name in (
            'post_attention_layernorm', 'gate_proj', 'up_proj', 'down_proj')), rel=1e-5)
    assert found.units['channel'] == pytest.approx(
        square['gate_proj'].sum(1) + square['up_proj'].sum(1) + square['down_proj'].sum(0),
        rel=1e-5)
    heads = [square['q_proj'][rows].sum() + square['o_proj'][:, rows].sum()
             for rows in (slice(0, 2), slice(2, 4))]
    assert found.units['head'] == pytest.approx(heads, rel=1e-5)
    whole = sum(value.sum() for value in square.values())
    assert found.removed('block') == pytest.approx(whole, rel=1e-5)
    assert found.removed('attention') + found.removed('mlp') == pytest.approx(whole, rel=1e-5)


def test_a_block_without_a_part_has_no_units() -> None:
    """What is gone is not scored."""
    found = BlockSquares(SITE, {name: shape for name, shape in SHAPES.items()
                                if not name.startswith('mlp.')})
    assert found.units['channel'].size == 0 and found.units['head'].size == 2


def test_every_block_is_found(tiny_pair: tuple[Path, Path]) -> None:
    """Names from the block lead to names in the files."""
    pi0 = family('pi0')
    sites = pi0.sites(pi0.read_config(tiny_pair[0]))
    names = block_names(Weights(tiny_pair[0], pi0.module_name), sites)
    assert {name: len(blocks) for name, blocks in names.items()} == {
        'vision': 3, 'language': 4, 'action': 4}
    assert names['action'][2]['mlp.up_proj.weight'] == 'model.dit.layers.2.mlp.up_proj.weight'
    fewer = Sites(tuple(StackSite(site.name, site.blocks, site.final_norm, 2, site.head_dim)
                        for site in sites), {}, {})
    with pytest.raises(RankingError, match='its configuration states 2'):
        block_names(Weights(tiny_pair[0], pi0.module_name), fewer)
