#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Break a running cell in every way that it must survive, at random instants of real motion.

Robot, gate and policy run as the processes that they are on a robot, on the simulated arm, with
the gate's interlock on. A listener that shares no code with the gate judges every command. What a
fault has to lead to, within which time and why so, stands in bench/drill/faults.py.

  python bench/faults.py                       every fault 20 times: about an hour
  python bench/faults.py --times 1             every fault once: about three minutes
  python bench/faults.py --only e-stop --only 'gate killed' --times 50
  python bench/faults.py --robot twist         the same arm, commanded in velocities
  python bench/faults.py --robot joints        the same arm, commanded in joint trajectories
  python bench/faults.py --list
"""

import argparse
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
import sys
import tempfile
import time

import numpy as np
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file, not as a module
    sys.path.insert(0, str(ROOT))

from bench.drill import report  # noqa: E402
from bench.drill.cell import Cell  # noqa: E402
from bench.drill.faults import Expected, Fault, faults_of  # noqa: E402
from bench.drill.robots import ROBOTS  # noqa: E402
from bench.drill.trial import run_trial, Trial  # noqa: E402
from vla_drop_ros.errors import VlaDropError  # noqa: E402
from vla_drop_ros.preflight import private_domain  # noqa: E402

MARKS = {'pose': 'make faults', 'twist': 'make faults ROBOT=twist',
         'joints': 'make faults ROBOT=joints'}
DOCUMENT = ROOT / 'docs/reference/safety.md'
WIDTH = 150
Told = Callable[[str], None]


def chosen(names: Sequence[str], robot: str = 'pose') -> list[Fault]:
    """Return the faults of a robot whose name contains one of the names; all without names.

    Raises:
        VlaDropError: a name fits none.

    """
    faults = faults_of(robot)
    for name in names:
        if not any(name in fault.name for fault in faults):
            raise VlaDropError(f'no fault is called {name!r}; valid: '
                               f'{", ".join(fault.name for fault in faults)}')
    return [fault for fault in faults
            if not names or any(name in fault.name for name in names)]


class Drill:
    """Runs faults in a cell; a cell that does not come back from one is replaced.

    Attributes:
        trials: what has been done.
        node, wall: time that passed in both clocks while cells ran, [s].

    """

    def __init__(self, folder: Path, seed: int, tell: Told, robot: str = 'pose') -> None:
        """Start nothing yet; ``robot`` is one of ``ROBOTS``."""
        self.trials: list[Trial] = []
        self.node = self.wall = 0.0
        self._folder, self._tell, self._robot = folder, tell, robot
        self._rng = np.random.default_rng(seed)

    def run(self, faults: Sequence[Fault], times: int) -> None:
        """Run every fault ``times`` times.

        Raises:
            VlaDropError: a cell did not start.

        """
        healthy = [fault for fault in faults if fault.group != 'inference']
        inferring = [fault for fault in faults if fault.group == 'inference']
        for own, module in ((healthy, ''), (inferring, ROBOTS[self._robot].faulty)):
            waiting = deque((fault, turn + 1) for fault in own for turn in range(times))
            while waiting:
                with Cell(self._folder, policy=module, robot=self._robot) as cell:
                    cell.bring_up()
                    self._tell('a cell moves')
                    self._run_until_it_breaks(cell, waiting)

    def _run_until_it_breaks(self, cell: Cell, waiting: deque[tuple[Fault, int]]) -> None:
        began = cell.status()
        recovered = True
        while waiting and recovered:
            fault, turn = waiting.popleft()
            trial = run_trial(cell, fault, self._rng)
            self.trials.append(trial)
            wrong = ''.join(f'\n{"":9}FAIL {text}'
                            for text in (*trial.problems, *trial.violations))
            stop = 'within limits' if fault.expected == Expected.LIMITS else (
                f'stopped after {1000 * trial.stop:.0f} ms, bound {1000 * trial.bound:.0f}')
            self._tell(f'{fault.name} ({turn}): {stop}; arm moved '
                       f'{1000 * trial.physical:.0f} m{cell.robot.unit}{wrong}')
            recovered = trial.recovery is not None
            now = cell.status()
            if not fault.name.startswith(('clock', 'robot killed')):
                self.node += max(0.0, now['node'] - began['node'])
                self.wall += now['wall'] - began['wall']
            began = now


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill; return 0, 1 where a bound or a limit was violated, 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--times', type=int, default=20, help='each fault so often (default: 20)')
    parser.add_argument('--only', action='append', default=[], metavar='NAME',
                        help='faults whose name contains this; may be given several times')
    parser.add_argument('--robot', choices=sorted(ROBOTS), default='pose',
                        help='how the simulated arm is commanded (default: pose)')
    parser.add_argument('--seed', type=int, default=0, help='of scenes and instants (default: 0)')
    parser.add_argument('--json', type=Path, help='write every trial here')
    parser.add_argument('--document', action='store_true',
                        help='write the table into docs/reference/safety.md')
    parser.add_argument('--list', action='store_true', help='name the faults and end')
    parser.add_argument('--folder', type=Path, help='keep the logs of the cell here')
    args = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    began = time.monotonic()
    try:
        faults = chosen(args.only, args.robot)
        if args.list:
            for fault in faults:
                console.print(f'{fault.name}: {fault.expected.value}; {fault.bound[1]}',
                              markup=False)
            return 0
        if args.times < 1:
            raise VlaDropError(f'--times {args.times}: at least 1')
        with tempfile.TemporaryDirectory() as scratch, private_domain():
            folder = args.folder or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)

            def tell(text: str) -> None:
                console.print(f'{time.monotonic() - began:6.0f} s  {text}', markup=False,
                              highlight=False)

            drill = Drill(folder, args.seed, tell, args.robot)
            drill.run(faults, args.times)
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    trials, speed = drill.trials, drill.node / max(drill.wall, 1e-3)
    facts = report.machine(speed)
    report.show(trials, console, args.robot)
    console.print(f'{speed:.2f} node seconds a wall second')
    if args.json:
        report.write_json(args.json, trials, facts)
    if args.document:
        report.write_between(DOCUMENT, MARKS[args.robot],
                             report.document(trials, facts, args.robot))
    return 0 if all(trial.passed for trial in trials) else 1


if __name__ == '__main__':
    sys.exit(main())
