# SPDX-License-Identifier: Apache-2.0
"""What a model has that its configuration cannot say: parts gone, widths that differ.

A folder whose structure is not empty is built from its configuration, reduced to the structure,
and only then given its weights.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.block_sites import PARTS
from vla_drop_ros.families.family import Family, stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.stack import Stack

Structure = dict[str, Any]


def scan(family: Family, model: Any) -> Structure:
    """Return parts and sizes of every block, and the modules that are gone.

    Returns:
        ``{'blocks': {stack: [{'left', 'read', 'channels', 'heads', 'key_value_heads',
        'key_columns'}]}, 'absent': [path]}``.

    """
    found = stacks(family, model)
    sites = family.sites(family.config(model))
    paths = [*sites.unused, *(site.final_norm for site in sites)]
    return {
        'blocks': {name: [_block(stack, index) for index in range(len(stack))]
                   for name, stack in found.items()},
        'absent': [path for path in paths if _is_absent(model, path)]}


def _block(stack: Stack, index: int) -> dict[str, Any]:
    left = stack.left(index)
    columns = 0
    if stack.site.key_inputs and 'keys_values' in left:
        columns = stack.module(index, stack.site.key).in_features
    return {'left': [part for part in PARTS if part in left],
            'read': stack.is_read(index), 'channels': stack.channels(index),
            'heads': stack.heads(index), 'key_value_heads': stack.key_value_heads(index),
            'key_columns': columns}


def _is_absent(model: Any, path: str) -> bool:
    owner, _, name = path.rpartition('.')
    module = getattr(model.get_submodule(owner), name, None)
    return module is None or isinstance(module, nn.Identity)


def difference(family: Family, model: Any, blueprint: Any) -> Structure:
    """Return what ``model`` has that ``blueprint``, built from the same configuration, has not.

    Returns:
        The form of ``scan`` with only the blocks that differ, by index as text; empty if none.

    """
    actual, plain = scan(family, model), scan(family, blueprint)
    blocks = {}
    for name, block_list in actual['blocks'].items():
        if len(block_list) != len(plain['blocks'][name]):
            raise CheckpointError(
                f'the configuration states {len(plain["blocks"][name])} {name} blocks, the model '
                f'has {len(block_list)}; this family cannot write that down')
        changed = {str(index): block for index, block in enumerate(block_list)
                   if block != plain['blocks'][name][index]}
        if changed:
            blocks[name] = changed
    absent = [path for path in actual['absent'] if path not in plain['absent']]
    return {'blocks': blocks, 'absent': absent} if blocks or absent else {}


def reduce(family: Family, blueprint: Any, structure: Mapping[str, Any]) -> None:
    """Give a model without weights the parts and shapes of a structure.

    Raises:
        CheckpointError: the structure names what the model has not.

    """
    journal, found = Journal(), stacks(family, blueprint)
    try:
        for name, blocks in structure.get('blocks', {}).items():
            for index, block in blocks.items():
                _reduce_block(found[name], int(index), block, journal)
        for path in structure.get('absent', ()):
            remove_module(blueprint, path, journal)
        family.agree(blueprint, journal)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'the structure in the manifest does not fit the configuration: {error!r}; copy the '
            'folder again') from error


def _reduce_block(stack: Stack, index: int, block: Mapping[str, Any], journal: Journal) -> None:
    left = set(block['left'])
    if not left <= set(PARTS):
        raise ValueError(f'parts {sorted(left - set(PARTS))} of {stack.site.name} block {index}')
    if 'attention' not in left:
        stack.remove_attention(index, journal, keep_keys_values='keys_values' in left)
    if 'mlp' not in left:
        stack.remove_mlp(index, journal)
    heads, groups = block['heads'], block['key_value_heads']
    fewer = 'keys_values' in left and groups != stack.key_value_heads(index)
    if fewer or ('attention' in left and heads != stack.heads(index)):
        stack.keep_heads(index, range(heads), range(groups) if fewer else None, journal)
    if block['key_columns'] and 'keys_values' in left:
        # Rows of a self-attending block are as wide as its stream, which no head divides.
        columns, before = block['key_columns'], stack.module(index, stack.site.key).in_features
        if columns != before:
            stack.keep_key_columns(index, range(columns // stack.site.head_dim), journal)
    if 'mlp' in left and block['channels'] != stack.channels(index):
        stack.keep_channels(index, range(block['channels']), journal)
    if stack.site.read_by and not block['read']:
        stack.stop_reading(index, journal)


def remove_module(model: Any, path: str, journal: Journal) -> None:
    """Put an identity in place of a module that nothing needs."""
    owner, _, name = path.rpartition('.')
    journal.set(model.get_submodule(owner), name, nn.Identity())
