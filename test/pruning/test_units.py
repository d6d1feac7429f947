# SPDX-License-Identifier: Apache-2.0
"""Units own their weights: all of them, none twice."""

import torch

from vla_drop_ros.families.block_sites import StackSite
from vla_drop_ros.pruning.units import by_unit, channel_shares, parts_removed, shares_of, squares

SITE = StackSite('x', 'layers', 'norm', 1, head_dim=2)


def layers(heads: int, groups: int) -> dict[str, torch.Tensor]:
    """Return weights of a block of width 6 with 5 channels, every number different."""
    shapes = {'self_attn.q_proj': (2 * heads, 6), 'self_attn.k_proj': (2 * groups, 6),
              'self_attn.v_proj': (2 * groups, 6), 'self_attn.o_proj': (6, 2 * heads),
              'mlp.gate_proj': (5, 6), 'mlp.up_proj': (5, 6), 'mlp.down_proj': (6, 5)}
    found, count = {}, 0
    for path, shape in shapes.items():
        size = shape[0] * shape[1]
        found[path] = torch.arange(count, count + size, dtype=torch.float).reshape(shape)
        count += size
    return found


def shapes(weights: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of weights."""
    return {path: tuple(matrix.shape) for path, matrix in weights.items()}


def test_a_channel_owns_its_rows_and_its_column() -> None:
    """Gate and up rows, down column."""
    weights = layers(4, 1)
    rows = by_unit(weights, channel_shares(SITE))
    assert rows.shape == (5, 18)
    assert torch.equal(rows[3], torch.cat([weights['mlp.gate_proj'][3], weights['mlp.up_proj'][3],
                                           weights['mlp.down_proj'][:, 3]]))


def test_units_share_nothing_and_leave_nothing() -> None:
    """Every weight of the layers that go belongs to exactly one unit."""
    for unit, heads, groups, paths in (
            ('channel', 4, 1, ('mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj')),
            ('head', 4, 1, ('self_attn.q_proj', 'self_attn.o_proj')),
            ('head', 4, 2, ('self_attn.q_proj', 'self_attn.o_proj', 'self_attn.k_proj',
                            'self_attn.v_proj')),
            ('head', 3, 3, ('self_attn.q_proj', 'self_attn.o_proj', 'self_attn.k_proj',
                            'self_attn.v_proj'))):
        weights = layers(heads, groups)
        rows = by_unit(weights, shares_of(SITE, unit, shapes(weights)))
        assert len(rows) == {'channel': 5, 'head': heads if groups == 1 else groups}[unit]
        expected = torch.cat([weights[path].flatten() for path in paths])
        assert torch.equal(rows.flatten().sort().values, expected.sort().values)


def test_a_group_holds_its_query_heads_together() -> None:
    """Group 1 of two over four heads: query heads 2 and 3 with key and value 1."""
    weights = layers(4, 2)
    row = by_unit(weights, shares_of(SITE, 'head', shapes(weights)))[1]
    assert torch.equal(row[:24], weights['self_attn.q_proj'][4:].flatten())
    assert torch.equal(row[-12:], weights['self_attn.v_proj'][2:].flatten())


def test_a_block_without_the_part_has_no_units() -> None:
    """After its MLP or attention went."""
    weights = layers(4, 1)
    del weights['mlp.down_proj'], weights['self_attn.q_proj']
    assert shares_of(SITE, 'channel', shapes(weights)) == []
    assert shares_of(SITE, 'head', shapes(weights)) == []


def test_squares_are_those_of_the_rows() -> None:
    """Layer by layer, the sum of squares of what each unit owns."""
    weights = layers(4, 2)
    for unit in ('channel', 'head'):
        shares = shares_of(SITE, unit, shapes(weights))
        whole = by_unit(weights, shares).double().square().sum(1)
        parts = sum(squares(weights[share.path], share) for share in shares)
        assert torch.allclose(whole, torch.as_tensor(parts))


def test_keys_and_values_that_are_read_stay() -> None:
    """A block drop takes them only where nobody reads them."""
    read = StackSite('x', 'layers', 'norm', 1, 2, read_by='y')
    assert parts_removed(read, 'block') == ('attention', 'mlp')
    assert parts_removed(SITE, 'block') == ('keys_values', 'attention', 'mlp')
    assert parts_removed(read, 'tied') == ('keys_values', 'attention', 'mlp')
    assert parts_removed(read, 'attention') == ('attention',)
