# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint without what a plan names; the given one is never changed.

The plan is a file that `vla_drop plan` wrote, or blocks named here. What is written is read again
and must answer as the model in memory did. --dead also removes what nothing reads, and proves bit
for bit that no action changes.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.manifest import load_manifest, Manifest
from vla_drop_ros.pruning.plan import Plan

EXAMPLES = """\
examples:
  vla_drop drop reference plan.json -o smaller
  vla_drop drop reference --language 1,3,5 -o smaller       with the action blocks that read it
  vla_drop drop reference --language 1,3,5 --mode keep-kv -o smaller
  vla_drop drop reference --dead -o lossless               5 % less, no action changes
"""
STACKS = ('language', 'vision', 'action')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoint', help='folder to read, or name of one in models')
    parser.add_argument('plan', type=Path, nargs='?', help='file that `vla_drop plan` wrote')
    for stack in STACKS:
        parser.add_argument(f'--{stack}', default='', metavar='I,J,...',
                            help=f'{stack} blocks to drop, counted from 0, instead of a plan')
    parser.add_argument('--mode', help='how the blocks named here go: whole, tied, keep-kv, mha '
                                       'or mlp (default: the first that the family can)')
    parser.add_argument('--dead', action='store_true', help='also drop what nothing reads')
    parser.add_argument('--stock', action='store_true',
                        help="refuse what the family's own loader could not open")
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--name', help='name in the manifest (default: that of the output folder)')
    parser.add_argument('--force', action='store_true', help='replace an output that exists')


def main(args: argparse.Namespace) -> int:
    """Write the smaller checkpoint and say what became of it; return 0."""
    blocks = {stack: block_numbers(stack, getattr(args, stack)) for stack in STACKS}
    if args.plan is not None and (any(blocks.values()) or args.mode):
        raise PlanError('give a plan file, or name blocks with --language 1,3: not both')
    if args.plan is None and not any(blocks.values()) and not args.dead:
        raise PlanError('nothing to drop: give a plan file, name blocks with --language 1,3 or '
                        '--vision 2, or drop what nothing reads with --dead')
    checkpoint = find_checkpoint(args.checkpoint)
    before = load_manifest(checkpoint)
    from vla_drop_ros.pruning.drop import drop_checkpoint
    plan = (Plan.load(args.plan) if args.plan is not None
            else named_blocks(checkpoint, blocks, args.mode))
    plan = replace(plan, dead=plan.dead or args.dead)
    manifest = drop_checkpoint(checkpoint, args.output, plan, name=args.name, force=args.force,
                               stock=args.stock)
    tell(before, manifest)
    print(f'wrote {args.output}  {manifest.short}')
    return 0


def named_blocks(checkpoint: Path, blocks: Mapping[str, Sequence[int]], mode: str | None) -> Plan:
    """Return the plan that drops these blocks, in the family's own way unless a mode is given."""
    from vla_drop_ros.families.registry import family
    found = family(load_manifest(checkpoint).family)
    sites = found.sites(found.read_config(checkpoint))
    wanted = {stack: tuple(indices) for stack, indices in blocks.items() if indices}
    for stack in wanted:
        sites[stack]
    return Plan({stack: {mode or sites.modes[stack][0]: indices}
                 for stack, indices in wanted.items()})


def tell(before: Manifest, manifest: Manifest) -> None:
    """Print what went and what is left."""
    dropped = dict(manifest.dropped or {})
    for removal in dropped.pop('dead', ()):
        print(f'dead      {removal["what"]}: {removal["why"]} ({removal["parameters"]:,} '
              'parameters, no action differs by one bit)')
    for stack, change in dropped.items():
        modes = '; '.join(f'{mode} {indices}' for mode, indices in change['modes'].items())
        widths = [f'{sum(change[kind].values())} {kind}' for kind in ('channels', 'heads')
                  if kind in change]
        print(f'{stack:9} {len(change["kept"])} blocks left, without '
              f'{", ".join(filter(None, [modes, *widths]))}')
    old, new = (sum(one.parameters.values()) for one in (before, manifest))
    print(f'{new:,} of {old:,} parameters left ({new / old:.1%})')
    stock = manifest.stock or {}
    print(f'{stock["loader"]} opens it' if stock['opens'] else
          f'{stock["loader"]} cannot open it: {stock["why"]}')


def block_numbers(stack: str, text: str) -> list[int]:
    """Return the numbers of '1,3,5', none of ''; ``stack`` is the name of the argument."""
    try:
        return [int(part) for part in text.split(',') if part.strip()]
    except ValueError:
        raise PlanError(
            f'--{stack} {text!r} is no list of block numbers; write for instance '
            f'--{stack} 1,3,5') from None
