# SPDX-License-Identifier: Apache-2.0
"""What a study costs in pairs and robot-hours, what it cannot see, and its lock."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from vla_drop_ros import __version__, bringup
from vla_drop_ros.errors import TrialError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.design import Design, load_design
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.locked_study import lock, SECRET_FILE, STUDY_FILE
from vla_drop_ros.trials.planning import (
    fixed_pairs,
    fixed_power,
    robot_hours,
    sequential_plan,
    Truth,
)

SEQUENTIAL = 1.3
"""Horizon of a sequential rule over the pairs of one look, for the same power, about."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the design and what is assumed."""
    parser.add_argument('design', type=Path, help='YAML; config/trials holds an example')
    parser.add_argument('-o', '--output', type=Path, metavar='FOLDER',
                        help='lock the design into this folder, with a sealed schedule')
    parser.add_argument('--baseline', type=float, default=0.8,
                        help='success that is assumed of the baseline (default: %(default)s)')
    parser.add_argument('--discordance', type=float, metavar='SHARE',
                        help='share of pairs that only one arm solves (default: as if the arms '
                             'had nothing in common, the worst case)')


def main(args: argparse.Namespace) -> int:
    """Print the plan, and lock the design if asked to."""
    design = load_design(args.design)
    console = Console(highlight=False)
    if not 0.0 < args.baseline < 1.0:
        raise TrialError(f'--baseline {args.baseline} must lie between 0 and 1')
    found: Mapping[Any, Boundary] = {}
    if args.output is not None:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            tasks: dict[str, object] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(f'stopping rule, {name}', total=total)
                progress.update(tasks[name], completed=done)  # type: ignore[arg-type]

            study = lock(design, args.output, identify, __version__, show)
        found = study.boundaries
    for line in describe(design, args.baseline, args.discordance, found):
        console.print(line, soft_wrap=True)
    if args.output is not None:
        console.print(
            f'\nlocked: {args.output / STUDY_FILE}\n  design    {study.design.digest}\n'
            f'  schedule  {study.commitment}\nNote both down before the first trial; the secret '
            f'in {args.output / SECRET_FILE} tells who runs when, leave it closed.',
            soft_wrap=True)
    return 0


def identify(checkpoint: str) -> str:
    """Return the identity of a checkpoint given as a folder or as a name in models."""
    return checkpoint_hash(bringup.find_checkpoint(checkpoint))


def describe(design: Design, baseline: float, discordance: float | None,
             found: Mapping[Any, Boundary]) -> list[str]:
    """Return the plan in words.

    Args:
        design: the study.
        baseline: success assumed of the baseline, as a proportion.
        discordance: assumed; None: of independent arms.
        found: boundaries that are known already; others are built.

    """
    truth = Truth.independent(baseline, baseline) if discordance is None else Truth(
        0.0, discordance)
    terms, arms = Terms.of(design), len(design.arms)
    lines = [f'[bold]{design.title}[/]', design.question, '',
             f'margin {design.margin:.0%}, error {design.alpha:.0%} in each direction: up to '
             f"{design.margin / baseline:.0%} of the baseline's success may be given up"]
    needed = fixed_pairs(design.margin, design.alpha, truth)
    lines.append(f'assumed: both arms succeed in {baseline:.0%}, {truth.discordance:.0%} of the '
                 f'pairs differ; one look would need {needed} pairs for 80 % power')
    horizon = design.stopping.horizon
    if terms.rule == 'exact_paired':
        boundary = (found or boundaries(terms, ('non_inferior',)))['non_inferior']
        plan = sequential_plan(boundary, truth)
        power, mean = plan.power, plan.mean_pairs
        hours = robot_hours(round(mean), design.timeout, design.rest, arms)
        lines.append(f'at most {horizon} pairs, on average {mean:.0f} ({hours:.1f} robot-hours), '
                     'since one may stop at every complete round')
    elif terms.rule == 'fixed':
        power = fixed_power(horizon, design.margin, design.alpha, truth)
    else:
        lines.append('no horizon: the study goes on until it can tell, or until you stop')
        return lines
    lines.append(f'robot: at most {robot_hours(horizon, design.timeout, design.rest, arms):.1f} '
                 f'hours, {horizon * arms} trials of up to {design.timeout:.0f} s and '
                 f'{design.rest:.0f} s between them')
    lines.append(f'if the arms are equal, it says so with a probability of [bold]{power:.0%}[/]')
    if power < 0.8:
        wanted = needed if terms.rule == 'fixed' else round(SEQUENTIAL * needed)
        lines.append(f'[yellow]That is little: think of about {wanted} pairs, or of a larger '
                     'margin. A study that ends inconclusive costs as many hours.[/]')
    return lines
