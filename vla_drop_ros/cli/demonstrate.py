# SPDX-License-Identifier: Apache-2.0
"""Record demonstrations of the simulator's expert as a LeRobot dataset.

For rankings and for practice: the same format as recordings of a robot. Scenes are drawn from
seeds that neither training (1000000 and up) nor evaluation (0 and up) uses. Only episodes that
succeed are kept.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from vla_drop_ros.errors import unknown, VlaDropError

EXAMPLES = """\
examples:
  vla_drop demonstrate -o demonstrations                    64 episodes, about 1400 frames
  vla_drop demonstrate -o hard --episodes 200 --variant hard
"""
FIRST_SEED = 500_000
MAX_STEPS = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--episodes', type=int, default=64, help='default: %(default)s')
    parser.add_argument('--first-seed', type=int, default=FIRST_SEED,
                        help='seed of the first scene (default: %(default)s)')
    parser.add_argument('--variant', default='nominal',
                        help='nominal, distractors, lighting or hard (default: nominal)')


def main(args: argparse.Namespace) -> int:
    """Record; return 0."""
    from vla_drop_ros.simulation.layout import VARIANTS
    from vla_drop_ros.simulation.opengl import prepare_rendering
    if args.variant not in VARIANTS:
        raise VlaDropError(unknown('variant', args.variant, VARIANTS))
    if args.episodes < 1:
        raise VlaDropError(f'--episodes {args.episodes}: at least 1 is needed')
    prepare_rendering()  # before MuJoCo is imported
    return _record(args)


def _record(args: argparse.Namespace) -> int:
    from vla_drop_ros.dataset.writer import DatasetWriter
    from vla_drop_ros.simulation import expert
    from vla_drop_ros.simulation.environment import (
        CONTROL_PERIOD,
        PickPlaceEnvironment,
        POLICY_CAMERAS,
    )
    environment = PickPlaceEnvironment()
    image = environment.reset(args.first_seed).images[POLICY_CAMERAS[0]]
    writer = DatasetWriter(
        args.output, round(1.0 / CONTROL_PERIOD),
        dict.fromkeys(POLICY_CAMERAS, (image.shape[0], image.shape[1])),
        ('ee.x', 'ee.y', 'ee.z', 'gripper.width'), ('x', 'y', 'z', 'gripper'),
        {'frame': 'base_link', 'reference': 'delta', 'period': CONTROL_PERIOD}, 'simulated_arm')
    frames = failed = 0
    for seed in track(range(args.first_seed, args.first_seed + args.episodes),
                      'demonstrating', console=Console(stderr=True)):
        observation, steps = environment.reset(seed, variant=args.variant), 0
        while steps < MAX_STEPS and not environment.succeeded(environment.task):
            deltas, widths = expert.act(environment.states(environment.task))
            action = np.append(deltas[0], widths[0])
            writer.add(observation.images, observation.state, action)
            environment.set_target(environment.ee_position + action[:3], float(action[3]))
            environment.advance(CONTROL_PERIOD)
            observation, steps = environment.observation(), steps + 1
        if steps and environment.succeeded(environment.task):
            writer.end_episode(environment.instruction)
            frames += steps
        else:
            writer.abandon()
            failed += 1
    environment.close()
    writer.close()
    print(f'wrote {args.output}: {args.episodes - failed} episodes, {frames} frames'
          + (f'; {failed} that failed were left out' if failed else ''))
    return 0
