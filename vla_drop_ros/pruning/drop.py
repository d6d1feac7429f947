# SPDX-License-Identifier: Apache-2.0
"""Carry out a plan: on a live model, for a trial, or from one checkpoint folder to another."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from vla_drop_ros.checkpoint import load_checkpoint, refuse_existing, save_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.block_sites import Sites
from vla_drop_ros.families.family import Family, stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.manifest import load_manifest, Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.pruning.constraints import (
    check_plan,
    head_units,
    reader_pairs,
    removed_blocks,
)
from vla_drop_ros.pruning.dead import prove_dead, remove_dead
from vla_drop_ros.pruning.plan import Plan

PLAN_FILE = 'plan.json'


def drop_checkpoint(
    checkpoint: str | Path, output: str | Path, plan: Plan, *, name: str | None = None,
    force: bool = False, stock: bool = False,
) -> Manifest:
    """Write ``output``: ``checkpoint`` after the plan; return its manifest.

    What is written is read again, strictly, and must answer as the model in memory did.

    Args:
        checkpoint: folder to read; verified first, never changed.
        output: folder to write, whole or not at all.
        plan: what goes. Empty: the same model again.
        name: what people call the result; default: the name of the output folder.
        force: replace ``output`` if it is a checkpoint.
        stock: refuse a result that the family's stock loader does not open.

    Raises:
        PlanError: the plan is for another checkpoint, or removes what it cannot.
        CheckpointError: the checkpoint is damaged or the output exists.

    """
    checkpoint, output = Path(checkpoint), Path(output)
    refuse_existing(output, force)
    identity = load_manifest(checkpoint).identity
    if plan.checkpoint and plan.checkpoint != identity:
        raise PlanError(
            f'the plan was made for checkpoint {plan.checkpoint[:12]}, {str(checkpoint)!r} is '
            f'{identity[:12]}; make a plan for this one')
    model, parent = load_checkpoint(checkpoint)
    family, journal = family_of(model), Journal()
    check_plan(family, model, plan, stock=stock)
    record = apply_plan(family, model, replace(plan, dead=False), journal)
    if plan.dead:
        record['dead'] = prove_dead(family, model, len(parent.cameras), journal)
    plan = replace(plan, checkpoint=identity)
    return save_checkpoint(
        output, model, Tokenizer.from_file(str(checkpoint / TOKENIZER_FILE)),
        json.loads((checkpoint / NORMALIZATION_FILE).read_text()), force=force,
        documents={PLAN_FILE: plan.to_dict()}, stock=stock,
        name=name or output.name, role=parent.role, action_spec=parent.action_spec,
        cameras=parent.cameras, state_names=parent.state_names, base_vlm=parent.base_vlm,
        training=parent.training, parent=parent.lineage_record(), dropped=record,
        criterion=plan.origin.get('criterion'), calibration=plan.origin.get('calibration'))


@contextmanager
def dropped(family: Family, model: Any, plan: Plan) -> Iterator[dict[str, Any]]:
    """Carry a plan out on a live model, and take it back at the end; yields the record."""
    journal = Journal()
    try:
        yield apply_plan(family, model, plan, journal)
    finally:
        journal.undo()


@contextmanager
def skipped(family: Family, model: Any, blocks: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Make blocks of a live model do nothing in their places, and restore them at the end.

    The same as to drop them, but for the places, which decide the roles of the blocks behind.
    Keys and values that a block outside of ``blocks`` reads stay.
    """
    found, sites, journal = stacks(family, model), family.sites(family.config(model)), Journal()
    pairs = {name: reader_pairs(found, sites, name) for name in sites.names}
    try:
        for name, indices in blocks.items():
            stack = found[name]
            for index in indices:
                partner = pairs[name].get(index)
                read = partner is not None and partner not in blocks.get(stack.site.read_by, ())
                stack.remove_attention(index, journal, keep_keys_values=read)
                stack.remove_mlp(index, journal)
            _leave_unread(found, sites, name, indices, pairs, journal)
        family.agree(model, journal)
        yield
    finally:
        journal.undo()


def apply_plan(family: Family, model: Any, plan: Plan, journal: Journal) -> dict[str, Any]:
    """Carry a plan out on a live model; the journal can take it back.

    The plan is checked whole before anything is touched.

    Returns:
        For the manifest: stack -> ``kept`` and ``removed`` blocks by the indices before, ``modes``
        -> blocks, and how many ``channels`` and ``heads`` went by block.

    """
    check_plan(family, model, plan)
    found, sites = stacks(family, model), family.sites(family.config(model))
    pairs = {name: reader_pairs(found, sites, name) for name in sites.names}
    gone = {name: removed_blocks(found, sites, plan, name) for name in sites.names}
    record = _record(found, plan, gone)
    for name, blocks in plan.channels.items():
        for index, channels in blocks.items():
            found[name].keep_channels(
                index, _without(found[name].channels(index), channels), journal)
    _remove_heads(found, plan, journal)
    for name, modes in plan.blocks.items():
        _remove_parts(found, sites, name, modes, pairs, journal)
    for name, removed in gone.items():
        _leave_unread(found, sites, name, removed, pairs, journal)
    for name, removed in gone.items():
        found[name].remove_blocks(removed, journal)
    family.agree(model, journal)
    if plan.dead:
        record['dead'] = remove_dead(family, model, journal)
    return record


def _without(total: int, removed: Collection[int]) -> list[int]:
    gone = set(removed)
    return [index for index in range(total) if index not in gone]


def _remove_heads(found: Mapping[str, Stack], plan: Plan, journal: Journal) -> None:
    """Remove query heads, with their keys and values where each group has its own."""
    for name, blocks in plan.heads.items():
        stack = found[name]
        for index, units in blocks.items():
            keep_head_units(stack, index, _without(head_units(stack, index), units), journal)


def keep_head_units(stack: Stack, index: int, kept: Sequence[int], journal: Journal) -> None:
    """Keep these query heads, or groups of them where each has keys and values of its own."""
    groups = stack.key_value_heads(index)
    if groups <= 1:
        stack.keep_heads(index, kept, None, journal)
        return
    share = stack.heads(index) // groups
    queries = [unit * share + head for unit in kept for head in range(share)]
    stack.keep_heads(index, queries, kept, journal)
    if stack.site.key_inputs and stack.site.roles[index] == 'cross':
        stack.keep_key_columns(index, kept, journal)


def _remove_parts(found: Mapping[str, Stack], sites: Sites, name: str,
                  modes: Mapping[str, Collection[int]],
                  pairs: Mapping[str, Mapping[int, int]], journal: Journal) -> None:
    """Remove what goes of blocks that stay."""
    stack = found[name]
    for index in modes.get('keep-kv', ()):
        stack.remove_attention(index, journal, keep_keys_values=True)
        stack.remove_mlp(index, journal)
    for index in modes.get('mlp', ()):
        stack.remove_mlp(index, journal)
    for index in modes.get('mha', ()):
        stack.remove_attention(index, journal, keep_keys_values=stack.is_read(index))
    # What fed an attention that is gone is read by nobody now.
    _leave_unread(found, sites, name, modes.get('mha', ()), pairs, journal)


def _leave_unread(found: Mapping[str, Stack], sites: Sites, name: str, gone: Collection[int],
                  pairs: Mapping[str, Mapping[int, int]], journal: Journal) -> None:
    """Stop the blocks that fed blocks that are gone from filling the cache."""
    source = sites.source(name)
    for fed, reader in pairs[source.name].items() if source is not None else ():
        if reader in gone and source is not None:
            found[source.name].stop_reading(fed, journal)


def _record(found: Mapping[str, Stack], plan: Plan, gone: Mapping[str, Collection[int]],
            ) -> dict[str, Any]:
    """Return what happens to each stack that is touched."""
    record: dict[str, Any] = {}
    for name, stack in found.items():
        modes = {mode: list(indices) for mode, indices in plan.blocks.get(name, {}).items()}
        alone = {index for found_in in modes.values() for index in found_in}
        with_other = sorted(set(gone[name]) - alone)
        if with_other:
            modes['tied'] = with_other
        entry: dict[str, Any] = {
            'kept': _without(len(stack), gone[name]), 'removed': sorted(gone[name]),
            'modes': modes}
        for kind, widths in (('channels', plan.channels), ('heads', plan.heads)):
            if name in widths:
                entry[kind] = {str(index): len(units) for index, units in widths[name].items()}
        if modes or len(entry) > 3:
            record[name] = entry
    return record
