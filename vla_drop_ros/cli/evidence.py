# SPDX-License-Identifier: Apache-2.0
"""Try the claims of the pruning papers on the reference policy, and write what came out.

`run` makes demonstrations, a ranking, pruned and recovered checkpoints, and simulated episodes,
for hours; killed, it goes on where it was, on another machine too, since what is finished lies in
the results file. `time` measures speed, on an idle machine. `report` writes the tables.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import unknown, VlaDropError

EXAMPLES = """\
examples:
  vla_drop evidence run --work evidence_work --workers 2
  vla_drop evidence run --sections modules,teaching
  vla_drop evidence time
  vla_drop evidence report
  vla_drop evidence run --quick --output output/evidence      minutes, and means nothing
"""
EPISODES, UNPAIRED_EPISODES = 6000, 2600
ZERO_SHOT = 100  # episodes of each pruned model before it is recovered
VARIANTS = 'nominal,distractors,lighting,hard'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('action', choices=['run', 'time', 'report'])
    parser.add_argument('--checkpoint', default='reference', help='the baseline')
    parser.add_argument('--work', type=Path, default=Path('evidence_work'),
                        help='demonstrations and checkpoints, about 3 GB (default: evidence_work)')
    parser.add_argument('--output', type=Path, default=Path('docs'),
                        help='gets recovery.md and evidence/ (default: docs)')
    parser.add_argument('--workers', type=int, default=1, help='processes (default: 1)')
    parser.add_argument('--sections', default='', metavar='A,B,...',
                        help='only some of the sections (default: all)')
    parser.add_argument('--quick', action='store_true',
                        help='a few steps, rows and episodes, to try the machinery')


def main(args: argparse.Namespace) -> int:
    """Run, time or report; return 0."""
    from vla_drop_ros.simulation.opengl import prepare_rendering
    prepare_rendering()  # before MuJoCo is imported
    from vla_drop_ros.evidence.rows import SECTIONS
    sections = [part for part in args.sections.split(',') if part]
    for section in sections:
        if section not in SECTIONS:
            raise VlaDropError(unknown('section', section, SECTIONS))
    if args.workers < 1:
        raise VlaDropError(f'--workers {args.workers}: at least 1 is needed')
    if args.action == 'run':
        return _run(args, sections)
    return _time(args) if args.action == 'time' else _report(args)


def _places(args: argparse.Namespace) -> Any:
    from vla_drop_ros.evidence.study import Places
    return Places(find_checkpoint(args.checkpoint), args.work / 'data', args.work / 'unpaired',
                  args.work, args.output / 'evidence' / 'units.jsonl')


def _prepare(args: argparse.Namespace) -> Any:
    """Return the rows, after making what they need."""
    from vla_drop_ros.cli.main import main as vla_drop
    from vla_drop_ros.evidence.study import rows_of, WITHOUT
    episodes, unpaired = (10, 10) if args.quick else (EPISODES, UNPAIRED_EPISODES)
    takeover = ['--variant', VARIANTS, '--takeover', 'wander', args.checkpoint]
    ranking, rows = args.work / 'ranking.json', args.output / 'evidence' / 'rows.json'
    steps = [
        (args.work / 'data', ['demonstrate', '-o', str(args.work / 'data'), '--episodes',
                              f'{episodes}', *takeover]),
        (args.work / 'unpaired', ['demonstrate', '-o', str(args.work / 'unpaired'), '--episodes',
                                  f'{unpaired}', '--first-seed', '510000', *takeover,
                                  '--without', *WITHOUT]),
        (rows, ['rank', args.checkpoint, '--data', str(args.work / 'data'), '-o', str(ranking),
                '--no-latency', *(('--samples', '4', '--criterion', 'uniform', '--no-probes')
                                  if args.quick else ())]),
    ]
    for made, command in steps:
        if not made.exists() and not (made == rows and ranking.exists()) and vla_drop(command):
            raise VlaDropError(f'`vla_drop {" ".join(command)}` failed; see above')
    return rows_of(rows, ranking)


def _run(args: argparse.Namespace, sections: list[str]) -> int:
    from vla_drop_ros.evidence import study
    from vla_drop_ros.evidence.results import Results
    rows = [row for row in _prepare(args) if not sections or row.section in sections]
    limits = {'zero_shot': ZERO_SHOT}
    if args.quick:
        limits = {'zero_shot': 2, 'steps': 2, 'limit': 2}
        rows = [replace(row, seeds=(0,), probes=row.probes[:2]) for row in rows[:3]]
    places = _places(args)
    results = Results(places.results)
    todo = [task for task in study.tasks(rows, places, **limits)
            if not study.is_done(task, results)]
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task('units', total=len(todo))
        for key in study.run(todo, args.workers):
            progress.update(bar, advance=1, description=f'units, last {key}')
    print(f'{len(todo)} units done; results in {places.results}')
    return _report(args)


def _time(args: argparse.Namespace) -> int:
    from vla_drop_ros.evidence.results import Results
    from vla_drop_ros.evidence.study import rows_of
    from vla_drop_ros.evidence.timing import Clock
    from vla_drop_ros.pruning.drop import drop_checkpoint
    places = _places(args)
    rows = rows_of(args.output / 'evidence' / 'rows.json', args.work / 'ranking.json')
    results = Results(places.results)
    units = {unit.pruned: unit for row in rows for unit in row.units()}
    whole = next(unit for unit in units.values() if not unit.plan.blocks
                 and not unit.plan.channels and not unit.plan.heads)
    for unit in units.values():
        if not places.pruned(unit).is_dir():
            drop_checkpoint(places.parent, places.pruned(unit), unit.plan)
    clock = Clock(places.pruned(whole), places.data)
    with Progress(console=Console(stderr=True)) as progress:
        for name, unit in progress.track(units.items(), description='timing'):
            results.add({'unit': name, 'timing': clock.measure(places.pruned(unit))})
    return _report(args)


def _report(args: argparse.Namespace) -> int:
    from vla_drop_ros.evidence.report import write
    print(f'wrote {write(args.output)}')
    return 0
