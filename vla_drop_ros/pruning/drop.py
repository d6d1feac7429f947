# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint with fewer blocks; the rest of it stays bit for bit."""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from vla_drop_ros.checkpoint import load_checkpoint, refuse_existing, save_checkpoint
from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.manifest import Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.pruning.block_sites import block_stacks, tied_stacks


def drop_blocks(
    checkpoint: str | Path, output: str | Path, blocks: Mapping[str, Sequence[int]],
    *, name: str | None = None, criterion: Mapping[str, Any] | None = None, force: bool = False,
) -> Manifest:
    """Write ``output``: ``checkpoint`` without the named whole blocks; return its manifest.

    Args:
        checkpoint: folder to read; verified first, never changed.
        output: folder to write, whole or not at all.
        blocks: stack -> indices to remove, ``vision`` and ``language``; the action expert of pi0
            loses the same blocks as its language model. Empty: the same model again.
        name: what people call the result; default: the name of the output folder.
        criterion: how the blocks were chosen, kept in the manifest.
        force: replace ``output`` if it is a checkpoint.

    Raises:
        PlanError: the plan names a block or stack that it cannot.
        CheckpointError: the checkpoint is damaged or the output exists.

    """
    checkpoint, output = Path(checkpoint), Path(output)
    refuse_existing(output, force)
    model, parent = load_checkpoint(checkpoint)
    dropped = remove_blocks(model, blocks)
    return save_checkpoint(
        output, model, Tokenizer.from_file(str(checkpoint / TOKENIZER_FILE)),
        json.loads((checkpoint / NORMALIZATION_FILE).read_text()), force=force,
        name=name or output.name, role=parent.role, action_spec=parent.action_spec,
        cameras=parent.cameras, state_names=parent.state_names, base_vlm=parent.base_vlm,
        training=parent.training, parent=parent.lineage_record(), dropped=dropped,
        criterion=criterion)


def remove_blocks(model: Any, blocks: Mapping[str, Sequence[int]]) -> dict[str, dict[str, Any]]:
    """Remove blocks from a live model; return stack -> ``mode``, ``kept``, ``removed``.

    The plan is checked whole before anything is touched. Mode ``whole`` is a stack on its own,
    ``tied`` one that loses the same blocks as another.
    """
    stacks, ties = block_stacks(model), tied_stacks(model)
    check_plan(blocks, {stack: len(stacks[stack].blocks) for stack in stacks}, ties)
    dropped = {}
    for chosen, together in ties.items():
        removed = sorted(blocks.get(chosen, ()))
        for stack in together:
            depth = len(stacks[stack].blocks)
            stacks[stack].remove(removed)
            dropped[stack] = {
                'mode': 'tied' if len(together) > 1 else 'whole',
                'kept': [index for index in range(depth) if index not in removed],
                'removed': removed}
    return dropped


def check_plan(blocks: Mapping[str, Sequence[int]], depths: Mapping[str, int],
               ties: Mapping[str, Sequence[str]]) -> None:
    """Raise PlanError for a stack or block that cannot be dropped, naming the valid ones."""
    for stack, indices in blocks.items():
        leader = next((one for one, group in ties.items() if stack in group[1:]), None)
        if leader is not None:
            raise PlanError(
                f'{stack} blocks are tied to the {leader} blocks of the same index and go with '
                f'them; name the {leader} blocks instead')
        if stack not in ties:
            raise PlanError(unknown('stack', stack, ties))
        depth = depths[stack]
        outside = sorted(index for index in indices if not 0 <= index < depth)
        if outside:
            raise PlanError(
                f'{stack} block {outside} does not exist; valid: 0 to {depth - 1}')
        twice = sorted({index for index in indices if list(indices).count(index) > 1})
        if twice:
            raise PlanError(f'{stack} block {twice} is named more than once; name it once')
        if len(indices) == depth:
            raise PlanError(
                f'the plan drops all {depth} {stack} blocks; leave at least one')
