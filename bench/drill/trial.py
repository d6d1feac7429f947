# SPDX-License-Identifier: Apache-2.0
"""One fault at a random instant of real motion: what followed, and whether it may be so."""

from collections import Counter
from dataclasses import dataclass, field
import time
from typing import Any

import numpy as np

from bench.drill.actions import NotShownError
from bench.drill.cell import Cell
from bench.drill.faults import ALLOWANCE, Expected, Fault, Times
from bench.drill.motion import NUMBER_ERROR
from bench.drill.person import wait_until
from bench.drill.robots import speed_limit, step_limit
from bench.drill.watch import SETTLING
from vla_drop_ros.errors import VlaDropError

SCENES = 100_000      # seeds that are drawn from
AFTER = 0.4           # [s] that is watched beyond the bound
LATCHED = 1.0         # [s] for which a latch is watched after the fault has gone
ATTEMPTS = 4          # scenes that are tried until the arm moves
DRAWN = 20            # scenes that are drawn until the fault can show
CATCHING_UP = 2.0     # times the speed limit of its target is what the arm may reach behind it
SLOWEST = 4.0         # wall seconds a node second: beyond, the machine is too busy for a drill


@dataclass
class Trial:
    """What one fault did.

    Attributes:
        fault: its name.
        seed: of the scene.
        bound: time to stop with the allowance, [s].
        drawn: scenes that it took until the fault could show.
        stop: time to stop, [s]; what clock it is in says the fault.
        commanded: largest distance of a command from the last one before the fault, [m].
        physical: largest distance of the arm from where it was, [m].
        fastest: largest speed of the arm meanwhile, [m/s].
        before: speed of the commanded target at the fault, [m/s].
        recovery: wall time from the end of the fault to motion, [s]; None: it did not recover.
        states: what the gate said meanwhile.
        violations: rules that commands broke, from the scene's start to the recovery; a line each.
        problems: what else is not as it has to be.

    """

    fault: str
    seed: int
    bound: float
    drawn: int = 0
    stop: float = 0.0
    commanded: float = 0.0
    physical: float = 0.0
    fastest: float = 0.0
    before: float = 0.0
    recovery: float | None = None
    states: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Say whether all was as it has to be."""
        return not self.violations and not self.problems and self.recovery is not None


def run_trial(cell: Cell, fault: Fault, rng: np.random.Generator) -> Trial:
    """Put one fault into a moving cell, and take it out again.

    Raises:
        VlaDropError: the arm did not move, a part of the cell did not answer, or the fault could
            show in no scene.

    """
    times = Times.of(cell.contract)
    trial = Trial(fault.name, 0, fault.bound[0](times) + ALLOWANCE)
    began = time.monotonic()
    wall = _break(cell, fault, trial, rng)
    _watch(cell, fault, wall, trial.bound + AFTER)
    _measure(cell, fault, trial, wall, times.tick)
    trial.problems += fault.during(cell)
    fault.clear(cell)
    cleared = time.monotonic()
    if fault.expected == Expected.LATCHES:
        time.sleep(LATCHED)
        trial.problems += _moved_meanwhile(cell, cleared, time.monotonic())
        fault.release(cell)
        cleared = time.monotonic()
    try:
        _return_to_motion(cell, fault)
        trial.recovery = time.monotonic() - cleared
    except VlaDropError as error:
        trial.problems.append(f'did not recover: {error}')
    time.sleep(SETTLING)
    trial.violations = named(cell.listener(violations=began)['found'], wall)
    return trial


def named(found: list[dict[str, Any]], wall: float) -> list[str]:
    """Return a line per broken rule: the first time, counted from ``wall`` [s], and how often."""
    counts = Counter(one['rule'] for one in found)
    lines = []
    for rule, count in counts.items():
        one = next(one for one in found if one['rule'] == rule)
        lines.append(f'{rule}: {one["text"]} ({one["wall"] - wall:+.2f} s)'
                     + (f', and {count - 1} times more' if count > 1 else ''))
    return lines


def _break(cell: Cell, fault: Fault, trial: Trial, rng: np.random.Generator) -> float:
    """Put the fault into a scene in which it can show; return when (monotonic, [s])."""
    for trial.drawn in range(1, DRAWN + 1):
        trial.seed = _bring_to_motion(cell, rng, fault.latest)
        try:
            return fault.inject(cell, rng)
        except NotShownError as error:
            fault.clear(cell)
            why = str(error)
    raise VlaDropError(f'{fault.name}: could not show in {DRAWN} scenes (the last: {why})')


def _bring_to_motion(cell: Cell, rng: np.random.Generator, latest: float) -> int:
    """Set up a scene and return its seed at a random instant while the arm moves.

    Args:
        cell: to set it up in.
        rng: what is random.
        latest: after the first motion, [s].

    """
    for attempt in range(ATTEMPTS):
        seed = int(rng.integers(SCENES))
        cell.new_scene(seed)
        try:
            cell.wait_for_motion()
            time.sleep(float(rng.uniform(0.0, latest)))
            cell.wait_for_motion(limit=5.0)
        except VlaDropError:
            cell.check()
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    return seed


def _watch(cell: Cell, fault: Fault, wall: float, duration: float) -> None:
    """Wait until so much time has passed since the fault, in the clock that it is measured in."""
    if fault.measure == 'stop_node':
        node = cell.listener(reaction=wall, until=wall)['node']
        wait_until(lambda: cell.status()['node'] - node >= duration, SLOWEST * duration + 2.0,
                   f'{duration:.1f} s of node time did not pass: the machine is too busy, or '
                   'the clock stands still')
    else:
        time.sleep(max(0.0, wall + duration - time.monotonic()))


def _measure(cell: Cell, fault: Fault, trial: Trial, wall: float, tick: float) -> None:
    found = cell.listener(reaction=wall, until=time.monotonic())
    trial.stop, trial.states = max(0.0, found[fault.measure]), found['states']
    # A clock that jumps mends itself: what is commanded after the hold is work, not the fault's.
    trial.commanded = found['until_held' if fault.measure == 'held_wall' else 'commanded']
    trial.physical = found['physical']
    trial.fastest, trial.before = found['fastest'], found['before']
    speed, unit = speed_limit(cell.contract), cell.robot.unit
    if trial.fastest > CATCHING_UP * speed:
        trial.problems.append(f'the arm reached {trial.fastest:.2f} {unit}/s, bound '
                              f'{CATCHING_UP * speed:.2f} {unit}/s')
    if fault.expected == Expected.LIMITS:
        return
    if trial.stop > trial.bound + NUMBER_ERROR:
        trial.problems.append(f'stopped after {trial.stop:.3f} s, bound {trial.bound:.3f} s')
    if fault.ends_safely and not found['ends_safely']:
        trial.problems.append('the last command is not the safety action')
    reach = speed * trial.bound + step_limit(cell.contract)
    if trial.commanded > reach:
        trial.problems.append(f'commanded {trial.commanded:.3f} {unit} away, bound {reach:.3f}')
    if fault.measure == 'stop_node' and not any(
            state.startswith(('holding', 'estopped')) for state in trial.states):
        trial.problems.append(f'the gate did not say that it holds ({trial.states})')


def _moved_meanwhile(cell: Cell, begin: float, end: float) -> list[str]:
    """Return what is wrong: a latch does not open by itself."""
    found = cell.listener(reaction=begin, until=end)
    if found['stop_wall'] or 'executing' in found['states']:
        return [f'moved before the release ({found["states"]})']
    return []


def _return_to_motion(cell: Cell, fault: Fault) -> None:
    """Wait for the gate to execute again."""
    if fault.name == 'robot killed, restarted':  # the arm is where it was not: a scene of its own
        _after_teleport(cell, fault.recovery)
    cell.wait_for_state('executing', fault.recovery)


def _after_teleport(cell: Cell, limit: float) -> None:
    wait_until(cell.is_settled, limit, 'the gate does not hold the robot where it stands now')
    cell.listener(carry=False)
    cell.person.instruct(cell.instruction)
