# SPDX-License-Identifier: Apache-2.0
"""What `vla_drop plan --search` finds and `--pick` takes from: a Pareto front."""

import argparse
from dataclasses import replace
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranking import Ranking

if TYPE_CHECKING:
    from vla_drop_ros.families.family import Batch
    from vla_drop_ros.pruning.search import Search

FORMAT = 1


def search(args: argparse.Namespace, ranking: Ranking, folder: Path | None) -> int:
    """Search the Pareto front, write JSON and picture; return 0."""
    from vla_drop_ros.cli.rank import progress_bar
    from vla_drop_ros.pruning.pictures import draw_front
    if args.samples < 2 or args.minutes <= 0 or args.beam < 1:
        raise PlanError('--samples must be at least 2, --minutes > 0 and --beam at least 1')
    found, fresh = prepare(args, ranking, folder)
    known = len(found.points)
    with progress_bar() as progress:
        task = progress.add_task('searching', total=60.0 * args.minutes)
        complete = found.run(60.0 * args.minutes, lambda plans, front: progress.update(
            task, completed=progress.tasks[task].elapsed or 0.0,
            description=f'{plans} plans, {front} on the front'))
    front = found.confirmed(fresh)
    write_json(args.output, {
        'format': FORMAT, 'front_of': dict(ranking.checkpoint),
        'layout': ranking.layout.to_dict(), 'search': dict(found.identity),
        'evaluated': len(found.points), 'complete': complete,
        'whole': found.points[Plan().key()].to_dict(),
        'points': [point.to_dict() for point in front]})
    picture = args.output.with_suffix('.png')
    draw_front(picture, front, list(found.points.values()), str(ranking.checkpoint['name']))
    for number, point in enumerate(front):
        error, deviation = point.fresh or (point.error, point.deviation)
        print(f'{number:3}  error {error:.3f} +- {deviation:.3f}  '
              f'{1e3 * point.cost["latency"]:5.1f} ms  {describe(point.plan)}')
    print(f'{len(found.points)} plans evaluated, {known} of them before'
          + ('; nothing is left to try' if complete else '; the same command goes on'))
    print(f'wrote {args.output} and {picture}')
    return 0


def prepare(args: argparse.Namespace, ranking: Ranking, folder: Path | None,
            ) -> 'tuple[Search, Batch]':
    """Return a search with the model loaded and held-out frames, and fresh ones for its end."""
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.dataset.reader import Dataset
    from vla_drop_ros.policies.calibration import calibrate
    from vla_drop_ros.policies.model_policy import torch_device
    from vla_drop_ros.policies.registry import assemble_policy
    from vla_drop_ros.pruning.criterion import Subject
    from vla_drop_ros.pruning.search import Search
    from vla_drop_ros.weights import Weights
    if folder is None:
        raise PlanError(f'the ranked checkpoint {ranking.checkpoint["path"]} is not there any '
                        'more, or was changed; rank again')
    calibration = ranking.calibration or {}
    data = args.data or calibration.get('path')
    if data is None:
        raise PlanError('--search needs held-out demonstrations; name them with --data')
    dataset = Dataset(data)
    model, manifest = load_checkpoint(folder)
    policy = assemble_policy(model.to(torch_device(args.device)), manifest, folder)
    same = dataset.sha256() == calibration.get('dataset_sha256')
    seen = tuple(calibration.get('frames', ())) if same else ()
    held = calibrate(policy, dataset, args.samples, args.seed, draws=1, batch_size=args.samples,
                     without=seen)
    fresh = calibrate(policy, dataset, args.samples, args.seed + 1, draws=1,
                      batch_size=args.samples, without=(*seen, *held.record['frames']))
    subject = Subject(policy.family, policy.model, held.batches,
                      Weights(folder, policy.family.module_name))
    return Search(subject, held.batches[0], policy.spec.executed_steps, ranking, args.criterion,
                  args.beam, args.output.with_suffix('.jsonl'),
                  {'checkpoint': ranking.checkpoint['sha256'], 'criterion': args.criterion,
                   'beam': args.beam, 'held_out': held.record['sha256'], 'data': str(data),
                   'samples': args.samples, 'seed': args.seed}), fresh.batches[0]


def pick(args: argparse.Namespace, path: Path) -> tuple[Plan, Layout]:
    """Return the plan of a point of a front, and the layout that it is for."""
    try:
        front = json.loads(path.read_text())
        points, checkpoint, before = (
            front['points'], front['front_of'], front['whole']['cost'])
        layout = Layout.from_dict(front['layout'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f'{args.source!r} is no front: {error!r}; write one with '
                        '`vla_drop plan ranking.json --search`') from error
    if not 0 <= args.pick < len(points):
        raise PlanError(f'--pick {args.pick}: the front has points 0 to {len(points) - 1}')
    point = points[args.pick]
    return replace(
        Plan.from_dict(point['plan']), checkpoint=checkpoint['sha256'], dead=args.dead,
        origin={'criterion': {'name': 'search', **front['search'], 'error': point['error'],
                              'fresh': point['fresh']},
                'predicted': point['cost'], 'before': before}), layout


def describe(plan: Plan) -> str:
    """Return a plan in one line."""
    return '; '.join(f'{stack} {mode} {"+".join(map(str, indices))}'
                     for stack, modes in plan.blocks.items()
                     for mode, indices in modes.items()) or 'the whole model'


def write_json(path: Path, content: object) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(json.dumps(content, indent=1) + '\n')
    partial.replace(path)
