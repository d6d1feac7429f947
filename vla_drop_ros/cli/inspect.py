# SPDX-License-Identifier: Apache-2.0
"""Show what a checkpoint is: blocks, sizes, action language, history; its hashes are verified."""

import argparse
from collections.abc import Iterator, Mapping
import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.manifest import block_counts, Manifest, verify

EXAMPLES = """\
examples:
  vla_drop inspect reference
  vla_drop inspect reference --json | jq .parameters
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoint', help='folder, or name of one in models')
    parser.add_argument('--json', action='store_true', help='print the manifest for programs')


def main(args: argparse.Namespace) -> int:
    """Print the checkpoint; return 0."""
    folder = find_checkpoint(args.checkpoint)
    manifest, blocks = verify(folder), block_counts(folder)
    if args.json:
        print(json.dumps(
            {**manifest.to_dict(), 'identity': manifest.identity, 'blocks': blocks}, indent=2))
        return 0
    console = Console()
    console.print(
        f'[bold]{escape(manifest.name)}[/]  {manifest.short}  '
        f'{manifest.family} {manifest.role}, format {manifest.format_version}')
    console.print(_stacks(manifest, blocks))
    console.print(_facts(manifest))
    return 0


def _stacks(manifest: Manifest, blocks: Mapping[str, int]) -> Table:
    """Return blocks, parameters and bytes by stack."""
    table = Table('stack', title_justify='left')
    for column in ('blocks', 'parameters', 'MB'):
        table.add_column(column, justify='right')
    table.add_column('kept of the parent')
    for stack, count in manifest.parameters.items():
        kept = _kept((manifest.dropped or {}).get(stack))
        table.add_row(stack, str(blocks.get(stack, '')), f'{count:,}',
                      f'{manifest.bytes[stack] / 1e6:.2f}', escape(kept))
    table.add_section()
    table.add_row('all', '', f'{sum(manifest.parameters.values()):,}',
                  f'{sum(manifest.bytes.values()) / 1e6:.2f}', '')
    return table


def _kept(change: Mapping[str, Any] | None) -> str:
    """Return the blocks of the parent that are left, and how the others or their parts went."""
    if not change:
        return ''
    modes = change.get('modes') or {change.get('mode', ''): change['removed']}
    widths = [f'{sum(change[kind].values())} {kind}' for kind in ('channels', 'heads')
              if kind in change]
    lost = [*(f'{mode} {indices}' for mode, indices in modes.items()), *widths]
    return f'{change["kept"]} (without {", ".join(lost)})'


def _facts(manifest: Manifest) -> Table:
    """Return everything else, one fact a row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style='bold', no_wrap=True)
    spec = manifest.action_spec
    facts: dict[str, str | None] = {
        'actions': None if spec is None else (
            f'{" ".join(spec.names)}, {spec.reference} in {spec.frame}; {spec.chunk_length} steps '
            f'of {spec.period} s, {spec.executed_steps} executed'),
        'cameras': ', '.join(
            f'{key} {size.width}x{size.height}' for key, size in manifest.cameras.items()),
        'state': ' '.join(manifest.state_names),
        'lineage': '\n'.join(lineage(manifest)),
        'base vlm': _named(manifest.base_vlm),
        'dead parts dropped': _dead(manifest),
        'criterion': _criterion(manifest.criterion),
        'calibration': _calibration(manifest.calibration),
        'recovery': _recovery(manifest.recovery),
        'quality': _plain(manifest.quality) or 'not measured',
        'latency': _plain(manifest.latency) or 'not measured',
        'training': _plain(manifest.training),
        'files': '\n'.join(f'{digest[:12]}  {name}' for name, digest in manifest.files.items())
                 + '\nall hashes match',
        'identity': manifest.identity,
        'opens with': _stock(manifest),
        'written by': f'vla_drop_ros {manifest.tool_version} {manifest.git_commit[:12]}',
    }
    for name, text in facts.items():
        if text:
            table.add_row(name, escape(text))
    return table


def lineage(manifest: Manifest) -> Iterator[str]:
    """Yield one line a generation, the newest first: hash, name, what it lost."""
    record: Mapping[str, Any] | None = manifest.lineage_record()
    while record is not None:
        changes = {stack: change for stack, change in (record['dropped'] or {}).items()
                   if stack != 'dead'}
        lost = [f'{stack} {mode} {indices}' for stack, change in changes.items()
                for mode, indices in (change.get('modes') or {
                    change.get('mode', ''): change['removed']}).items() if indices]
        lost += [f'{sum(change[kind].values())} {stack} {kind}'
                 for stack, change in changes.items() for kind in ('channels', 'heads')
                 if kind in change]
        lost += ['what nothing read'] if 'dead' in (record['dropped'] or {}) else []
        yield f'{record["sha256"][:12]}  {record["name"]}' + (
            f'  without {"; ".join(lost)}' if lost else '')
        record = record['parent']


def _dead(manifest: Manifest) -> str | None:
    removals = (manifest.dropped or {}).get('dead')
    return '\n'.join(f'{one["what"]}: {one["why"]} ({one["parameters"]:,} parameters)'
                     for one in removals) if removals else None


def _criterion(record: Mapping[str, Any] | None) -> str | None:
    """Return name and source; the scores are in the manifest for programs."""
    return _plain({key: value for key, value in record.items() if key != 'scores'}
                  ) if record else None


def _calibration(record: Mapping[str, Any] | None) -> str | None:
    """Return which data; the frames are in the manifest for programs."""
    return _plain({key: value for key, value in record.items()
                   if key not in ('frames', 'episodes')}) if record else None


def _recovery(record: Mapping[str, Any] | None) -> str | None:
    """Return data, recipe and what was measured last; the curve is in the manifest."""
    if not record:
        return None
    recipe = ', '.join(f'{name} {value}' for name, value in record['recipe'].items() if value)
    last = ', '.join(f'{name} {value:.4g}' for name, value in record['curve'][-1].items())
    taught = f'\ntaught by {record["parent"]}' if record['parent'] else ''
    return (f'{record["frames"]} frames of {record["episodes"]} episodes of {record["dataset"]} '
            f'({record["dataset_sha256"][:12]}), {record["seconds"]} s in {record["processes"]} '
            f'processes{taught}\n{recipe}\n{last}')


def _stock(manifest: Manifest) -> str | None:
    if manifest.stock is None:
        return None
    loader = str(manifest.stock['loader'])
    return (f'vla_drop and {loader}' if manifest.stock['opens']
            else f'vla_drop only: {manifest.stock["why"]}')


def _named(record: Mapping[str, Any] | None) -> str | None:
    return f'{str(record.get("sha256", ""))[:12]}  {record.get("name")}' if record else None


def _plain(record: Mapping[str, Any] | None) -> str | None:
    """Return one ``key: value`` a line."""
    return '\n'.join(
        f'{key}: {json.dumps(value) if isinstance(value, dict | list) else value}'
        for key, value in record.items()) if record else None
