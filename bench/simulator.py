#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the simulator: physics steps and pictures a second, and how often the expert succeeds.

The expert's figure is what any policy is compared with: seeds count from 0, the scenes that
training never sees.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import platform
import sys
import time
from typing import TYPE_CHECKING

from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.simulation.layout import draw_layout, VARIANTS
from vla_drop_ros.simulation.opengl import prepare_rendering
from vla_drop_ros.simulation.scene import TIMESTEP
from vla_drop_ros.simulation.tasks import GOALS
from vla_drop_ros.trials.statistics import wilson

if TYPE_CHECKING:  # at run time once a renderer is chosen
    from vla_drop_ros.simulation.environment import PickPlaceEnvironment

MAX_STEPS = 90  # of 0.1 s, as in `vla_drop evaluate`


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode of the expert: control periods of 0.1 s used, CPU time [s] spent."""

    seed: int
    goal: str
    success: bool
    steps: int
    seconds: float


def run_expert(cell: 'PickPlaceEnvironment', seed: int, variant: str) -> Outcome:
    """Let the expert solve the scene of a seed."""
    from vla_drop_ros.simulation import expert
    from vla_drop_ros.simulation.environment import CONTROL_PERIOD
    cell.restore(draw_layout(seed, variant=variant))
    steps, began = 0, time.process_time()
    while steps < MAX_STEPS and not cell.success:
        delta, width = expert.act(cell.states())
        cell.set_target(cell.ee_position + delta[0], float(width[0]))
        cell.advance(CONTROL_PERIOD)
        steps += 1
    return Outcome(seed, cell.task.goal, cell.success, steps, time.process_time() - began)


def frame_rates(cell: 'PickPlaceEnvironment', seconds: float) -> dict[str, float]:
    """Return pictures a second for every camera at its own size, each over ``seconds``."""
    from vla_drop_ros.simulation.scene import CAMERAS
    rates = {}
    cell.restore(draw_layout(0, variant='hard'))
    for camera in CAMERAS:
        height, width = cell.render(camera).shape[:2]
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            cell.render(camera)
            count += 1
        rates[f'{camera} {width}x{height}'] = count / (time.perf_counter() - began)
    return rates


def report(outcomes: Sequence[Outcome], rates: dict[str, float], variant: str) -> str:
    """Return the lines for people."""
    good = [one for one in outcomes if one.success]
    simulated = sum(one.steps for one in outcomes) * 0.1
    speed = simulated / sum(one.seconds for one in outcomes)
    interval = wilson(len(good), len(outcomes))
    lines = [
        f'physics   {speed / TIMESTEP:8.0f} steps/s   {speed:.1f} x real time, a second of '
        f'one CPU, steps of {1e3 * TIMESTEP:.0f} ms, inverse kinematics included']
    lines += [f'pictures  {rate:8.0f} frames/s  {camera}' for camera, rate in rates.items()]
    lines.append(
        f'expert    {len(good)}/{len(outcomes)} {variant} scenes solved, 95 % Wilson interval '
        f'{100 * interval.low:.1f} .. {100 * interval.high:.1f} %, '
        f'{simulated / len(outcomes):.1f} s simulated each')
    for goal in GOALS:
        own = [one for one in outcomes if one.goal == goal]
        lines.append(f'            {goal:9} {sum(one.success for one in own)}/{len(own)}')
    missed = [str(one.seed) for one in outcomes if not one.success]
    if missed:
        lines.append(f'            seeds not solved: {", ".join(missed)}')
    return '\n'.join(lines)


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the report and return 0; 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=40, help='expert episodes (default: 40)')
    parser.add_argument('--variant', default='nominal', help=', '.join(VARIANTS))
    parser.add_argument('--seconds', type=float, default=1.0,
                        help='time for the pictures of each camera (default: 1)')
    parser.add_argument('--json', type=Path, help='write every episode here')
    args = parser.parse_args(arguments)
    try:
        if args.seeds < 1:
            raise VlaDropError(f'--seeds {args.seeds}: at least 1')
        if args.variant not in VARIANTS:
            raise VlaDropError(unknown('variant', args.variant, VARIANTS))
        prepare_rendering()
        from vla_drop_ros.simulation.environment import PickPlaceEnvironment
        cell = PickPlaceEnvironment()
        rates = frame_rates(cell, args.seconds)
        cell.close()
        outcomes = [run_expert(cell, seed, args.variant) for seed in range(args.seeds)]
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(report(outcomes, rates, args.variant))
    if args.json:
        args.json.write_text(json.dumps({
            'machine': platform.processor() or platform.machine(), 'variant': args.variant,
            'frames_per_second': rates, 'episodes': [asdict(one) for one in outcomes]}, indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(measure())
