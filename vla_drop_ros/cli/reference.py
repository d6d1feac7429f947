# SPDX-License-Identifier: Apache-2.0
"""Train the reference vision-language model and policy of this repository from nothing.

Scenes are rendered, a small PaliGemma learns to point, relate and describe, then becomes a pi0
policy by flow matching on the expert's actions, with DAgger rounds. The same command resumes.
"""

import argparse
from dataclasses import asdict
import logging
from pathlib import Path

from vla_drop_ros.errors import MissingDependencyError, VlaDropError

EXAMPLES = """\
examples:
  vla_drop reference train --output models --work reference_work
  vla_drop reference train --quick --output /tmp/models --work /tmp/work
                                     two minutes, learns little
"""
QUICK = {'shards': 1, 'shard_size': 64, 'demo_shards': 1, 'vlm_steps': 4, 'vla_steps': 4,
         'visits_from': 2, 'visits_every': 2, 'vision_steps': 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('action', choices=['train', 'curve'],
                        help='train; curve: draw what a training logged, into OUTPUT/training.png')
    parser.add_argument('--output', type=Path, default=Path('models'),
                        help='gets reference-vlm and reference (default: models)')
    parser.add_argument('--work', type=Path, default=Path('reference_work'),
                        help='frames and training state, about 3 GB (default: reference_work)')
    parser.add_argument('--workers', type=int, default=1,
                        help='simulator processes beside the training (default: 1)')
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads of the training (default: 1)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='change a number of the recipe, for instance vla_steps=6000')
    parser.add_argument('--quick', action='store_true', help='a tiny recipe, to try the machinery')


def main(args: argparse.Namespace) -> int:
    """Train or draw; return 0."""
    if args.action == 'curve':
        return _draw(args.work, args.output)
    from vla_drop_ros.simulation.opengl import prepare_rendering
    prepare_rendering()
    try:
        import torch

        from vla_drop_ros.reference.train import Recipe, train
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'training needs the package {error.name!r}: '
            'pip install torch transformers tokenizers safetensors') from error
    torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    types = {name: type(number) for name, number in asdict(Recipe()).items()}
    changes: dict[str, float] = dict(QUICK) if args.quick else {}
    for pair in args.set:
        name, _, value = pair.partition('=')
        try:
            changes[name] = types[name](value)
        except (KeyError, ValueError):
            raise VlaDropError(f'--set {pair}: give NAME=VALUE with a number, NAME one of '
                               f'{", ".join(types)}') from None
    recipe = Recipe(**changes)  # type: ignore[arg-type]  # int and float fields, converted above
    print(f'trained {train(args.work, args.output, recipe, args.workers)}')
    return 0


def _draw(work: Path, output: Path) -> int:
    from vla_drop_ros.reference.curve import draw
    folders = sorted((path.parent for path in work.glob('*/curve.jsonl')), reverse=True)
    if not folders:
        raise VlaDropError(f'{str(work)!r} holds no */curve.jsonl; give the --work of a training')
    output.mkdir(parents=True, exist_ok=True)
    draw(folders, output / 'training.png')
    print(f'drew {output / "training.png"}')
    return 0
