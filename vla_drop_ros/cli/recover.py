# SPDX-License-Identifier: Apache-2.0
"""Train a pruned checkpoint on demonstrations until it acts again.

The family's own action loss; full fine-tuning, or LoRA that is merged before saving. The weights
saved are an average over the last steps. Killed at any time, the same command goes on from the
last validation and ends with the same result. On several GPUs or machines the same command runs
under `accelerate launch` (see docs/recovery.md).
"""

import argparse
from dataclasses import replace
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import MissingDependencyError, RecoveryError
from vla_drop_ros.manifest import load_manifest

EXAMPLES = """\
examples:
  vla_drop demonstrate -o data --episodes 1800 --takeover wander reference
  vla_drop drop reference --language 1,3,5,7 -o half
  vla_drop recover half --data data -o half-recovered
  vla_drop recover half --data data -o taught --parent reference --distill-actions 1
  vla_drop recover half --data data -o low-rank --method lora --rank 32 --learning-rate 1e-3
  accelerate launch --num_processes 4 -m vla_drop_ros recover half --data data -o half-recovered
"""
HELP = {
    'steps': 'optimiser steps',
    'batch_size': 'frames a step, over all processes',
    'accumulate': 'parts in which a step goes through the model, for less memory',
    'draws': 'flow times and noises a frame',
    'learning_rate': "AdamW's highest",
    'schedule': 'cosine (to 2 %%) or constant',
    'warm_up': 'steps in which the rate rises',
    'weight_decay': 'of matrices',
    'clip': "largest norm of a step's gradient",
    'average': 'decay of the weight average that is saved; 0 saves the last weights',
    'precision': 'fp32, bf16 or fp16: of the forward pass',
    'method': 'full or lora',
    'rank': "of LoRA's matrices",
    'freeze': 'stacks that stay as they are, for instance vision',
    'distill_actions': "weight of the distance to the parent's answer under the same noise",
    'distill_hidden': "weight of the distance to the parent's states behind kept blocks",
    'share': 'of the episodes that are used',
    'seed': 'of order, times and noise',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    from vla_drop_ros.recovery.recipe import Recipe
    parser.add_argument('checkpoint', help='folder to read, or name of one in models')
    parser.add_argument('--data', type=Path, required=True,
                        help='LeRobot dataset (v3) of demonstrations of the same robot')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write')
    parser.add_argument('--name', default='',
                        help='name in the manifest (default: that of the output folder)')
    parser.add_argument('--force', action='store_true', help='replace an output that exists')
    parser.add_argument('--parent', help='what the checkpoint was dropped from, to distill it')
    parser.add_argument('--match-flops', metavar='CHECKPOINT',
                        help='take as many steps as cost what --steps would with this one')
    parser.add_argument('--work', type=Path,
                        help='state and curve (default: the output with .work behind)')
    parser.add_argument('--every', type=int, default=100,
                        help='steps between validations; each saves the state (default: 100)')
    parser.add_argument('--episodes', type=int, default=0,
                        help='simulated episodes at each validation (default: none)')
    parser.add_argument('--loaders', type=int, default=0,
                        help='processes that read and decode frames beside (default: 0)')
    parser.add_argument('--device', default='auto', help='auto or cpu')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (default: all)')
    group = parser.add_argument_group('recipe')
    for name, default in Recipe().to_dict().items():
        option, text = f'--{name.replace("_", "-")}', HELP[name]
        if isinstance(default, list):
            group.add_argument(option, nargs='+', default=default, metavar='STACK', help=text)
        else:
            group.add_argument(option, type=type(default), default=default,
                               help=f'{text} (default: %(default)s)')


def main(args: argparse.Namespace) -> int:
    """Recover and say what came out; return 0."""
    if args.every < 1 or args.episodes < 0 or args.loaders < 0 or args.threads < 0:
        raise RecoveryError('--every must be at least 1; --episodes, --loaders, --threads 0')
    folder = find_checkpoint(args.checkpoint)
    parent = find_checkpoint(args.parent) if args.parent else None
    measure = _episodes(args.episodes) if args.episodes else None
    try:
        import torch

        from vla_drop_ros.recovery import recover as recovery
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'recovering needs the package {error.name!r}: pip install torch transformers '
            'accelerate pyarrow') from error
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = _recipe(args)
    if args.match_flops:
        whole = find_checkpoint(args.match_flops)
        recipe = replace(recipe, steps=recovery.matched_steps(folder, whole, recipe.steps))
    before = load_manifest(folder)
    with _bar() as progress:
        task = progress.add_task('recovering', total=recipe.steps, loss=float('nan'))
        manifest = recovery.recover(folder, args.data, recipe, recovery.Settings(
            args.output, args.work or args.output.with_name(f'{args.output.name}.work'),
            args.every, args.loaders, args.device, args.force, args.name, measure,
            lambda done, _, loss: progress.update(task, completed=done, loss=loss)), parent)
    if manifest is not None:
        _tell(before.name, manifest, args.output)
    return 0


def _recipe(args: argparse.Namespace) -> Any:
    from vla_drop_ros.recovery.recipe import Recipe
    values = {name: getattr(args, name) for name in Recipe().to_dict()}
    return Recipe(**{**values, 'freeze': tuple(values['freeze'])})


def _bar() -> Progress:
    return Progress(
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('loss {task.fields[loss]:.4f}'), TimeRemainingColumn(),
        console=Console(stderr=True), disable=os.environ.get('RANK', '0') != '0')


def _episodes(number: int) -> Any:
    """Return what runs simulated episodes: the first seeds of those kept for validation."""
    from vla_drop_ros.simulation.opengl import prepare_rendering
    prepare_rendering()
    from vla_drop_ros.reference import rollouts
    first = 900_000

    def measure(policy: Any) -> dict[str, float]:
        found = [rollouts.evaluate(policy, first + seed) for seed in range(number)]
        return {'success': sum(one.success for one in found) / number}

    return measure


def _tell(before: str, manifest: Any, output: Path) -> None:
    record = manifest.recovery
    for line in record['curve']:
        numbers = '  '.join(f'{name} {value:.4g}' for name, value in line.items()
                            if name not in ('step', 'seconds'))
        print(f'step {line["step"]:>6}  {line["seconds"]:>8.1f} s  {numbers}')
    print(f'recovered {before} on {record["frames"]} frames of {record["episodes"]} episodes')
    print(f'wrote {output}  {manifest.short}')
