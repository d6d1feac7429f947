# SPDX-License-Identifier: Apache-2.0
"""Measure checkpoints in the simulator: success on held-out seeds, with intervals, without ROS.

Every checkpoint runs the same seeds. With --swap each scene runs twice, the second time with an
instruction about another object: what moves must change with the words alone.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
import json
import multiprocessing
from pathlib import Path
import platform
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.manifest import load_manifest, write_manifest
from vla_drop_ros.trials.statistics import Interval, wilson

EXAMPLES = """\
examples:
  vla_drop evaluate reference --episodes 200
  vla_drop evaluate reference pruned --variant hard --json outcome.json
  vla_drop evaluate reference --swap --episodes 100
"""
Job = tuple[str, int, str, bool]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoints', nargs='+', help='folders, or names of shipped checkpoints')
    parser.add_argument('--episodes', type=int, default=200, help='seeds (default: 200)')
    parser.add_argument('--first-seed', type=int, default=0,
                        help='training never used seeds below 1000000 (default: 0)')
    parser.add_argument('--variant', default='nominal',
                        help='nominal, distractors, lighting or hard (default: nominal)')
    parser.add_argument('--swap', action='store_true', help='swap the object named, see above')
    parser.add_argument('--workers', type=int, default=1, help='processes (default: 1)')
    parser.add_argument('--json', type=Path, help='write every episode here')
    parser.add_argument('--record', action='store_true',
                        help='write success and latency into the manifest of each checkpoint')


def main(args: argparse.Namespace) -> int:
    """Print a table; return 0."""
    from vla_drop_ros.simulation.layout import VARIANTS
    from vla_drop_ros.simulation.opengl import prepare_rendering
    if args.variant not in VARIANTS:
        raise VlaDropError(unknown('variant', args.variant, VARIANTS))
    if args.episodes < 1 or args.workers < 1:
        raise VlaDropError('--episodes and --workers must be at least 1')
    folders = {name: str(find_checkpoint(name)) for name in args.checkpoints}
    prepare_rendering()
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    outcome: dict[str, list[dict[str, Any]]] = {}
    for name, folder in folders.items():
        jobs = [(folder, seed, args.variant, args.swap) for seed in seeds]
        outcome[name] = _run(jobs, args.workers, name)
    _print(outcome, args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({'variant': args.variant, 'episodes': outcome}, indent=1))
    if args.record:
        for name, folder in folders.items():
            _record(folder, args, outcome[name])
    return 0


def _record(folder: str, args: argparse.Namespace, episodes: list[dict[str, Any]]) -> None:
    """Add the outcome to the manifest; the identity of the checkpoint stays what it is."""
    manifest = load_manifest(folder)
    key = f'{args.variant}_swap' if args.swap else args.variant
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


def _followed(good: list[dict[str, Any]]) -> int:
    return sum(one['swapped']['moved'] == one['swapped']['named'] for one in good)


def _median(episodes: list[dict[str, Any]]) -> float:
    return sorted(float(one['latency']) for one in episodes)[len(episodes) // 2]


def _run(jobs: list[Job], workers: int, name: str) -> list[dict[str, Any]]:
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn('{task.fields[successes]} succeeded'))
    with Progress(*columns) as progress:
        task = progress.add_task(name, total=len(jobs), successes=0)
        results = []
        with _mapper(workers) as run:
            for result in run(_episode, jobs):
                results.append(result)
                progress.update(task, advance=1,
                                successes=sum(one['success'] for one in results))
    return results


class _mapper:  # noqa: N801 - used as a function
    """Map in this process or in several; each keeps its policy and simulator."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context('spawn')
        self._pool = ProcessPoolExecutor(workers, mp_context=context) if workers > 1 else None

    def __enter__(self) -> Callable[..., Any]:
        return map if self._pool is None else self._pool.map

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_LOADED: dict[str, Any] = {}


def _episode(job: Job) -> dict[str, Any]:
    from vla_drop_ros.policies.registry import load_policy
    from vla_drop_ros.reference import rollouts
    folder, seed, variant, swap = job
    if folder not in _LOADED:
        _LOADED.clear()
        _LOADED[folder] = load_policy(folder, threads=1)
    policy = _LOADED[folder]
    latencies: list[float] = []
    if swap:
        first, second = rollouts.swap_instruction(policy, seed, variant)
        return {**asdict(first), 'swapped': asdict(second)}
    episode = rollouts.evaluate(policy, seed, variant, latencies)
    return {**asdict(episode), 'latency': sorted(latencies)[len(latencies) // 2]}


def _print(outcome: dict[str, list[dict[str, Any]]], args: argparse.Namespace) -> None:
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


def _interval(interval: Interval) -> str:
    return f'{100 * interval.low:.1f} .. {100 * interval.high:.1f} %'
