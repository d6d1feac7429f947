# SPDX-License-Identifier: Apache-2.0
"""Make a LeRobot dataset of bags recorded on a robot, as the policy would have seen them.

Images, state and instruction go through the code that feeds the policy live: joined by header
stamp after the robot contract, decoded alike. A bag is an episode; a new instruction, or a gap,
begins another. What cannot be joined is left out and counted, never filled in.

Actions: with --actions commands (the default) they come from what was sent on the contract's
command topics: for a delta robot the way from the commanded pose before a frame to the one before
the next frame (velocities summed up over that time), for an absolute robot the commanded pose; the
gripper's width is the one last commanded. With --actions measured, for recordings in which a
person led the arm by hand, they come from the measured poses and widths instead. The dataset says
which it was (info.json: vla_drop_ros.actions).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from vla_drop_ros.bringup import find_checkpoint, find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.manifest import load_manifest, Manifest
from vla_drop_ros.robot_contract import RobotContract

EXAMPLES = """\
examples:
  ros2 bag record -s mcap -o day1 /instruction /front_camera/image_raw /wrist_camera/image_raw \\
      /ee_pose /joint_states /target_pose /gripper_command
  vla_drop convert day1 day2 --robot my_robot.yaml -o demonstrations
  vla_drop convert by_hand --robot my_robot.yaml --actions measured \\
      --task 'put the red cube in the left bin' -o demonstrations
  vla_drop convert day1 --robot my_robot.yaml --checkpoint reference -o fits_the_reference
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('bags', nargs='+', type=Path, metavar='BAG',
                        help='folder that `ros2 bag record` wrote, or its .mcap or .db3 file')
    parser.add_argument('--robot', required=True,
                        help='robot contract, a file or the name of a shipped one')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--task', help='what the robot was asked to do, instead of the recorded '
                                       'topic instruction')
    parser.add_argument('--actions', choices=('commands', 'measured'), default='commands',
                        help='what the actions are made of (default: %(default)s)')
    parser.add_argument('--fps', type=int,
                        help='frames a second (default: one a control period of --checkpoint, '
                             'else 10)')
    parser.add_argument('--checkpoint',
                        help='write the cameras, state values and actions that this checkpoint '
                             "reads (default: all of the robot's)")
    parser.add_argument('--namespace', default='', help="of the robot's nodes in the bags")


def main(args: argparse.Namespace) -> int:
    """Convert; return 0."""
    from vla_drop_ros.dataset.conversion import convert, FPS, in_words, Layout, state_names_for
    contract = load_contract(find_contract(args.robot))
    manifest = None if args.checkpoint is None else _fitting(args.checkpoint, contract)
    spec = manifest.action_spec if manifest else None
    if args.task is not None and not args.task.strip():
        raise VlaDropError(f'--task {args.task!r}: say what the robot was asked to do')
    names = spec.names if spec else contract.action.names
    layout = Layout(
        cameras=tuple(manifest.cameras if manifest else contract.cameras),
        state_names=manifest.state_names if manifest else state_names_for(names),
        action_names=names, frame=contract.action.frame, reference=contract.action.reference,
        fps=_fps(args.fps, 1.0 / spec.period if spec else None, FPS), actions=args.actions,
        task=args.task, namespace=args.namespace,
        sizes={key: (camera.height, camera.width) for key, camera in manifest.cameras.items()}
        if manifest else {})
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task('converting', total=len(args.bags))
        outcome = convert(args.bags, contract, layout, args.output,
                          lambda done: progress.update(bar, completed=done))
        progress.update(bar, completed=len(args.bags))
    print(f'wrote {args.output}: {outcome.episodes} episodes, {outcome.frames} frames at '
          f'{layout.fps} Hz; actions from {_source(layout.actions)}'
          + (f'; left out: {in_words(outcome.left_out)}' if outcome.left_out else ''))
    return 0


def _fitting(checkpoint: str, contract: RobotContract) -> Manifest:
    """Return the manifest of a checkpoint that acts, for this robot."""
    manifest = load_manifest(find_checkpoint(checkpoint))
    if manifest.action_spec is None:
        raise VlaDropError(f'--checkpoint {checkpoint}: {manifest.name!r} is a vision-language '
                           'model and does not act; give a policy')
    contract.check_policy(manifest.action_spec, manifest.cameras, manifest.state_names)
    return manifest


def _fps(wanted: int | None, needed: float | None, default: int) -> int:
    """Return the frame rate: what is wanted, unless the checkpoint needs another."""
    rate = wanted if wanted is not None else round(needed or default)
    if rate < 1:
        raise VlaDropError(f'--fps {rate}: at least 1 is needed')
    if needed is not None and abs(rate - needed) > 0.01 * needed:
        raise VlaDropError(f'{rate} frames a second do not fit the checkpoint, which acts '
                           f'{needed:.4g} times a second')
    return rate


def _source(actions: str) -> str:
    return {'commands': 'the recorded commands', 'measured': 'the measured poses'}[actions]
