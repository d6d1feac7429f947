# SPDX-License-Identifier: Apache-2.0
"""Measure how smoothly each way of executing chunks moves the arm, by inference latency.

The simulated arm is driven through the real command gate in simulated time; the inference latency
is injected, so the numbers do not depend on this machine. Same scenes and same noise for all.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import sys
from typing import Any, NamedTuple, TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.gates import write_between_marks
from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.simulation.opengl import prepare_rendering
from vla_drop_ros.trials.statistics import wilson

if TYPE_CHECKING:  # at run time once a renderer is chosen
    from bench.chunk_episode import Motion

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = """\
examples:
  python -m bench.smoothness                                   a few minutes, to the screen
  python -m bench.smoothness --modes jump,rtc --latencies 0.1,0.2 --episodes 10
  python -m bench.smoothness --page docs/execution.md          put table and picture there
"""
PAGE_MARKS = ('<!-- bench/smoothness.py begin -->', '<!-- bench/smoothness.py end -->')
PICTURE = 'smoothness.png'
LATENCIES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)


class Line(NamedTuple):
    """A way of executing chunks, for people, and the arguments of ``Way``."""

    title: str
    settings: Mapping[str, Any]


MODES = {
    'jump': Line('asynchronous, jump', {'execution': 'asynchronous'}),
    'blend': Line('asynchronous, blended', {'execution': 'asynchronous', 'blend': 0.1}),
    'ensemble': Line('temporal ensembling', {
        'execution': 'asynchronous', 'blend': 0.1, 'ensemble': 0.5, 'replan': 0.1}),
    'rtc': Line('real-time chunking', {'execution': 'real_time_chunking'}),
    'rtc-blend': Line('real-time chunking, blended', {
        'execution': 'real_time_chunking', 'blend': 0.1}),
    'synchronous': Line('synchronous', {'execution': 'synchronous'}),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """All episodes of one mode at one latency.

    Attributes:
        mode: key of ``MODES``.
        latency: from capture to the gate, [s].
        episodes: run.
        successes: of them.
        seconds: mean simulated time of those that succeeded, NaN without any, [s].
        chunks: a second, over all episodes.
        commanded: mean and 95th percentile of the jerk, [m/s^3].
        measured: the same of the measured path.
        jump: mean and 95th percentile of the jumps at takeovers, [m/s].
        altered: share of the ticks with a chunk in force whose motion a limit changed.

    """

    mode: str
    latency: float
    episodes: int
    successes: int
    seconds: float
    chunks: float
    commanded: tuple[float, float]
    measured: tuple[float, float]
    jump: tuple[float, float]
    altered: float


def summary(mode: str, latency: float, motions: Sequence['Motion']) -> Cell:
    """Return what the episodes of one cell came to; ticks are pooled."""
    good = [one.seconds for one in motions if one.success]
    return Cell(
        mode, latency, len(motions), len(good), float(np.mean(good)) if good else float('nan'),
        sum(one.chunks for one in motions) / sum(one.seconds for one in motions),
        _spread(one.commanded for one in motions), _spread(one.measured for one in motions),
        _spread(one.jumps for one in motions),
        sum(one.altered for one in motions) / max(1, sum(one.ticks for one in motions)))


def _spread(values: Iterable[Any]) -> tuple[float, float]:
    """Return mean and 95th percentile; NaN of nothing."""
    pooled = np.concatenate([np.zeros(0), *values])
    if not pooled.size:
        return float('nan'), float('nan')
    return float(pooled.mean()), float(np.quantile(pooled, 0.95))


def as_markdown(cells: Sequence[Cell]) -> str:
    """Return the table, the ways of one latency beside each other."""
    rows = ['| latency [ms] | mode | jerk commanded [m/s^3] | jerk measured [m/s^3] | '
            'jump [m/s] | success | time [s] | chunks/s | altered |',
            '|---:|---|---:|---:|---:|---:|---:|---:|---:|']
    for cell in sorted(cells, key=lambda one: one.latency):
        jerks = [f'{mean:.0f} / {high:.0f}' for mean, high in (cell.commanded, cell.measured)]
        rows.append(
            f'| {1e3 * cell.latency:.0f} | {MODES[cell.mode].title} | {jerks[0]} | {jerks[1]} | '
            f'{cell.jump[0]:.2f} / {cell.jump[1]:.2f} | {cell.successes}/{cell.episodes} | '
            f'{_shown(cell.seconds)} | {cell.chunks:.1f} | {100 * cell.altered:.0f} % |')
    return '\n'.join(rows)


def _shown(seconds: float) -> str:
    return f'{seconds:.1f}' if np.isfinite(seconds) else '-'


def draw(path: Path, cells: Sequence[Cell]) -> None:
    """Write a PNG: six measures against the latency, a line a mode."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 7), sharex=True)
    panels = (
        ('jerk of the commanded path, mean [m/s³]', lambda cell: cell.commanded[0]),
        ('jerk of the measured path, mean [m/s³]', lambda cell: cell.measured[0]),
        ('jump of velocity at a takeover, mean [m/s]', lambda cell: cell.jump[0]),
        ('success [%], with 95 % interval', lambda cell: 100 * cell.successes / cell.episodes),
        ('time to success, mean [s]', lambda cell: cell.seconds),
        ('ticks altered by limits [%]', lambda cell: 100 * cell.altered))
    modes = [mode for mode in MODES if any(cell.mode == mode for cell in cells)]
    for axis, (title, value) in zip(axes.flat, panels, strict=True):
        for index, mode in enumerate(modes):
            own = sorted((cell for cell in cells if cell.mode == mode),
                         key=lambda cell: cell.latency)
            shift = 3.0 * (index - (len(modes) - 1) / 2) if title.startswith('success') else 0.0
            places = [1e3 * cell.latency + shift for cell in own]
            color = f'C{list(MODES).index(mode)}'
            axis.plot(places, [value(cell) for cell in own], 'o-', color=color, markersize=4,
                      label=MODES[mode].title)
            if title.startswith('success'):
                for place, cell in zip(places, own, strict=True):
                    found = wilson(cell.successes, cell.episodes)
                    axis.plot([place, place], [100 * found.low, 100 * found.high], color=color,
                              alpha=0.35)
        axis.set_title(title, fontsize=10)
        axis.set_ylim(0, 105 if title.startswith('success') else None)
        axis.grid(alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel('inference latency [ms]')
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncols=len(modes), fontsize=9,
                  frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def run(modes: Sequence[str], latencies: Sequence[float], seeds: Sequence[int],
        checkpoint: Path) -> list[Cell]:
    """Return every mode at every latency, over the scenes of the seeds."""
    prepare_rendering()
    from bench.chunk_episode import run_episode, Way
    from vla_drop_ros.contract_file import load_contract
    from vla_drop_ros.policies.registry import load_policy
    from vla_drop_ros.simulation.environment import PickPlaceEnvironment
    ways = {mode: Way(**MODES[mode].settings) for mode in modes}
    contract = load_contract(ROOT / 'config/robots/simulated_arm.yaml')
    policy = load_policy(checkpoint, device='cpu', threads=1, continuing=any(
        way.execution == 'real_time_chunking' for way in ways.values()))
    cell, cells = PickPlaceEnvironment(), []
    columns = (TextColumn('{task.description:32}'), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('', total=len(latencies) * len(modes) * len(seeds))
        for latency in latencies:
            for mode, way in ways.items():
                progress.update(task, description=f'{MODES[mode].title}, {1e3 * latency:.0f} ms')
                motions = []
                for seed in seeds:
                    motions.append(run_episode(cell, policy, contract, way, latency, seed))
                    progress.advance(task)
                cells.append(summary(mode, latency, motions))
    cell.close()
    return cells


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return 0; 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m bench.smoothness', description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--episodes', type=int, default=3,
                        help='scenes a mode and latency, seeds from 0 (default: 3)')
    parser.add_argument('--modes', default=','.join(MODES), help='(default: %(default)s)')
    parser.add_argument('--latencies', default=','.join(map(str, LATENCIES)),
                        help='from capture to the gate, s (default: %(default)s)')
    parser.add_argument('--checkpoint', type=Path, default=ROOT / 'models/reference',
                        help='policy (default: the shipped reference)')
    parser.add_argument('--json', type=Path, help='write every number here')
    parser.add_argument('--page', type=Path, help='put the table into this page, between '
                        f'{PAGE_MARKS[0]} and {PAGE_MARKS[1]}, and {PICTURE} beside it')
    args = parser.parse_args(arguments)
    try:
        modes, latencies = args.modes.split(','), _seconds(args.latencies)
        for mode in modes:
            if mode not in MODES:
                raise VlaDropError(unknown('mode', mode, MODES))
        if args.episodes < 1:
            raise VlaDropError(f'--episodes {args.episodes}: at least 1')
        cells = run(modes, latencies, range(args.episodes), args.checkpoint)
        table = as_markdown(cells)
        if args.page:
            write_between_marks(args.page, f'{table}\n\n![]({PICTURE})', *PAGE_MARKS)
            draw(args.page.with_name(PICTURE), cells)
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(table)
    if args.json:
        args.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1))
    return 0


def _seconds(text: str) -> list[float]:
    """Return the latencies of a list."""
    try:
        found = [float(word) for word in text.split(',')]
    except ValueError:
        found = []
    if not found or not all(0.0 <= one <= 2.0 for one in found):
        raise VlaDropError(f'--latencies {text!r}: seconds from 0 to 2, as 0.05,0.2')
    return found


if __name__ == '__main__':
    sys.exit(measure())
