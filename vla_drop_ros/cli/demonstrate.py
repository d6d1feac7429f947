# SPDX-License-Identifier: Apache-2.0
"""Record demonstrations of the simulator's expert as a LeRobot dataset.

For rankings and for practice: the same format as recordings of a robot. Scenes are drawn from
seeds that neither training (1000000 and up) nor evaluation (0 and up) uses. Only episodes that
succeed are kept. With --takeover something else drives first, unrecorded, in some of the
episodes, and the expert takes over: recovery needs to see how to get back.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import unknown, VlaDropError

EXAMPLES = """\
examples:
  vla_drop demonstrate -o demonstrations                    64 episodes, about 1400 frames
  vla_drop demonstrate -o hard --episodes 200 --variant hard
  vla_drop demonstrate -o rich --episodes 1500 --variant nominal,hard --takeover wander reference
"""
FIRST_SEED = 500_000
WANDER = 'wander'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--episodes', type=int, default=64, help='default: %(default)s')
    parser.add_argument('--first-seed', type=int, default=FIRST_SEED,
                        help='seed of the first scene (default: %(default)s)')
    parser.add_argument('--variant', default='nominal',
                        help='nominal, distractors, lighting, hard, camera or start; several with '
                             'commas: one '
                             'is drawn for each episode (default: nominal)')
    parser.add_argument('--takeover', nargs='+', default=[], metavar='DRIVER',
                        help=f'checkpoints, or {WANDER!r} (expert with random displacements): '
                             'each drives for up to 3 s before the expert takes over, as often '
                             'as the expert acts alone')
    parser.add_argument('--without', nargs='+', default=[], metavar='COLOUR:GOAL',
                        help='leave out what is asked so, for instance red:left_bin, to see '
                             'later whether a policy can put it together')


def main(args: argparse.Namespace) -> int:
    """Record; return 0."""
    from vla_drop_ros.simulation.layout import VARIANTS
    from vla_drop_ros.simulation.opengl import prepare_rendering
    variants = args.variant.split(',')
    for variant in variants:
        if variant not in VARIANTS:
            raise VlaDropError(unknown('variant', variant, VARIANTS))
    if args.episodes < 1:
        raise VlaDropError(f'--episodes {args.episodes}: at least 1 is needed')
    prepare_rendering()  # before MuJoCo is imported
    return _record(args, variants)


def _record(args: argparse.Namespace, variants: Sequence[str]) -> int:
    from vla_drop_ros.dataset.writer import DatasetWriter
    from vla_drop_ros.policies.registry import load_policy
    from vla_drop_ros.reference.demonstrations import demonstrate, pairs
    from vla_drop_ros.simulation.environment import (
        CONTROL_PERIOD,
        PickPlaceEnvironment,
        POLICY_CAMERAS,
    )
    without = pairs(args.without)
    drivers = [None if driver == WANDER else load_policy(find_checkpoint(driver), threads=1)
               for driver in args.takeover]
    environment = PickPlaceEnvironment()
    image = environment.reset(args.first_seed).images[POLICY_CAMERAS[0]]
    writer = DatasetWriter(
        args.output, round(1.0 / CONTROL_PERIOD),
        dict.fromkeys(POLICY_CAMERAS, (image.shape[0], image.shape[1])),
        ('ee.x', 'ee.y', 'ee.z', 'gripper.width'), ('x', 'y', 'z', 'gripper'),
        {'frame': 'base_link', 'reference': 'delta', 'period': CONTROL_PERIOD}, 'simulated_arm')
    frames = [demonstrate(environment, writer, seed, variants, drivers, without)
              for seed in track(range(args.first_seed, args.first_seed + args.episodes),
                                'demonstrating', console=Console(stderr=True))]
    environment.close()
    writer.close()
    kept = len([count for count in frames if count])
    print(f'wrote {args.output}: {kept} episodes, {sum(frames)} frames'
          + (f'; {len(frames) - kept} were left out: failed, done before the expert took over, '
             'or asked for by --without' if kept < len(frames) else ''))
    return 0
