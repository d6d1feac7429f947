# SPDX-License-Identifier: Apache-2.0
"""A blinded study of the shipped policy and a smaller one, from the design to the report.

Locks a small study, starts the simulated arm, the policy behind its command gate, the trial node
and a simulated person as ROS 2 processes, and lets them run it: every scene by both checkpoints,
in sealed random order. The candidate is the shipped one with half of the language blocks,
recovered (or a copy without the blocks named here). Writes the report, an animation and a bag of
every trial.
Exit status: 0 done, 1 a node ended before the end, 2 bad input, 130 interrupted.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import shutil
import time

import numpy as np
from rich.console import Console

from vla_drop_ros import __version__, bringup, graph_arguments, preflight
from vla_drop_ros.cli import trials_report
from vla_drop_ros.cli.drop import block_numbers, named_blocks
from vla_drop_ros.cli.trials_study import run_with_progress
from vla_drop_ros.cli.up import graph_checks
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.errors import PlanError, VlaDropError
from vla_drop_ros.manifest import block_counts, checkpoint_hash, load_manifest
from vla_drop_ros.report.report_folder import FOLDER, PAGE
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.report.trial_row import rows_of, TrialRow
from vla_drop_ros.runtime.images import rgb_from
from vla_drop_ros.runtime.robot_inputs import stamp_of
from vla_drop_ros.trials.design import Design, parse_design
from vla_drop_ros.trials.film import Clip, compose, Recording, save_animation
from vla_drop_ros.trials.locked_study import lock
from vla_drop_ros.trials.study_log import LOG_FILE

EXAMPLES = """\
examples:
  vla_drop demo                      2 rounds of 4 scenes, less than five minutes; too few to
                                     show "no worse", for which 6 rounds are the least
  vla_drop demo --quick              1 round of 2 scenes, to see that everything works
  vla_drop demo --vision 2,4 --rounds 10 -o two_vision_blocks_less
  vla_drop demo --candidate my_pruned_checkpoint --variant distractors
"""

STUDY, FILM, SMALLER = 'study', 'episode.gif', 'pruned'
MADE_HERE = (STUDY, FILM, SMALLER)
TASKS = {'left_bin': 'put an object in the left bin', 'on_top': 'put an object on another',
         'right_bin': 'put an object in the right bin', 'beside': 'put an object beside another'}
TIMEOUT = 12.0       # [s] a trial
START = 40.0         # [s] until the first trial, on two slow cores
BETWEEN = 3.0        # [s] between two trials: reset, token, verdict
RECOVERED = 'reference-half'
VIEWER = '/studio_camera/image_raw'
VIEWER_RATE = 5.0    # [Hz]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be changed about the demo."""
    parser.add_argument('-o', '--output', type=Path, default=Path('demo_output'),
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--quick', action='store_true',
                        help='1 round of 2 scenes, about a minute')
    parser.add_argument('--minutes', type=float, default=5.0,
                        help='as many rounds as surely fit (default: %(default)s)')
    parser.add_argument('--rounds', type=int, help='rounds of 4 scenes, instead of --minutes')
    parser.add_argument('--checkpoint', default=graph_arguments.DEFAULT_CHECKPOINT,
                        help='baseline, a folder or the name of one in models')
    parser.add_argument('--candidate',
                        help=f'checkpoint to compare (default: {RECOVERED} beside the shipped '
                             'baseline, a copy without two vision blocks beside another)')
    parser.add_argument('--vision', default='', metavar='I,J,...',
                        help='compare a copy without these vision blocks, not trained again')
    parser.add_argument('--language', default='', metavar='I,J,...',
                        help='compare a copy without these language blocks, not trained again')
    parser.add_argument('--seed', type=int, default=900_000, help='seed of the first scene')
    parser.add_argument('--variant', default='nominal', choices=graph_arguments.VARIANTS)


def main(args: argparse.Namespace) -> int:
    """Prepare, run, and write the report."""
    console = Console(highlight=False)
    began = time.monotonic()
    rounds = rounds_that_fit(args)
    preflight.require([preflight.check_python, preflight.check_ros, preflight.check_torch,
                       preflight.check_transformers])
    baseline = bringup.find_checkpoint(args.checkpoint)
    load_manifest(baseline)
    clear_output(args.output)
    console.print(f'[bold]1/3[/] the smaller checkpoint, from {baseline.name}, and the design')
    design = design_of(args, baseline, make_candidate(args, baseline), rounds)
    folder = args.output / STUDY
    study = lock(design, folder, lambda path: checkpoint_hash(Path(path)), __version__)
    pairs = design.stopping.horizon
    with preflight.private_domain() as domain:
        console.print(f'[bold]2/3[/] {pairs} scenes by both, in sealed order, over ROS 2 in '
                      f'domain {domain}')
        graph = bringup.ab_trial(study=str(folder), simulated_operator=True, port=-1,
                                 operator='simulated', stops_early=False,
                                 viewer_rate=VIEWER_RATE)
        preflight.require(graph_checks(graph))
        status = run_with_progress(study, folder, graph, console)
    if status or not (folder / LOG_FILE).exists():
        return status or 1
    console.print('[bold]3/3[/] the arms are opened: report and animation')
    write_film(args.output, rows_of(unblind(read_record(folder), 'demo')))
    trials_report.report(argparse.Namespace(log=folder, logs=[], output=None, unblind=False,
                                            who='demo'))
    page = folder / FOLDER / PAGE
    for path, what in ((page, 'the report'), (args.output / FILM, 'a scene, animated'),
                       (folder / LOG_FILE, 'the log: every event, hash-chained'),
                       (folder / 'bags', 'an MCAP bag of every trial')):
        if path.exists():
            console.print(f'  {path}  [dim]{what}[/]', soft_wrap=True)
    console.print(f'\nOpen {page.resolve().as_uri()}   '
                  f'[dim]({time.monotonic() - began:.0f} s)[/]', soft_wrap=True)
    return 0


def rounds_that_fit(args: argparse.Namespace) -> int:
    """Return how many rounds to run: as asked, or as fit in even if every trial times out."""
    if args.rounds is not None:
        if args.rounds < 1:
            raise VlaDropError(f'--rounds {args.rounds}: at least 1 is needed')
        return int(args.rounds)
    if args.quick:
        return 1
    return max(1, int((60.0 * args.minutes - START) / (2 * len(TASKS) * (TIMEOUT + BETWEEN))))


def clear_output(folder: Path) -> None:
    """Create the folder, or remove what an earlier demo left in it; other files are refused."""
    if folder.exists():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in MADE_HERE)
        if foreign:
            raise VlaDropError(f'{folder} holds {", ".join(foreign[:3])}, which no demo wrote; '
                               'choose another folder with -o')
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def design_of(args: argparse.Namespace, baseline: Path, candidate: Path, rounds: int) -> Design:
    """Return the design of the demo: every task once a round."""
    tasks = list(TASKS)[:2] if args.quick else list(TASKS)
    return parse_design({
        'title': 'A vision-language-action policy and a smaller copy',
        'question': f'Does {candidate.name} succeed at most 15 points less often than '
                    f'{baseline.name}?',
        'arms': [{'name': 'baseline', 'checkpoint': str(baseline)},
                 {'name': 'pruned', 'checkpoint': str(candidate)}],
        'conditions': [{'id': task, 'task': task, 'instruction': TASKS[task],
                        'setup': 'the simulator draws the scene'} for task in tasks],
        'margin': 0.15, 'alpha': 0.05, 'minimum_baseline': 0.5,
        'stopping': {'rule': 'exact_paired', 'horizon': rounds * len(tasks)},
        'timeout': TIMEOUT, 'rest': BETWEEN,
        'rubric': [{'id': 'grasped', 'text': 'Was the named object moved?'}],
        'failure_reasons': ['wrong_object', 'missed_grasp'],
        'invalid_reasons': ['scene_was_wrong', 'robot_fault', 'emergency_stop'],
        'seed': args.seed % 2**31, 'simulation': {'seed': args.seed, 'variant': args.variant}},
        'the design of the demo')


def make_candidate(args: argparse.Namespace, baseline: Path) -> Path:
    """Return the candidate given or shipped, or write the baseline without some blocks."""
    if args.candidate:
        if args.vision or args.language:
            raise PlanError('--candidate is taken as it is; leave --vision and --language out')
        return bringup.find_checkpoint(args.candidate)
    plan = {stack: block_numbers(stack, getattr(args, stack)) for stack in ('vision', 'language')}
    if not any(plan.values()) and args.checkpoint == graph_arguments.DEFAULT_CHECKPOINT:
        return bringup.find_checkpoint(RECOVERED)
    from vla_drop_ros.pruning.drop import drop_checkpoint
    output: Path = args.output / SMALLER
    drop_checkpoint(baseline, output, named_blocks(
        baseline, plan if any(plan.values()) else default_plan(baseline), None),
        name=f'{baseline.name}-pruned')
    return output.resolve()


def default_plan(baseline: Path) -> dict[str, list[int]]:
    """Return two vision blocks, a third and two thirds up: the stack that needs its depth least.

    A language block cannot go without training afterwards: dropping one of the shipped policy
    moves its actions by more than its own sampling noise does, a vision block by far less.
    """
    depth = block_counts(baseline)['vision']
    return {'vision': sorted({depth // 3, 2 * depth // 3})}


def write_film(output: Path, rows: Sequence[TrialRow]) -> None:
    """Animate the first scene that the baseline solved, else the first one."""
    pairs: dict[int, dict[str, TrialRow]] = {}
    for row in rows:
        if row.counted and row.text('bag', 'uri'):
            pairs.setdefault(row.pair, {})[row.arm] = row
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    if not whole:
        return
    chosen = next((pair for pair in whole if pair['baseline'].success), whole[0])
    clips = [Clip(recording, name, row.verdict, row.seconds) for name, row in sorted(
        chosen.items()) if (recording := recording_of(output / STUDY / row.text('bag', 'uri')))]
    if len(clips) == 2:
        save_animation(output / FILM, compose(
            clips, chosen['baseline'].text('instruction'), 1.0 / VIEWER_RATE), 1.0 / VIEWER_RATE)


def recording_of(bag: Path) -> Recording | None:
    """Return the pictures for people in a bag, None where there are none."""
    with Bag(bag) as opened:
        messages = [received.message for received in opened.read([VIEWER])]
    if not messages:
        return None
    return Recording(np.stack([rgb_from(message) for message in messages]),
                     np.array([stamp_of(message) for message in messages]))
