# SPDX-License-Identifier: Apache-2.0
"""Measure checkpoints in the simulator: success on held-out seeds, with intervals, without ROS.

Every checkpoint runs the same seeds, so that two are compared scene by scene. With --swap each
scene runs twice, the second time with an instruction about another object: what moves must change
with the words alone.

Episodes run in this process, in --workers, or with --ray on the nodes of a cluster, with the same
results; only the time of a chunk depends on where. With --log every episode is on disk as soon as
it has finished, and the same command goes on where a killed one ended.
"""

import argparse
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
import json
from pathlib import Path
import platform
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.manifest import load_manifest, write_manifest
from vla_drop_ros.trials.statistics import Interval, paired_difference, wilson

EXAMPLES = """\
examples:
  vla_drop evaluate reference --episodes 200 --workers 8
  vla_drop evaluate reference pruned --variant hard --json outcome.json
  vla_drop evaluate reference --swap --episodes 100
  vla_drop evaluate reference pruned --episodes 1000 --ray auto --log episodes.jsonl
"""
Episodes = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoints', nargs='+', help='folders, or names of shipped checkpoints')
    parser.add_argument('--episodes', type=int, default=200, help='seeds (default: 200)')
    parser.add_argument('--first-seed', type=int, default=0,
                        help='training never used seeds below 1000000 (default: 0)')
    parser.add_argument('--variant', default='nominal',
                        help='nominal, distractors, lighting, hard, camera or start '
                             '(default: nominal)')
    parser.add_argument('--swap', action='store_true', help='swap the object named, see above')
    parser.add_argument('--paraphrase', action='store_true',
                        help='say every task in a phrasing that training never had')
    parser.add_argument('--workers', type=int, default=1,
                        help='processes on this machine, without --ray (default: 1)')
    parser.add_argument('--ray', metavar='ADDRESS',
                        help='run on a Ray cluster: auto, HOST:6379 or ray://HOST:10001')
    parser.add_argument('--log', type=Path, metavar='FILE',
                        help='add every finished episode to this file (JSON lines); those that '
                             'are in it are not run again')
    parser.add_argument('--json', type=Path, help='write every episode here at the end')
    parser.add_argument('--record', action='store_true',
                        help='write success and latency into the manifest of each checkpoint')


def main(args: argparse.Namespace) -> int:
    """Print a table; return 0."""
    from vla_drop_ros.simulation.layout import VARIANTS
    from vla_drop_ros.simulation.opengl import prepare_rendering
    if args.variant not in VARIANTS:
        raise VlaDropError(unknown('variant', args.variant, VARIANTS))
    if args.swap and args.paraphrase:
        raise VlaDropError('--swap and --paraphrase: one at a time')
    if args.episodes < 1 or args.workers < 1:
        raise VlaDropError('--episodes and --workers must be at least 1')
    folders = {name: str(find_checkpoint(name)) for name in args.checkpoints}
    prepare_rendering()
    outcome = _run(folders, args)
    _print(outcome, args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({'variant': args.variant, 'episodes': outcome}, indent=1))
    if args.record:
        for name, folder in folders.items():
            _record(folder, args, outcome[name])
    return 0


def _run(folders: Mapping[str, str], args: argparse.Namespace) -> dict[str, Episodes]:
    """Return the episodes of every checkpoint, in the order of the seeds."""
    from vla_drop_ros.evaluation import pool
    from vla_drop_ros.evaluation.episodes import Job
    from vla_drop_ros.evaluation.record import Record
    identities = {name: load_manifest(folder).identity for name, folder in folders.items()}
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    probe = 'swap' if args.swap else 'paraphrase' if args.paraphrase else 'own'
    jobs = [Job(folder, identities[name], seed, args.variant, probe)
            for name, folder in folders.items() for seed in seeds]
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn('{task.fields[successes]} succeeded'))
    with Progress(*columns) as bars, Record(args.log) if args.log else nullcontext() as record:
        names = {identity: name for name, identity in identities.items()}
        tasks = {identity: bars.add_task(name, total=args.episodes, successes=0)
                 for identity, name in names.items()}

        def show(job: Job, result: Mapping[str, Any]) -> None:
            task = tasks[job.checkpoint]
            bars.update(task, advance=1, successes=bars.tasks[task].fields['successes']
                        + result['success'])

        results = pool.run(jobs, args.workers, record, show, args.ray)
    return {name: results[place * len(seeds):(place + 1) * len(seeds)]
            for place, name in enumerate(folders)}


def _record(folder: str, args: argparse.Namespace, episodes: Episodes) -> None:
    """Add the outcome to the manifest; the identity of the checkpoint stays what it is."""
    manifest = load_manifest(folder)
    key = args.variant + ('_swap' if args.swap else '_paraphrase' if args.paraphrase else '')
    good = [one for one in episodes if one['success']]
    interval = wilson(len(good), len(episodes))
    measured: dict[str, Any] = {
        'episodes': len(episodes), 'successes': len(good), 'first_seed': args.first_seed,
        'interval95': [round(interval.low, 4), round(interval.high, 4)]}
    latency = manifest.latency
    if args.swap:
        measured['named_object_moved'] = _followed(good)
    else:
        device = f'{platform.machine()} cpu, 1 thread'
        latency = {**(latency or {}), device: {'chunk_ms': round(1e3 * _median(episodes), 1)}}
    write_manifest(folder, replace(
        manifest, quality={**(manifest.quality or {}), key: measured}, latency=latency))


def _followed(good: Episodes) -> int:
    return sum(one['swapped']['moved'] == one['swapped']['named'] for one in good)


def _median(episodes: Episodes) -> float:
    return sorted(float(one['latency']) for one in episodes)[len(episodes) // 2]


def _print(outcome: dict[str, Episodes], args: argparse.Namespace) -> None:
    table = Table(title=f'{args.variant}, {args.episodes} seeds from {args.first_seed}, '
                        '95 % Wilson intervals')
    for heading in ('checkpoint', 'success', 'interval', 'wrong object', 'by goal', 'ms a chunk'):
        table.add_column(heading)
    for name, episodes in outcome.items():
        good = [one for one in episodes if one['success']]
        goals = sorted({one['goal'] for one in episodes})
        wrong = sum(one['moved'] not in (None, one['named']) for one in episodes)
        by_goal = '\n'.join(
            f'{goal} {sum(one["goal"] == goal for one in good)}'
            f'/{sum(one["goal"] == goal for one in episodes)}' for goal in goals)
        speed = '-' if args.swap else f'{1e3 * _median(episodes):.0f}'
        table.add_row(name, f'{len(good)}/{len(episodes)}', _interval(
            wilson(len(good), len(episodes))), f'{wrong}', by_goal, speed)
        if args.swap and good:
            followed = _followed(good)
            table.add_row('  other object named:\n  that one moved', f'{followed}/{len(good)}',
                          _interval(wilson(followed, len(good))), '', '', '')
    Console().print(table)
    first, *others = outcome
    if others:
        Console().print(_pairs(first, {name: outcome[name] for name in others}, outcome[first]))


def _pairs(first: str, others: Mapping[str, Episodes], baseline: Episodes) -> Table:
    """Return the table of how each checkpoint did on the scenes of the first."""
    table = Table(title=f'scene by scene against {first}, difference with 95 % interval of Tango')
    for heading in ('checkpoint', 'both', 'only first', 'only this', 'neither', 'difference'):
        table.add_column(heading)
    for name, episodes in others.items():
        pairs = [(bool(one['success']), bool(two['success']))
                 for one, two in zip(baseline, episodes, strict=True)]
        found = paired_difference(pairs.count((False, True)), pairs.count((True, False)),
                                  len(pairs))
        table.add_row(name, *(str(pairs.count(pair)) for pair in (
            (True, True), (True, False), (False, True), (False, False))),
            f'{100 * found.estimate:+.1f} points\n'
            f'{100 * found.low:+.1f} .. {100 * found.high:+.1f}')
    return table


def _interval(interval: Interval) -> str:
    return f'{100 * interval.low:.1f} .. {100 * interval.high:.1f} %'
