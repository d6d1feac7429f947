# SPDX-License-Identifier: Apache-2.0
"""What was measured beside the outcome, by arm and pair by pair: motion, computer, handling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from vla_drop_ros.report.comparison import Duo
from vla_drop_ros.report.trial_row import NAN, TrialRow
from vla_drop_ros.trials.paired_bootstrap import paired_bootstrap
from vla_drop_ros.trials.statistics import Interval

Summary = Literal['median', 'most', 'share']
SUMMARIES: dict[Summary, Callable[[Sequence[float]], float]] = {
    'median': lambda values: float(np.median(values)), 'most': max,
    'share': lambda values: float(np.mean(values))}


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is measured in every trial.

    Attributes:
        keys: path in the measured values.
        name: in tables.
        unit: as it is shown.
        digits: behind the point.
        scale: shown number = measured number * scale.
        summary: of the trials of an arm; 'share' is of yes and no.

    """

    keys: tuple[str, ...]
    name: str
    unit: str = ''
    digits: int = 2
    scale: float = 1.0
    summary: Summary = 'median'

    def of(self, row: TrialRow) -> float:
        """Return the number of a trial as it is shown; nan where it was not measured."""
        return self.scale * (row.flag(*self.keys) if self.summary == 'share' else
                             row.number(*self.keys))


MOTION = (
    Quantity(('motion', 'path'), 'way of the hand', 'm'),
    Quantity(('motion', 'mean_speed'), 'mean speed', 'm/s', 3),
    Quantity(('motion', 'max_speed'), 'highest speed', 'm/s'),
    Quantity(('motion', 'sparc'), 'smoothness: spectral arc length (0 is smoothest)'),
    Quantity(('motion', 'jerk'), 'log dimensionless jerk'),
    Quantity(('motion', 'moved_after'), 'start to first motion', 's'))
RUNNING = (
    Quantity(('clipped',), 'commands that the gate altered', '', 1),
    Quantity(('control', 'rate'), 'commands a second', 'Hz'),
    Quantity(('control', 'longest_gap'), 'longest gap between commands', 'ms', 0, 1e3),
    Quantity(('host', 'gpu_energy'), 'energy of the GPU a trial', 'J', 0),
    Quantity(('host', 'gpu_power'), 'power of the GPU', 'W', 1),
    Quantity(('host', 'gpu_busy'), 'GPU busy', '%', 0, 100.0),
    Quantity(('host', 'gpu_memory'), 'memory of the GPU, the most', 'MiB', 0, 2.0 ** -20, 'most'),
    Quantity(('host', 'cpu'), 'processors busy', '%', 0, 100.0),
    Quantity(('host', 'memory'), 'memory of the computer, the most', 'MiB', 0, 2.0 ** -20,
             'most'),
    Quantity(('host', 'temperature'), 'temperature, the most', '°C', 0, 1.0, 'most'),
    Quantity(('host', 'throttled'), 'trials in which it was throttled', '%', 0, 100.0, 'share'))
PREPARATION = (
    Quantity(('prepare', 'policy'), 'until the policy answered', 's'),
    Quantity(('prepare', 'reset'), 'reset of the scene by the robot', 's', 1),
    Quantity(('prepare', 'arrange'), 'from the trial before to the start', 's', 1),
    Quantity(('verdict_after',), 'from the end to the verdict', 's', 1))


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity.

    Attributes:
        name: of the quantity.
        keys: path in the measured values, with dots.
        unit: of all numbers.
        digits: behind the point.
        arms: summary of every arm, nan where it was not measured.
        trials: of every arm in which it was measured.
        pairs: of every candidate with the baseline in which both were measured.
        differences: mean over these, candidate minus baseline, bootstrap interval of 95 %.

    """

    name: str
    keys: str
    unit: str
    digits: int
    arms: tuple[float, ...]
    trials: tuple[int, ...]
    pairs: tuple[int, ...]
    differences: tuple[Interval, ...]


def measured(quantities: Sequence[Quantity], arms: Sequence[str], rows: Sequence[TrialRow],
             duos: Sequence[Sequence[Duo]], both_solved: bool = False) -> tuple[Measured, ...]:
    """Return every quantity that was measured in some trial of the complete rounds.

    Args:
        quantities: to look for.
        arms: the baseline first.
        rows: of the study.
        duos: of every candidate with the baseline.
        both_solved: only trials that succeeded, and only pairs in which both did.

    """
    used = [row for row in rows if row.counted and (row.success or not both_solved)]
    found = []
    for quantity in quantities:
        columns = [[value for row in used if row.arm == arm
                    and isfinite(value := quantity.of(row))] for arm in arms]
        if not any(columns):
            continue
        differences = [[mine - theirs for one, other in pairs
                        if (one.success and other.success or not both_solved)
                        and isfinite(mine := quantity.of(one))
                        and isfinite(theirs := quantity.of(other))] for pairs in duos]
        summary = SUMMARIES[quantity.summary]
        found.append(Measured(
            quantity.name, '.'.join(quantity.keys), quantity.unit, quantity.digits,
            tuple(summary(column) if column else NAN for column in columns),
            tuple(map(len, columns)), tuple(map(len, differences)),
            tuple(map(paired_bootstrap, differences))))
    return tuple(found)
