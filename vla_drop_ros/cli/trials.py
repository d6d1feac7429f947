# SPDX-License-Identifier: Apache-2.0
"""Blinded A/B trials of checkpoints on a robot: plan, run, judge, report.

plan locks a design with its sealed schedule; then `ros2 launch vla_drop_ros ab_trial.launch.py
study:=FOLDER` (or `vla_drop up ab_trial`) runs it on the robot with a web console for whoever
stands there, and report says what came out. run does the same on the simulated robot, by a
simulated person. Every event is on disk before anybody is told: an interrupted study goes on
where it stopped. Exit status: 0 done, 1 a node ended before the study did, 2 bad input,
130 interrupted.
"""

import argparse
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from vla_drop_ros import __version__, bringup
from vla_drop_ros.cli import trials_data, trials_rating, trials_report, trials_study
from vla_drop_ros.manifest import checkpoint_hash, load_manifest, MANIFEST_FILE
from vla_drop_ros.trials.design import load_design
from vla_drop_ros.trials.evidence import HYPOTHESES
from vla_drop_ros.trials.locked_study import lock, SECRET_FILE, STUDY_FILE
from vla_drop_ros.trials.outlook import Assumption
from vla_drop_ros.trials.plan_summary import describe, Question
from vla_drop_ros.trials.reference_pictures import read_references

EXAMPLES = """\
examples:
  vla_drop trials plan config/trials/pick_place.yaml             what it costs, what it cannot see
  vla_drop trials plan config/trials/pick_place.yaml -o study    the same, and lock it
""" + trials_study.EXAMPLES + trials_rating.EXAMPLES + (
    trials_report.EXAMPLES + trials_data.EXAMPLES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions: plan, run, keys, rate, report, and those on logs."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    planned = actions.add_parser('plan', help='pairs and robot-hours of a design; -o locks it')
    planned.add_argument('design', type=Path, help='YAML; config/trials holds an example')
    planned.add_argument('-o', '--output', type=Path, metavar='FOLDER',
                         help='lock the design into this folder, with a sealed schedule')
    planned.add_argument('--baseline', type=float, default=0.8,
                         help='success that is assumed of the baseline (default: %(default)s)')
    planned.add_argument('--discordance', type=float, metavar='SHARE',
                         help='share of pairs that only one arm solves (default: as if the arms '
                              'had nothing in common, the worst case)')
    planned.add_argument('--loss', type=float, action='append', default=[], dest='losses',
                         metavar='SHARE', help='what the study says if the pruned arms lose so '
                                               'much success, for instance 0.1; again for more '
                                               '(default: half, once and twice the margin)')
    planned.add_argument('--cap', type=int, default=300, metavar='PAIRS',
                         help='pairs after which a study by anytime, without a horizon, is given '
                              'up in the plan (default: %(default)s)')
    planned.add_argument('--studies', type=int, default=4000,
                         help='simulated for every line of the plan (default: %(default)s)')
    trials_study.add_actions(actions)
    report = actions.add_parser('report', help='check the logs of a study, and say what they show')
    report.add_argument('log', type=Path, metavar='STUDY', help='folder of a locked study')
    trials_report.add_arguments(report)
    trials_rating.add_actions(actions)
    trials_data.add_actions(actions)


def main(args: argparse.Namespace) -> int:
    """Do the action."""
    return {'plan': plan, 'report': trials_report.report, **trials_study.ACTIONS,
            **trials_rating.ACTIONS, **trials_data.ACTIONS}[args.action](args)


def plan(args: argparse.Namespace) -> int:
    """Print the plan, and lock the design if asked to."""
    design = load_design(args.design)
    console = Console(highlight=False)
    question = Question(Assumption(args.baseline, args.discordance), tuple(args.losses), args.cap,
                        args.studies)
    question.pairs_of(design)  # refused before anything is locked
    study = None
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            for old in set(tasks) - {name}:
                progress.remove_task(tasks.pop(old))
            if name not in tasks:
                told = f'stopping rule, {name}' if name in HYPOTHESES else name
                tasks[name] = progress.add_task(told, total=total)
            progress.update(tasks[name], completed=done)

        if args.output is not None:
            pictures = read_references(design, args.design.parent)
            study = lock(design, args.output, identify, __version__, show, pictures, summarise)
        lines = describe(design, question, study.boundaries if study else None, show)
    for line in lines:
        console.print(line, soft_wrap=True)
    if study is not None:
        console.print(
            f'\nlocked: {args.output / STUDY_FILE}\n  design    {study.design.digest}\n'
            f'  schedule  {study.commitment}\nNote both down before the first trial; the secret '
            f'in {args.output / SECRET_FILE} tells who runs when, leave it closed.\n'
            f'next: ros2 launch vla_drop_ros ab_trial.launch.py study:={args.output}',
            soft_wrap=True)
    return 0


def identify(checkpoint: str) -> str:
    """Return the identity of a checkpoint given as a folder or as a name in models."""
    return checkpoint_hash(bringup.find_checkpoint(checkpoint))


def summarise(checkpoint: str) -> dict[str, Any]:
    """Return what the manifest of a checkpoint says of it, and the sha256 of the manifest."""
    folder = bringup.find_checkpoint(checkpoint)
    manifest = load_manifest(folder)
    parent = manifest.parent or {}
    told = {'name': manifest.name, 'family': manifest.family,
            'blocks': dict(manifest.blocks or {}), 'parameters': sum(manifest.parameters.values()),
            'bytes': sum(manifest.bytes.values()), 'git_commit': manifest.git_commit,
            'parent': {key: parent[key] for key in ('name', 'sha256') if key in parent}}
    return {'manifest_sha256': sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest(),
            'tool_version': manifest.tool_version,
            **{key: value for key, value in told.items() if value}}
