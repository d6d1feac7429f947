# SPDX-License-Identifier: Apache-2.0
"""What may be removed: each rule has a name, and a plan that breaks one is refused with it."""

from collections.abc import Collection, Mapping
from typing import Any

from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.families.block_sites import follows_roles, Sites
from vla_drop_ros.families.family import Family, stacks
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.pruning.layout import Layout, StackLayout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.prediction import blocks_twice

REMOVES_BLOCK = ('whole', 'tied')


def check_plan(family: Family, model: Any, plan: Plan, *, stock: bool = False) -> None:
    """Raise PlanError if a plan cannot be carried out on a live model, naming what would be valid.

    Args:
        family: of the model.
        model: live; its parameters may be on the meta device.
        plan: what shall go.
        stock: also refuse what the family's stock loader could not open.

    """
    sites, found = family.sites(family.config(model)), stacks(family, model)
    layout = layout_of(family, model)
    for stack in {*plan.blocks, *plan.channels, *plan.heads}:
        layout[stack]
    for stack, modes in plan.blocks.items():
        for mode, indices in modes.items():
            _check_mode(sites, stack, mode)
            _check_indices(found[stack], indices)
            _check_left(found, sites, stack, mode, indices)
    for stack, site in zip(sites.names, sites, strict=True):
        gone = removed_blocks(found, sites, plan, stack)
        twice = sorted(blocks_twice(layout, plan, stack))
        if twice:
            raise PlanError(f'{stack} block {twice} goes with the block that it is tied to '
                            'already; do not name it as well')
        _check_depth(found[stack], plan.blocks.get(stack, {}), gone)
        kept = [role for index, role in enumerate(site.roles) if index not in gone]
        if not follows_roles(kept, site.roles):
            raise PlanError(
                f'role constraint: the {stack} blocks alternate {"/".join(_period(site.roles))}, '
                f'and without {sorted(gone)} they would not ({"/".join(kept)}); remove blocks so '
                'that the same order is left, for instance pairs of neighbours')
    check_widths(found, sites, plan)
    if stock:
        _check_stock(family, found, plan)


def _check_mode(sites: Sites, stack: str, mode: str) -> None:
    if (stack, mode) in sites.refused:
        raise PlanError(f'{stack} blocks cannot go in mode {mode!r}: '
                        f'{sites.refused[stack, mode]}. Valid: {", ".join(sites.modes[stack])}')
    if mode not in sites.modes[stack]:
        raise PlanError(f'{stack} blocks: {unknown("drop mode", mode, sites.modes[stack])}')


def _check_indices(stack: Stack, indices: Collection[int]) -> None:
    outside = [index for index in indices if not 0 <= index < len(stack)]
    if outside:
        raise PlanError(f'{stack.site.name} block {outside} does not exist; valid: 0 to '
                        f'{len(stack) - 1}')


def _check_left(found: Mapping[str, Stack], sites: Sites, name: str, mode: str,
                indices: Collection[int]) -> None:
    """Refuse to remove what is gone already, or a tie that there is not."""
    stack, pairs = found[name], reader_pairs(found, sites, name)
    for index in indices:
        left = stack.left(index)
        part = {'mha': 'attention', 'keep-kv': 'attention', 'mlp': 'mlp'}.get(mode)
        if part is not None and part not in left and not (mode == 'keep-kv' and 'mlp' in left):
            raise PlanError(f'{name} block {index} has no {part} any more; an earlier drop '
                            'removed it')
        if mode == 'tied' and index not in pairs:
            raise PlanError(
                f'{name} block {index} is tied to no block any more, since an earlier drop '
                'removed the one that read it; it is dead: drop it with --dead')


def _check_depth(stack: Stack, modes: Mapping[str, Collection[int]], gone: Collection[int],
                 ) -> None:
    alive = len(stack) if stack.site.tap is None else stack.site.tap
    whole = [index for index in range(alive) if index not in gone
             and index not in modes.get('keep-kv', ()) and 'attention' in stack.left(index)]
    if not whole and (gone or modes.get('keep-kv')):
        raise PlanError(f'the plan drops all {alive} {stack.site.name} blocks'
                        f'{"" if alive == len(stack) else " that are read"}; leave at least one')


def reader_pairs(found: Mapping[str, Stack], sites: Sites, name: str) -> dict[int, int]:
    """Return block of ``name`` -> block of another stack that reads its keys and values."""
    reader = sites.reader(name)
    if reader is None:
        return {}
    readers = [index for index in range(len(found[reader.name]))
               if 'keys_values' in found[reader.name].left(index)]
    read = [index for index in range(len(found[name])) if found[name].is_read(index)]
    return dict(zip(read, readers, strict=True))


def removed_blocks(found: Mapping[str, Stack], sites: Sites, plan: Plan, name: str) -> set[int]:
    """Return the blocks of a stack that go altogether, by its own indices."""
    modes = plan.blocks.get(name, {})
    gone = {index for mode in REMOVES_BLOCK for index in modes.get(mode, ())}
    source = sites.source(name)
    if source is not None:
        pairs = reader_pairs(found, sites, source.name)
        gone |= {pairs[index] for index in plan.blocks.get(source.name, {}).get('tied', ())
                 if index in pairs}
    return gone


def _period(roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the shortest run of roles that the stack repeats."""
    for length in range(1, len(roles) + 1):
        if all(role == roles[index % length] for index, role in enumerate(roles)):
            return roles[:length]
    return roles


def check_widths(found: Mapping[str, Stack], sites: Sites, plan: Plan) -> None:
    """Refuse channels and heads that do not exist, all of a block's, or uneven joint heads."""
    for kind, widths in (('channel', plan.channels), ('head', plan.heads)):
        for name, blocks in widths.items():
            _check_indices(found[name], blocks)
            for index, units in blocks.items():
                total = (found[name].channels(index) if kind == 'channel'
                         else head_units(found[name], index))
                outside = [unit for unit in units if not 0 <= unit < total]
                if outside:
                    raise PlanError(f'{name} block {index} {kind} {outside[:5]} does not exist; '
                                    f'it has {total}')
                if len(units) == total:
                    raise PlanError(f'the plan removes all {total} {kind}s of {name} block '
                                    f'{index}; leave at least one, or drop the part')
    if any(name in plan.heads for name in sites.same_heads):
        _check_joint_heads(found, sites, plan)


def _check_joint_heads(found: Mapping[str, Stack], sites: Sites, plan: Plan) -> None:
    """Refuse heads that go from one of two streams whose heads meet in one attention."""
    taken = {name: {index: plan.heads.get(name, {}).get(index, ())
                    for index in range(len(found[name])) if head_units(found[name], index)
                    and index not in removed_blocks(found, sites, plan, name)}
             for name in sites.same_heads}
    counts = {len(units) for blocks in taken.values() for units in blocks.values()}
    if sites.even_heads and len(counts) > 1:
        raise PlanError(
            f'joint attention: {" and ".join(sites.same_heads)} share one number of heads, so '
            f'every block of both must lose as many; the plan takes {sorted(counts)}')
    first, *others = sites.same_heads
    for other in others:
        for index, partner in reader_pairs(found, sites, first).items():
            if (index in taken[first] and partner in taken[other]
                    and taken[first][index] != taken[other][partner]):
                raise PlanError(
                    f'joint attention: {first} block {index} and {other} block {partner} share '
                    f'keys and values head by head, so the same heads must go; the plan takes '
                    f'{list(taken[first][index])} and {list(taken[other][partner])}')


def head_units(stack: Stack, index: int) -> int:
    """Return how many heads can go one by one: query heads, or groups where keys are shared."""
    groups = stack.key_value_heads(index)
    return stack.heads(index) if groups <= 1 else groups


def layout_of(family: Family, model: Any) -> Layout:
    """Return the facts about the stacks of a live model that a plan needs."""
    sites, found = family.sites(family.config(model)), stacks(family, model)
    return Layout({
        site.name: StackLayout(
            len(live), site.roles, sites.modes[site.name], site.read_by,
            reader_pairs(found, sites, site.name),
            tuple(live.channels(index) for index in range(len(live))),
            tuple(head_units(live, index) for index in range(len(live))))
        for site, live in zip(sites, found.values(), strict=True)},
        sites.same_heads, sites.even_heads, sites.protected)


def _check_stock(family: Family, found: Mapping[str, Stack], plan: Plan) -> None:
    """Refuse what the configuration of the family cannot say."""
    why = ''
    for name, modes in plan.blocks.items():
        other = [mode for mode in modes if mode not in REMOVES_BLOCK]
        if other or (name == 'action' and 'whole' in modes and found[name].site.roles == ()
                     and any(stack.site.read_by == name for stack in found.values())):
            why = f'{name} blocks in mode {(other or ["whole"])[0]}'
    for kind, widths in (('channels', plan.channels), ('heads', plan.heads)):
        for name, blocks in widths.items():
            counts = {len(blocks.get(index, ())) for index in range(len(found[name]))}
            if len(counts) > 1:
                why = f'{kind} that differ from one {name} block to the next ({sorted(counts)})'
    if plan.dead:
        why = 'parts that were removed since nothing reads them'
    if why:
        raise PlanError(f'stock loader: {family.stock_loader} cannot open a model with {why}; '
                        'leave --stock out, or plan whole blocks and even widths')
