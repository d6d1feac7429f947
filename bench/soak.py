#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a cell for a long time and look for what grows, hangs or breaks a limit.

In turn, at random: a new scene, an instruction that belongs to another scene, another of the
shipped checkpoints, a fault of bench/drill/faults.py that leaves every process alive. Memory, open
files and shared memory of robot, gate and policy are sampled; every command is judged by the
listener of the drill.

  python bench/soak.py                30 minutes
  python bench/soak.py --minutes 5    a look
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
import sys
import tempfile
import time

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file, not as a module
    sys.path.insert(0, str(ROOT))

from bench.drill import report  # noqa: E402
from bench.drill.cell import Cell  # noqa: E402
from bench.drill.faults import Fault, FAULTS  # noqa: E402
from bench.drill.person import wait_until  # noqa: E402
from bench.drill.resources import Growth, growth, Holding, MEBIBYTE, Sampler  # noqa: E402
from bench.drill.trial import named, run_trial  # noqa: E402
from vla_drop_ros.bringup import find_checkpoint  # noqa: E402
from vla_drop_ros.errors import VlaDropError  # noqa: E402
from vla_drop_ros.preflight import private_domain  # noqa: E402

MARK = 'make soak'
DOCUMENT = ROOT / 'docs/reference/safety.md'
CHECKPOINTS = ('reference', 'reference-half', 'reference-two')
WARM_UP = 0.3          # share of the time in which memory may still grow
TOLERATED = 10.0       # [MiB/h]: with the interval above it, and by so much, memory grows:
MORE_MEMORY = 8.0      # [MiB] that an allocator may still take, without which a short run is noise
MORE_FILES = 5         # open files that may come and go
SWAP = 60.0            # [s] that a swap may take
TURN = 4.0             # [s] that an instruction is watched
WIDTH = 150
COLUMNS = ('process', 'memory [MiB] begin', 'warm', 'end', 'growth [MiB/h] (95 %)',
           'files begin', 'end', 'segments begin', 'end', 'verdict')
KILLS = ('killed', 'told to end', 'clock jumps')  # a process, or the time axis of a whole run


@dataclass
class Soak:
    """What a long run did.

    Attributes:
        minutes: how long it ran.
        turns: what was done, how often.
        problems: what was not as it has to be.
        broken: something did not come back, which ends the run.
        taken: samples by process.

    """

    minutes: float = 0.0
    turns: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    broken: bool = False
    taken: Mapping[str, list[Holding]] = field(default_factory=dict)


def survivable() -> list[Fault]:
    """Return the faults that leave every process alive and need no spoilt policy."""
    return [fault for fault in FAULTS if fault.group != 'inference'
            and not any(word in fault.name for word in KILLS)]


def soak(cell: Cell, minutes: float, rng: np.random.Generator,
         tell: Callable[[str], None]) -> Soak:
    """Run until the time is over or something does not come back."""
    done, began = Soak(), time.monotonic()
    with Sampler(cell.process_ids()) as sampler:
        done.taken = sampler.taken
        while time.monotonic() - began < 60.0 * minutes and not done.broken:
            name, turn = TURNS[int(rng.integers(len(TURNS)))]
            try:
                what = turn(cell, rng, done)
                cell.check()
            except VlaDropError as error:
                what = f'broke off: {error}'
                done.problems.append(f'{name}: {error}')
                done.broken = True
            done.turns[name] += 1
            tell(f'{name}: {what}')
    done.minutes = (time.monotonic() - began) / 60.0
    found = cell.listener(violations=0.0)['found']
    done.problems += named(found, began)
    return done


def _fault(cell: Cell, rng: np.random.Generator, done: Soak) -> str:
    faults = survivable()
    fault = faults[int(rng.integers(len(faults)))]
    trial = run_trial(cell, fault, rng)
    done.problems += [f'{fault.name}: {text}' for text in trial.problems]
    done.broken = trial.recovery is None
    return f'{fault.name}, {1000 * trial.stop:.0f} ms'


def _instruction(cell: Cell, rng: np.random.Generator, done: Soak) -> str:
    """Ask twice for something new in the middle of the motion."""
    cell.new_scene(int(rng.integers(100_000)))
    cell.wait_for_motion()
    for word in ('left', 'right'):
        cell.person.instruct(f'put the {("red", "green", "blue")[int(rng.integers(3))]} object in '
                             f'the {word} bin')
        time.sleep(float(rng.uniform(0.2, TURN / 2)))
    cell.wait_for_state('executing', 10.0)
    return 'two new instructions'


def _swap(cell: Cell, rng: np.random.Generator, done: Soak) -> str:
    """Change the checkpoint in the middle of the motion."""
    cell.new_scene(int(rng.integers(100_000)))
    cell.wait_for_motion()
    chosen = CHECKPOINTS[int(rng.integers(len(CHECKPOINTS)))]
    taken, why = cell.person.set('policy_node', checkpoint=str(find_checkpoint(chosen)))
    if not taken:
        done.problems.append(f'checkpoint {chosen!r} was refused: {why}')
    loaded = f'{find_checkpoint(chosen)}'
    wait_until(lambda: cell.answers == loaded, SWAP, f'{chosen!r} did not answer')
    cell.new_scene(int(rng.integers(100_000)))
    cell.wait_for_motion()
    return chosen


TURNS: tuple[tuple[str, Callable[[Cell, np.random.Generator, Soak], str]], ...] = (
    ('fault', _fault), ('instructions', _instruction), ('swap', _swap))


def rows(done: Soak) -> list[tuple[str, ...]]:
    """Return one line of text per process."""
    lines = []
    for name, samples in done.taken.items():
        begin, end = samples[0], samples[-1]
        warm = begin.wall + WARM_UP * (end.wall - begin.wall)
        first = next(one for one in samples if one.wall >= warm)
        found = growth(samples, warm)
        lines.append((
            name, *(f'{one.memory / MEBIBYTE:.0f}' for one in (begin, first, end)),
            '-' if found is None else (
                f'{found.slope:+.1f} ({found.low:+.1f} .. {found.high:+.1f})'),
            str(begin.files), str(end.files), str(begin.segments), str(end.segments),
            _verdict(found, begin, first, end)))
    return lines


def _verdict(found: Growth | None, begin: Holding, warm: Holding, end: Holding) -> str:
    if end.files > begin.files + MORE_FILES or end.segments > begin.segments + MORE_FILES:
        return 'FAIL: handles grow'
    if found is None:
        return 'too short'
    more = (end.memory - warm.memory) / MEBIBYTE
    return 'FAIL: memory grows' if found.low > TOLERATED and more > MORE_MEMORY else 'pass'


def passed(done: Soak) -> bool:
    """Say whether all was as it has to be."""
    return not done.problems and not any(row[-1].startswith('FAIL') for row in rows(done))


def summary(done: Soak) -> str:
    """Return what was done in a sentence."""
    turns = ', '.join(f'{count} x {name}' for name, count in sorted(done.turns.items()))
    return (f'{done.minutes:.1f} minutes: {turns}; {len(done.problems)} hangs, broken limits or '
            'exceeded bounds')


def document(done: Soak) -> str:
    """Return the table as Markdown."""
    lines = [f'| {" | ".join(cells)} |' for cells in (COLUMNS, ['---'] * len(COLUMNS),
                                                      *rows(done))]
    facts = report.machine(1.0)
    return '\n'.join([f'{summary(done)}. {facts["processors"]} processors, load {facts["load"]}.',
                      '', *lines, *(f'\n- {text}' for text in done.problems)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; return 0, 1 where something grew, hung or broke a limit, 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=30.0, help='how long (default: 30)')
    parser.add_argument('--seed', type=int, default=0, help='of all that is random (default: 0)')
    parser.add_argument('--json', type=Path, help='write every sample here')
    parser.add_argument('--document', action='store_true',
                        help='write the table into docs/reference/safety.md')
    parser.add_argument('--folder', type=Path, help='keep the logs of the cell here')
    args = parser.parse_args(arguments)
    console, began = Console(width=None if sys.stdout.isatty() else WIDTH), time.monotonic()

    def tell(text: str) -> None:
        console.print(f'{time.monotonic() - began:6.0f} s  {text}', markup=False, highlight=False)
    try:
        if args.minutes <= 0:
            raise VlaDropError(f'--minutes {args.minutes}: more than 0')
        with tempfile.TemporaryDirectory() as scratch, private_domain():
            folder = args.folder or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            with Cell(folder) as cell:
                cell.bring_up()
                tell('the cell moves')
                done = soak(cell, args.minutes, np.random.default_rng(args.seed), tell)
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    table = Table(title=summary(done))
    for name in COLUMNS:
        table.add_column(name)
    for row in rows(done):
        table.add_row(*row)
    console.print(table)
    for text in done.problems:
        console.print(f'FAIL {text}', style='red', markup=False)
    if args.json:
        args.json.write_text(json.dumps({
            'minutes': done.minutes, 'turns': done.turns, 'problems': done.problems,
            'taken': {name: [asdict(one) for one in samples]
                      for name, samples in done.taken.items()}}), encoding='utf-8')
    if args.document:
        report.write_between(DOCUMENT, MARK, document(done))
    return 0 if passed(done) else 1


if __name__ == '__main__':
    sys.exit(main())
