# SPDX-License-Identifier: Apache-2.0
"""The outcome of a drill: for the screen, for a file, and between two marks of a document."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
import json
import os
from pathlib import Path
import platform
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.drill.faults import ALLOWANCE, Expected, Fault, FAULTS, faults_of
from bench.drill.robots import ROBOTS
from bench.drill.trial import Trial
from vla_drop_ros.errors import VlaDropError

COLUMNS = ('fault', 'n', 'has to', 'clock', 'stop p50 [ms]', 'max', 'bound', 'target moved [mm]',
           'arm moved [mm]', 'arm speed [m/s]', 'back', 'violations', 'verdict')
CLOCKS = {'stop_node': 'node', 'stop_wall': 'wall', 'held_wall': 'wall', 'last_wall': 'wall'}
NUMERIC = COLUMNS[4:10]


def rows(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return one line of text per fault, in the order of the table of faults."""
    lines = []
    for fault in FAULTS:
        own = [trial for trial in trials if trial.fault == fault.name]
        if own:
            lines.append(_row(fault, own))
    return lines


def _row(fault: Fault, own: Sequence[Trial]) -> tuple[str, ...]:
    stops = np.array([trial.stop for trial in own])
    back = [trial.recovery for trial in own if trial.recovery is not None]
    timed = fault.expected != Expected.LIMITS
    return (
        fault.name, str(len(own)), fault.expected.value, CLOCKS[fault.measure] if timed else '-',
        f'{1000 * np.median(stops):.0f}' if timed else '-',
        f'{1000 * stops.max():.0f}' if timed else '-',
        f'{1000 * own[0].bound:.0f}' if timed else '-',
        f'{1000 * max(trial.commanded for trial in own):.0f}',
        f'{1000 * max(trial.physical for trial in own):.0f}',
        f'{max(trial.fastest for trial in own):.2f}', f'{len(back)}/{len(own)}',
        str(sum(len(trial.violations) for trial in own)),
        'pass' if all(trial.passed for trial in own) else 'FAIL')


def failures(trials: Sequence[Trial]) -> list[str]:
    """Return a line for every thing that is not as it has to be."""
    lines = []
    for trial in trials:
        for text in (*trial.problems, *trial.violations):
            lines.append(f'{trial.fault} (scene {trial.seed}): {text}')
    return lines


def columns(robot: str) -> tuple[str, ...]:
    """Return the head of the table of a robot, one of ``ROBOTS``."""
    unit = ROBOTS[robot].unit
    return tuple(name.replace('[mm]', f'[m{unit}]').replace('[m/s]', f'[{unit}/s]')
                 for name in COLUMNS)


def show(trials: Sequence[Trial], console: Console, robot: str = 'pose') -> None:
    """Print table and failures of a robot, one of ``ROBOTS``."""
    table = Table(title='What follows a fault', caption=f'bounds hold {ALLOWANCE:.1f} s for '
                  'message hops and scheduling')
    for name, head in zip(COLUMNS, columns(robot), strict=True):
        table.add_column(head, justify='right' if name in NUMERIC else 'left',
                         overflow='fold')
    for row in rows(trials):
        table.add_row(*row, style='' if row[-1] == 'pass' else 'bold red')
    console.print(table)
    for line in failures(trials):
        console.print(f'FAIL {line}', style='red', markup=False)


def machine(speed: float) -> dict[str, Any]:
    """Return what the numbers depend on; ``speed``: node seconds a wall second."""
    return {'processors': os.cpu_count(), 'load': round(os.getloadavg()[0], 1),
            'python': platform.python_version(), 'node_seconds_a_wall_second': round(speed, 3)}


def document(trials: Sequence[Trial], facts: Mapping[str, Any],
             robot: str = 'pose') -> str:
    """Return the table of a robot, one of ``ROBOTS``, as Markdown."""
    lines = [_line(columns(robot)),
             _line(['---:' if name in NUMERIC else '---' for name in COLUMNS])]
    lines += [_line(row) for row in rows(trials)]
    failed = [f'- {text}' for text in failures(trials)]
    return '\n'.join([
        f'{len(trials)} faults, {sum(trial.passed for trial in trials)} as they have to be; '
        f'{facts["processors"]} processors, load {facts["load"]}, '
        f'{facts["node_seconds_a_wall_second"]:.2f} node seconds a wall second.', '', *lines,
        *(['', 'Not as it has to be:', '', *failed] if failed else []), '', 'Why the bounds are '
        f'what they are (each plus {ALLOWANCE:.1f} s for message hops and scheduling):', '',
        *_reasons(robot, {trial.fault for trial in trials})])


def _reasons(robot: str, drilled: Set[str]) -> list[str]:
    """Return one line per reason, with those of the drilled faults that it holds for."""
    reasons: dict[str, list[str]] = {}
    for fault in faults_of(robot):
        if fault.name in drilled and fault.expected != Expected.LIMITS:
            reasons.setdefault(fault.bound[1], []).append(fault.name)
    return [f'- {reason}: {"; ".join(names)}.' for reason, names in reasons.items()]


def write_between(path: Path, name: str, text: str) -> None:
    """Put text between the marks ``name`` of a document.

    Raises:
        VlaDropError: the document lacks the marks.

    """
    begin, end = (f'<!-- {place}: written by `{name}` -->' for place in ('below', 'above'))
    before, found, rest = path.read_text(encoding='utf-8').partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise VlaDropError(f'{path} lacks the lines {begin!r} and {end!r}')
    path.write_text(f'{before}{begin}\n\n{text}\n\n{end}{after}', encoding='utf-8')


def write_json(path: Path, trials: Sequence[Trial], facts: Mapping[str, Any]) -> None:
    """Write every trial."""
    path.write_text(json.dumps({**facts, 'allowance': ALLOWANCE,
                                'trials': [{**asdict(trial), 'passed': trial.passed}
                                           for trial in trials]}, indent=1), encoding='utf-8')


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'
