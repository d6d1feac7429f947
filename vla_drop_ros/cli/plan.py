# SPDX-License-Identifier: Apache-2.0
"""Choose what to drop: by the scores of a ranking, to a number of blocks or a budget.

A budget takes from all scored stacks what costs least; with --width it takes channels and heads,
by what the ranking's probes measured. Constraints of the family (ties, roles, joint heads) are
kept; what cannot be kept is refused by name. Nothing is changed: `vla_drop drop` carries it out.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.front import Front, Point
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranking import Ranking

if TYPE_CHECKING:
    from vla_drop_ros.families.family import Batch
    from vla_drop_ros.pruning.search import Search

EXAMPLES = """\
examples:
  vla_drop plan ranking.json --drop language=4 -o plan.json
  vla_drop plan ranking.json --criterion leave-one-out --keep language=2 --mode language=keep-kv \\
      -o plan.json
  vla_drop plan ranking.json --budget latency=8ms,params=80% -o plan.json
  vla_drop plan ranking.json --criterion divergence --width --budget params=85% -o plan.json
  vla_drop plan ranking.json --criterion wanda --channels language=25%,vision=25% -o plan.json
  vla_drop plan my_pi05 --preset dtr-pi05-gateprobe-16 -o plan.json
  vla_drop plan ranking.json --search -o front.json      the Pareto front, in --minutes
  vla_drop plan front.json --pick 3 -o plan.json
"""
RANK_ONLY = ('drop', 'keep', 'budget', 'channels', 'heads', 'search')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('source', help='JSON that `vla_drop rank` wrote; or a checkpoint, for '
                                       '--preset and --blocks')
    parser.add_argument('-o', '--output', type=Path, required=True,
                        help='JSON to write; the picture gets the same name with .png')
    parser.add_argument('--criterion', default='gateprobe', help='default: %(default)s')
    amount = parser.add_argument_group('how much goes')
    amount.add_argument('--drop', default='', metavar='STACK=N,...', help='so many blocks')
    amount.add_argument('--keep', default='', metavar='STACK=N,...', help='all but so many blocks')
    amount.add_argument('--budget', default='', metavar='WHAT=BOUND,...',
                        help='latency=60ms, latency=70%%, params=70%%, flops=70%%, blocks=6')
    amount.add_argument('--width', action='store_true',
                        help='meet the budget with channels and heads instead of blocks')
    amount.add_argument('--channels', default='', metavar='STACK=SHARE,...',
                        help='MLP channels, such as language=25%%')
    amount.add_argument('--heads', default='', metavar='STACK=SHARE,...', help='attention heads')
    amount.add_argument('--blocks', default='', metavar='STACK=I+J,...',
                        help='just these blocks, such as language=1+3')
    amount.add_argument('--preset', help='a published mask; `--preset list` shows them')
    amount.add_argument('--search', action='store_true',
                        help='the Pareto front of action error on held-out demonstrations against '
                             'predicted latency, over stacks, modes and depths')
    how = parser.add_argument_group('how')
    how.add_argument('--mode', default='', metavar='[STACK=]MODE,...',
                     help='whole, tied, keep-kv, mha or mlp (default: the first that the family '
                          'can)')
    how.add_argument('--stacks', default='', metavar='A,B', help='which ones a budget takes from')
    how.add_argument('--protect', default='', metavar='STACK=I+J,...', help='blocks that stay')
    how.add_argument('--direction', choices=('low', 'high'),
                     help='which channels and heads go first, the least or the most important '
                          '(default: as probed, else low)')
    how.add_argument('--dead', action='store_true', help='also what nothing reads')
    how.add_argument('--stock', action='store_true',
                     help="refuse what the family's own loader could not open; even widths")
    search = parser.add_argument_group('with --search')
    search.add_argument('--data', type=Path,
                        help='held-out demonstrations (default: the dataset of the ranking)')
    search.add_argument('--samples', type=int, default=64, help='default: %(default)s')
    search.add_argument('--minutes', type=float, default=5.0, help='default: %(default)s')
    search.add_argument('--beam', type=int, default=2,
                        help='removals tried of each stack and mode, a step (default: '
                             '%(default)s)')
    search.add_argument('--seed', type=int, default=1, help='of frames and noise')
    search.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1 ...')
    amount.add_argument('--pick', type=int, metavar='N',
                        help='point N of a front that --search wrote, instead of a ranking')


def main(args: argparse.Namespace) -> int:
    """Plan, write JSON and picture, say what goes; return 0."""
    if args.preset == 'list':
        return list_presets()
    path = Path(args.source)
    if args.pick is not None:
        front = Front.load(path)
        return finish(args, replace(front.plan(args.pick), dead=args.dead), front.layout, None)
    ranking = Ranking.load(path) if path.is_file() else None
    if args.search:
        if ranking is None:
            raise PlanError(f'--search refines a ranking; {args.source!r} is no file. Write one '
                            'with `vla_drop rank`')
        return search(args, ranking, checkpoint_of(args, ranking))
    checkpoint = checkpoint_of(args, ranking)
    if ranking is None:
        given = [f'--{name}' for name in RANK_ONLY if getattr(args, name)]
        if given:
            raise PlanError(f'{given[0]} needs scores: give a ranking instead of {args.source!r}')
        layout = layout_of(checkpoint)
        plan = without_scores(args, layout, checkpoint)
    else:
        layout = ranking.layout
        plan = with_scores(args, ranking, checkpoint)
    plan = replace(plan, dead=args.dead)
    if plan.is_empty and args.budget:
        raise PlanError(f'the whole model is within --budget {args.budget} already: nothing goes')
    if plan.is_empty:
        raise PlanError('nothing to drop: say how much with --drop, --keep, --budget, --channels, '
                        '--heads, --blocks or --preset')
    if checkpoint is not None:
        check(checkpoint, plan, stock=args.stock)
    return finish(args, plan, layout, ranking)


def finish(args: argparse.Namespace, plan: Plan, layout: Layout, ranking: Ranking | None) -> int:
    """Write the plan and its picture, and say what goes; return 0."""
    plan.save(args.output)
    from vla_drop_ros.pruning.pictures import draw_plan
    picture = args.output.with_suffix('.png')
    draw_plan(picture, plan, layout, ranking)
    tell(plan)
    print(f'wrote {args.output} and {picture}')
    return 0


def checkpoint_of(args: argparse.Namespace, ranking: Ranking | None) -> Path | None:
    """Return the checkpoint that the plan is for, None if the ranked one is not here any more."""
    if ranking is None:
        return find_checkpoint(args.source)
    folder = Path(str(ranking.checkpoint['path']))
    from vla_drop_ros.manifest import checkpoint_hash
    if not folder.is_dir() or checkpoint_hash(folder) != ranking.checkpoint['sha256']:
        return None
    return folder


def layout_of(checkpoint: Path | None) -> Layout:
    """Return the facts about the stacks of a checkpoint, without reading weights."""
    from vla_drop_ros.checkpoint import empty_model
    from vla_drop_ros.families.registry import family
    from vla_drop_ros.manifest import load_manifest
    from vla_drop_ros.pruning.constraints import layout_of as measure
    assert checkpoint is not None  # noqa: S101 - a source that is no ranking is a checkpoint
    manifest = load_manifest(checkpoint)
    found = family(manifest.family)
    return measure(found, empty_model(checkpoint, manifest.family, manifest.structure))


def without_scores(args: argparse.Namespace, layout: Layout, checkpoint: Path | None) -> Plan:
    """Return the plan of a preset, or of blocks that were named."""
    from vla_drop_ros.manifest import load_manifest
    from vla_drop_ros.pruning.presets import preset
    assert checkpoint is not None  # noqa: S101 - see above
    manifest = load_manifest(checkpoint)
    if args.preset:
        return preset(args.preset).plan(manifest.family, layout, manifest.identity)
    return named(args, layout, manifest.identity)


def named(args: argparse.Namespace, layout: Layout, identity: str) -> Plan:
    """Return the plan that drops the blocks of --blocks."""
    modes, plan = modes_of(args.mode, layout), Plan(checkpoint=identity)
    for stack, indices in pairs('--blocks', args.blocks, block_list).items():
        plan = plan.with_blocks(stack, modes.get(stack, layout[stack].modes[0]), indices)
    return plan


def with_scores(args: argparse.Namespace, ranking: Ranking, checkpoint: Path | None) -> Plan:
    """Return the plan that the scores of a ranking give."""
    from vla_drop_ros.pruning import solver
    layout = ranking.layout
    if args.preset:
        from vla_drop_ros.pruning.presets import preset
        return preset(args.preset).plan(str(ranking.checkpoint['family']), layout,
                                        str(ranking.checkpoint['sha256']))
    if args.blocks:
        return named(args, layout, str(ranking.checkpoint['sha256']))
    drops = {stack: int(number) for stack, number in pairs('--drop', args.drop, whole).items()}
    for stack, number in pairs('--keep', args.keep, whole).items():
        if stack in drops:
            raise PlanError(f'{stack} is named in --drop and in --keep; name it once')
        drops[stack] = layout[stack].depth - number
    request = solver.Request(
        args.criterion, drops, budget_of(args.budget, ranking),
        modes_of(args.mode, layout), tuple(part for part in args.stacks.split(',') if part),
        pairs('--protect', args.protect, block_list),
        pairs('--channels', args.channels, share), pairs('--heads', args.heads, share),
        args.direction, even=args.stock)
    return solver.solve_widths(ranking, request) if args.width else solver.solve(ranking, request)


def check(checkpoint: Path, plan: Plan, *, stock: bool) -> None:
    """Refuse a plan that the checkpoint cannot carry out."""
    from vla_drop_ros.checkpoint import empty_model
    from vla_drop_ros.families.registry import family
    from vla_drop_ros.manifest import load_manifest
    from vla_drop_ros.pruning.constraints import check_plan
    manifest = load_manifest(checkpoint)
    check_plan(family(manifest.family), empty_model(
        checkpoint, manifest.family, manifest.structure), plan, stock=stock)


def search(args: argparse.Namespace, ranking: Ranking, folder: Path | None) -> int:
    """Search the Pareto front, write JSON and picture; return 0."""
    from vla_drop_ros.cli.rank import progress_bar
    from vla_drop_ros.pruning.pictures import draw_front
    if args.samples < 2 or args.minutes <= 0 or args.beam < 1:
        raise PlanError('--samples must be at least 2, --minutes > 0 and --beam at least 1')
    found, fresh = prepare_search(args, ranking, folder)
    known = len(found.points)
    with progress_bar() as progress:
        task = progress.add_task('searching', total=60.0 * args.minutes)
        complete = found.run(60.0 * args.minutes, lambda plans, front: progress.update(
            task, completed=progress.tasks[task].elapsed or 0.0,
            description=f'{plans} plans, {front} on the front'))
        confirming = progress.add_task('fresh frames', total=1.0)
        front = found.confirmed(fresh, complete, lambda share: progress.update(
            confirming, completed=share))
    front.save(args.output)
    picture = args.output.with_suffix('.png')
    draw_front(picture, front, list(found.points.values()))
    print(f'      {estimate(front.whole)}  the whole model')
    for number, point in enumerate(front.points):
        print(f'{number:5} {estimate(point)}  {describe(point.plan)}')
    print(f'{len(found.points)} plans evaluated, {known} of them before'
          + ('; nothing is left to try' if complete else '; the same command goes on'))
    print(f'wrote {args.output} and {picture}')
    return 0


def estimate(point: Point) -> str:
    """Return error and latency in words."""
    error, deviation = point.best_estimate
    return f'error {error:.3f} +- {deviation:.3f}  {1e3 * point.cost["latency"]:5.1f} ms'


def prepare_search(args: argparse.Namespace, ranking: Ranking, folder: Path | None,
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


def describe(plan: Plan) -> str:
    """Return a plan in one line."""
    return '; '.join(f'{stack} {mode} {"+".join(map(str, indices))}'
                     for stack, modes in plan.blocks.items()
                     for mode, indices in modes.items())


def tell(plan: Plan) -> None:
    """Print what goes and what it will cost."""
    for stack, modes in plan.blocks.items():
        for mode, indices in modes.items():
            print(f'{stack:9} {mode:8} {len(indices)} blocks {list(indices)}')
    for kind, widths in (('channels', plan.channels), ('heads', plan.heads)):
        for stack, blocks in widths.items():
            print(f'{stack:9} {kind:8} {sum(map(len, blocks.values()))} of '
                  f'{len(blocks)} blocks')
    if plan.dead:
        print('and what nothing reads')
    before, after = plan.origin.get('before', {}), plan.origin.get('predicted', {})
    for name, value in after.items():
        number = (f'{1e3 * value:.1f} of {1e3 * before[name]:.1f} ms' if name == 'latency'
                  else f'{value / 1e6:.2f} of {before[name] / 1e6:.2f} M')
        print(f'{name:10} {number} ({value / before[name]:.0%}), predicted')


def list_presets() -> int:
    """Print the published masks; return 0."""
    from vla_drop_ros.pruning.presets import presets
    for name, one in presets().items():
        depths = ', '.join(f'{depth} {stack} blocks' for stack, depth in one.depth.items())
        print(f'{name:36} {one.family:10} {depths:20} {one.source}')
    return 0


def pairs(option: str, text: str, read: Callable[[str, str], object]) -> dict:  # type: ignore[type-arg]
    """Return {'language': read('4'), ...} of 'language=4,vision=2'."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(','))):
        name, separator, value = part.partition('=')
        if not separator or not name or not value:
            raise PlanError(f'{option} {part!r}: write NAME=VALUE, several with commas')
        if name in found:
            raise PlanError(f'{option} names {name!r} more than once')
        found[name] = read(f'{option} {part}', value)
    return found


def whole(what: str, text: str) -> int:
    """Return a whole number."""
    if not text.isdecimal():
        raise PlanError(f'{what}: {text!r} must be a whole number')
    return int(text)


def share(what: str, text: str) -> float:
    """Return 0.25 of '25%' or '0.25'."""
    try:
        return float(text[:-1]) / 100 if text.endswith('%') else float(text)
    except ValueError:
        raise PlanError(f'{what}: {text!r} must be a share such as 25%') from None


def budget_of(text: str, ranking: Ranking) -> dict[str, float]:
    """Return bounds by name: latency in seconds, blocks as a number, the others as shares."""
    given, found = pairs('--budget', text, lambda _, value: value), {}
    for name, value in given.items():
        what = f'--budget {name}={value}'
        if name == 'blocks':
            found[name] = float(whole(what, value))
        elif name != 'latency':
            found[name] = share(what, value)
        elif value.endswith('%'):
            latency = (ranking.costs or {}).get('latency') or {'total': 1.0}
            found[name] = share(what, value) * latency['total']
        elif value.endswith('s'):
            scale, number = (1e-3, value[:-2]) if value.endswith('ms') else (1.0, value[:-1])
            found[name] = scale * share(what, number)
        else:
            raise PlanError(f'{what}: say the unit, such as 60ms, or a share such as 70%')
    return found


def block_list(what: str, text: str) -> tuple[int, ...]:
    """Return (1, 3) of '1+3'."""
    return tuple(whole(what, part) for part in text.split('+'))


def modes_of(text: str, layout: Layout) -> dict[str, str]:
    """Return stack -> mode; a mode alone is meant for every stack that can."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(','))):
        name, separator, mode = part.partition('=')
        if separator:
            found[name] = mode
            continue
        able = [stack for stack, one in layout.stacks.items() if name in one.modes]
        if not able:
            raise PlanError(f'--mode {name!r}: no stack can; valid: '
                            f'{valid_modes(list(layout.stacks), layout)}')
        found |= {stack: name for stack in able if stack not in found}
    return found


def valid_modes(names: Sequence[str], layout: Layout) -> str:
    """Return the modes of each stack in words."""
    return '; '.join(f'{name}: {", ".join(layout[name].modes)}' for name in names)
