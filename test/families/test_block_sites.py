# SPDX-License-Identifier: Apache-2.0
"""Paths say of any parameter which stack, block and part it belongs to."""

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.block_sites import follows_roles, Sites, StackSite

READ = StackSite('language', 'vlm.layers', 'vlm.norm', 4, 8, read_by='action')
READING = StackSite('action', 'dit.layers', 'dit.norm', 4, 8, scales=('scale1', 'scale2'))
SITES = Sites((READ, READING), {}, {}, prefixes={'vlm.': 'language', 'vlm.tower.': 'vision',
                                                 'dit.': 'action'})


@pytest.mark.parametrize(('name', 'part'), [
    ('self_attn.q_proj.weight', 'attention'), ('self_attn.o_proj.bias', 'attention'),
    ('self_attn.k_proj.weight', 'keys_values'), ('self_attn.v_proj.weight', 'keys_values'),
    ('input_layernorm.weight', 'keys_values'), ('post_attention_layernorm.weight', 'mlp'),
    ('mlp.gate_proj.weight', 'mlp'), ('scale1.weight', 'attention'), ('scale2.weight', 'mlp'),
    ('something.else', None),
])
def test_every_parameter_has_its_part(name: str, part: str | None) -> None:
    """Norms go with what reads them, learned factors with what they scale."""
    assert READING.part_of(name) == part


def test_blocks_are_located_by_their_path() -> None:
    """The index is a number, not a prefix: block 1 is not block 11."""
    assert READ.locate('vlm.layers.11.mlp.up_proj.weight') == (11, 'mlp.up_proj.weight')
    assert READ.locate('vlm.layers_norm.weight') is None
    site, index, part = SITES.locate('dit.layers.2.self_attn.k_proj.weight') or (None, -1, None)
    assert (site, index, part) == (READING, 2, 'keys_values')
    assert SITES.locate('vlm.norm.weight') is None


def test_sizes_count_for_the_longest_prefix() -> None:
    """A tower inside a language model is vision."""
    assert SITES.stack_of('vlm.tower.conv.weight') == 'vision'
    assert SITES.stack_of('vlm.embed.weight') == 'language'
    assert SITES.stack_of('head.weight') == 'other'


def test_who_reads_whom() -> None:
    """A stack knows its reader and the reader its source."""
    assert SITES.reader('language') is READING and SITES.reader('action') is None
    assert SITES.source('action') is READ and SITES.source('language') is None
    with pytest.raises(PlanError, match="unknown stack 'wheels'; valid: action, lang"):
        SITES['wheels']


def test_roles_follow_from_the_first_block_on() -> None:
    """What is left must begin with the first role and keep the order."""
    pattern = ('self', 'cross') * 3
    assert follows_roles(('self', 'cross', 'self'), pattern)
    assert not follows_roles(('cross', 'self'), pattern)
    assert not follows_roles(('self', 'self'), pattern)
