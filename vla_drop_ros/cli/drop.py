# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint with fewer blocks; the given one is never changed.

A pi0 action expert loses the blocks of the same index as its language model.
"""

import argparse
from pathlib import Path

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.manifest import load_manifest

EXAMPLES = """\
examples:
  vla_drop drop reference --language 1,3,5 -o smaller
  vla_drop drop reference --language 6 --vision 2,4 -o smaller --force
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoint', help='folder to read, or name of one in models')
    parser.add_argument('--language', default='', metavar='I,J,...',
                        help='language blocks to drop, counted from 0')
    parser.add_argument('--vision', default='', metavar='I,J,...',
                        help='vision blocks to drop, counted from 0')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--name', help='name in the manifest (default: that of the output folder)')
    parser.add_argument('--force', action='store_true', help='replace an output that exists')


def main(args: argparse.Namespace) -> int:
    """Write the smaller checkpoint and say what became of it; return 0."""
    plan = {stack: block_numbers(stack, getattr(args, stack)) for stack in ('language', 'vision')}
    if not any(plan.values()):
        raise PlanError('nothing to drop: name blocks with --language 1,3 or --vision 2')
    from vla_drop_ros.pruning.drop import drop_blocks
    checkpoint = find_checkpoint(args.checkpoint)
    before = sum(load_manifest(checkpoint).parameters.values())
    manifest = drop_blocks(
        checkpoint, args.output, plan, name=args.name, force=args.force)
    after = sum(manifest.parameters.values())
    for stack, change in (manifest.dropped or {}).items():
        print(f'{stack:9} keeps {len(change["kept"])} blocks {change["kept"]}, '
              f'drops {change["removed"]}')
    print(f'{after:,} of {before:,} parameters left ({after / before:.1%})')
    print(f'wrote {args.output}  {manifest.short}')
    return 0


def block_numbers(stack: str, text: str) -> list[int]:
    """Return the numbers of '1,3,5', none of ''; ``stack`` is the name of the argument."""
    try:
        return [int(part) for part in text.split(',') if part.strip()]
    except ValueError:
        raise PlanError(
            f'--{stack} {text!r} is no list of block numbers; write for instance '
            f'--{stack} 1,3,5') from None
