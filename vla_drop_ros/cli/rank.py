# SPDX-License-Identifier: Apache-2.0
"""Score the blocks, channels and heads of a checkpoint by every criterion, on demonstrations.

All criteria see the same frames, flow times and noise. leave-one-out is the oracle that judges
the others; random, uniform, keep-first and endpoints are controls that know nothing of the model.
Writes a JSON that `vla_drop plan` reads, and a picture of it beside.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import CheckpointError, RankingError, unknown
from vla_drop_ros.manifest import checkpoint_hash, load_manifest, Manifest, verify
from vla_drop_ros.pruning.ranking import Ranking

EXAMPLES = """\
examples:
  vla_drop demonstrate -o demonstrations
  vla_drop rank reference --data demonstrations --criterion all -o ranking.json
  vla_drop rank reference --data demonstrations --criterion gateprobe,leave-one-out -o quick.json
  vla_drop rank big --stream --criterion magnitude,divergence --base big-vlm -o ranking.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument('checkpoint', help='folder to read, or name of one in models')
    parser.add_argument('--data', type=Path,
                        help='LeRobot dataset (v3) of demonstrations of the same robot')
    parser.add_argument('--criterion', default='all', metavar='A,B,...',
                        help='which ones, or all (default: all)')
    parser.add_argument('-o', '--output', type=Path, required=True,
                        help='JSON to write; the picture gets the same name with .png')
    parser.add_argument('--base', help='vision-language model that the policy was adapted from, '
                                       'for divergence (default: the one its manifest names)')
    parser.add_argument('--samples', type=int, default=128,
                        help='frames to look at, spread over the episodes (default: 128)')
    parser.add_argument('--draws', type=int, default=2,
                        help='flow times and noises a frame (default: 2)')
    parser.add_argument('--batch-size', type=int, default=32,
                        help='frames that go through the model at once (default: 32)')
    parser.add_argument('--seed', type=int, default=0, help='of frames, times, noise, resamples')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1 ...')
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads for which the latency is measured (default: 1)')
    parser.add_argument('--no-latency', action='store_true',
                        help='skip the timing; `plan --budget latency=...` then has no figures')
    parser.add_argument('--no-probes', action='store_true',
                        help='skip what taking shares of channels and heads would cost')
    parser.add_argument('--stream', action='store_true',
                        help='keep one layer in memory at a time; no gradients, no timing')


def main(args: argparse.Namespace) -> int:
    """Rank, write JSON and picture, print a table; return 0."""
    from vla_drop_ros.pruning.criterion import CRITERIA
    folder = find_checkpoint(args.checkpoint)
    manifest = verify(folder)
    base = find_base(args.base, manifest)
    names = chosen(args, manifest, base, CRITERIA)
    if args.samples < 2 or args.draws < 1 or args.batch_size < 1 or args.threads < 1:
        raise RankingError('--samples must be at least 2; --draws, --batch-size and --threads 1')
    with progress_bar() as progress:
        ranking = _rank(args, folder, manifest, base, names, progress)
    from vla_drop_ros.pruning.pictures import draw_ranking
    ranking.save(args.output)
    picture = args.output.with_suffix('.png')
    draw_ranking(picture, ranking)
    show(ranking, Console())
    print(f'wrote {args.output} and {picture}')
    return 0


def progress_bar() -> Progress:
    """Return a bar a task, with its share and the time it took."""
    return Progress(TextColumn('{task.description:24}'), BarColumn(),
                    TextColumn('{task.percentage:3.0f} %'), TimeElapsedColumn(),
                    console=Console(stderr=True))


def find_base(name: str | None, manifest: Manifest) -> Path | None:
    """Return the folder of the base: the one named, or the one in models that the manifest means.

    Raises:
        CheckpointError: the named folder is none, or damaged.

    """
    if name is not None:
        folder = find_checkpoint(name)
        verify(folder)
        return folder
    record = manifest.base_vlm
    if record is None:
        return None
    try:
        folder = find_checkpoint(str(record['name']))
        return folder if checkpoint_hash(folder) == record.get('sha256') else None
    except CheckpointError:
        return None


def chosen(args: argparse.Namespace, manifest: Manifest, base: Path | None,
           known: Sequence[str]) -> list[str]:
    """Return the criteria to run; 'all' leaves out what cannot run here, and says so."""
    wanted = [part.strip() for part in args.criterion.split(',') if part.strip()]
    every = wanted == ['all']
    for name in [] if every else wanted:
        if name not in known:
            raise RankingError(unknown('criterion', name, (*known, 'all')))
    names = list(known) if every else list(dict.fromkeys(wanted))
    if not names:
        raise RankingError(f'--criterion is empty; valid: {", ".join(known)}, all')
    left_out: dict[str, str] = {}
    for name in names:
        if name.startswith('divergence') and base is None:
            left_out[name] = 'no base vision-language model is at hand; name one with --base'
    if args.stream:
        from vla_drop_ros.pruning.streaming import STREAMED
        left_out |= {name: 'it needs gradients or changes the model, which --stream cannot'
                     for name in names if name not in STREAMED}
    if left_out and not every:
        name, why = next(iter(left_out.items()))
        raise RankingError(f'criterion {name!r}: {why}')
    for name, why in left_out.items():
        Console(stderr=True).print(f'[dim]without {name}: {why}[/]')
    return [name for name in names if name not in left_out]


def _rank(args: argparse.Namespace, folder: Path, manifest: Manifest, base: Path | None,
          names: list[str], progress: Progress) -> Ranking:
    from vla_drop_ros.checkpoint import empty_model
    from vla_drop_ros.dataset.reader import Dataset
    from vla_drop_ros.families.registry import family
    from vla_drop_ros.policies.calibration import calibrate
    from vla_drop_ros.policies.registry import assemble_policy
    from vla_drop_ros.pruning import cost, ranker
    from vla_drop_ros.pruning.criterion import criterion, Subject
    from vla_drop_ros.weights import Weights
    found = family(manifest.family)
    loading = progress.add_task('loading', total=None)
    needs_data = any('data' in criterion(name).needs for name in names)
    if needs_data and args.data is None:
        raise RankingError('demonstrations are needed: name a LeRobot dataset with --data, record '
                           'one with `vla_drop demonstrate`, or choose criteria without data')
    dataset = Dataset(args.data) if args.data is not None else None
    policy = assemble_policy(_model(args, folder), manifest, folder)
    calibration = None
    if dataset is not None and needs_data:
        size = args.samples if args.stream else args.batch_size
        calibration = calibrate(policy, dataset, args.samples, args.seed, draws=args.draws,
                                batch_size=size)
    record = None
    if base is not None:
        base_family = family(load_manifest(base).family)
        record = (base_family, base_family.sites(base_family.read_config(base)),
                  Weights(base, base_family.module_name))
    weights = Weights(folder, found.module_name)
    subject = Subject(found, policy.model, calibration.batches if calibration else (), weights,
                      record, args.seed)
    progress.update(loading, total=1, completed=1)
    tasks: dict[str, Any] = {}

    def tell(name: str, share: float) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=1.0)
        progress.update(tasks[name], completed=share)

    losses = subject.losses() if calibration and not args.stream else None
    ranked = ranker.rank(subject, names, tell, probes=not (args.no_probes or args.stream))
    examples = policy.example_inputs()
    counted = Subject(found, empty_model(
        folder, manifest.family, manifest.structure).to('meta'), (), weights)
    costs = {**cost.count_units(counted, examples[0], lambda share: tell('counting', share)),
             'latency': None if args.no_latency or args.stream else cost.time_units(
                 subject, examples, args.threads, lambda share: tell('timing', share))}
    return Ranking(
        {'path': str(folder), 'name': manifest.name, 'sha256': manifest.identity,
         'family': manifest.family}, subject.layout, ranked,
        {**calibration.record, 'path': str(args.data)} if calibration else None,
        {'path': str(base), 'sha256': checkpoint_hash(base)} if base is not None else None,
        None if losses is None else {
            'mean': float(losses.mean()),
            'error': float(losses.std(ddof=1) / len(losses) ** 0.5)}, costs, args.seed)


def _model(args: argparse.Namespace, folder: Path) -> Any:
    """Return the model, whole on its device or layer by layer from disk."""
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.policies.model_policy import torch_device
    from vla_drop_ros.pruning.streaming import streamed_model
    if args.stream:
        return streamed_model(folder)
    device = torch_device(args.device)
    return load_checkpoint(folder)[0].to(device)


def show(ranking: Ranking, console: Console) -> None:
    """Print for each stack and unit which blocks each criterion would drop first."""
    from vla_drop_ros.pruning.pictures import block_columns
    for stack, unit in block_columns(ranking):
        table = Table(title=f'{stack}, {unit}: the first to go stands first', title_justify='left')
        for heading in ('criterion', 'order', 'stability', 'with the oracle [95 %]', 's'):
            table.add_column(heading, justify='left' if heading in ('criterion', 'order')
                             else 'right')
        for name, found in ranking.criteria.items():
            if stack not in found.units.get(unit, {}):
                continue
            one, values = found.units[unit][stack], found.importance(unit, stack)
            order = ' '.join(str(index) for index in values.argsort(kind='stable'))
            oracle = one.oracle or {}
            table.add_row(
                escape(name), order, '' if one.stability is None else f'{one.stability:.2f}',
                '' if not _finite(oracle.get('value')) else
                f'{oracle["value"]:+.2f} [{oracle["low"]:+.2f}, {oracle["high"]:+.2f}]',
                f'{found.seconds:.1f}')
        if table.row_count:
            console.print(table)


def _finite(value: Any) -> bool:
    return value is not None and value == value  # noqa: PLR0124 - NaN is not itself
