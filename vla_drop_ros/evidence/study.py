# SPDX-License-Identifier: Apache-2.0
"""Run the units of the evidence; what is finished is never run again."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass, replace
import json
import multiprocessing
from pathlib import Path
from typing import Any

from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.evaluation.episodes import Job, run_job
from vla_drop_ros.evidence.results import Outcomes, Results
from vla_drop_ros.evidence.rows import all_rows, OWN, Probe, Row, Unit
from vla_drop_ros.manifest import load_manifest, MANIFEST_FILE
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.drop import drop_checkpoint
from vla_drop_ros.pruning.ranking import Ranking
from vla_drop_ros.recovery.proxies import measure
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.recover import flops, recover, Settings
from vla_drop_ros.recovery.samples import Samples

ONE_THREAD = 1
MAIN = Recipe(steps=800, draws=6, precision='bf16')
RECIPES = {
    'main': MAIN,
    'long': replace(MAIN, steps=3000),
    'short': replace(MAIN, steps=300),
    'tenth': replace(MAIN, steps=300, share=0.1),
    'taught': replace(MAIN, distill_actions=1.0),
    'unpaired': replace(MAIN, steps=300),
}
PROBES_FILE = 'probes.json'
# Pairs of colour and goal that the data of the recipe 'unpaired' lack.
WITHOUT = ('red:left_bin', 'blue:right_bin', 'green:on_top', 'yellow:beside')


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie.

    Attributes:
        parent: folder of the baseline checkpoint.
        data: demonstrations, all kinds.
        unpaired: demonstrations without the pairs of ``WITHOUT``.
        work: checkpoints that are made on the way.
        results: file of finished units.

    """

    parent: Path
    data: Path
    unpaired: Path
    work: Path
    results: Path

    def pruned(self, unit: Unit) -> Path:
        """Return the folder of the pruned checkpoint."""
        return self.work / 'pruned' / unit.pruned

    def checkpoint(self, unit: Unit) -> Path:
        """Return the folder of the unit's checkpoint."""
        return self.work / 'recovered' / unit.key if unit.recipe else self.pruned(unit)


@dataclass(frozen=True, slots=True)
class Task:
    """A unit with what is asked of it.

    Attributes:
        unit: what to run.
        episodes: probe -> seeds of the scenes.
        places: where.
        steps: of every recipe, 0 as it is: for a quick form.

    """

    unit: Unit
    episodes: Mapping[Probe, Sequence[int]]
    places: Places
    steps: int = 0


def tasks(rows: Sequence[Row], places: Places, zero_shot: int, steps: int = 0,
          limit: int = 0) -> list[Task]:
    """Return what is to be done, in the order of the rows, each unit once.

    Args:
        rows: the rows.
        places: where.
        zero_shot: episodes of each pruned model before its recovery.
        steps: of every recipe, 0 as it is.
        limit: most episodes of a probe, 0: as the rows say.

    """
    units: dict[str, Unit] = {}
    wanted: dict[str, dict[Probe, int]] = {}
    for row in rows:
        for unit in row.units():
            units.setdefault(unit.key, unit)
            found = wanted.setdefault(unit.key, {})
            for probe in row.probes if unit.seed == 0 else row.probes[:1]:
                number = row.episodes if probe == row.probes[0] else min(row.episodes, 100)
                found[probe] = max(found.get(probe, 0), number)
    for unit in list(units.values()):  # zero-shot comes behind everything that was recovered
        if unit.recipe:
            units.setdefault(unit.pruned, Unit(unit.plan, '', 0))
            wanted.setdefault(unit.pruned, {}).setdefault(OWN[0], zero_shot)
    return [Task(units[key], {probe: range(min(number, limit or number))
                              for probe, number in probes.items()}, places, steps)
            for key, probes in wanted.items()]


def run(todo: Sequence[Task], workers: int) -> Iterator[str]:
    """Run tasks in processes of one thread each; yield the key of each unit as it is done."""
    if workers == 1:
        yield from map(run_task, todo)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(run_task, task) for task in todo]):
            yield future.result()


def run_task(task: Task) -> str:
    """Do what the unit still lacks; return its key."""
    import torch
    torch.set_num_threads(ONE_THREAD)
    results, unit = Results(task.places.results), task.unit
    known = results.units.get(unit.key, {})
    lacking = {probe: seeds for probe, seeds in task.episodes.items()
               if len(known.get(_column(probe), {'seeds': ()})['seeds']) < len(seeds)}
    if 'parameters' in known and not lacking:
        return unit.key
    folder = _checkpoint(task)
    if 'parameters' not in known:
        results.add({'unit': unit.key, **_describe(task, folder)})
    for probe, seeds in lacking.items():
        found = _episodes(folder, probe, seeds)
        results.add({'unit': unit.key, _column(probe): found.to_dict()})
    return unit.key


def is_done(task: Task, results: Results) -> bool:
    """Return whether nothing is lacking."""
    known = results.units.get(task.unit.key, {})
    return 'parameters' in known and all(
        len(known.get(_column(probe), {'seeds': ()})['seeds']) >= len(seeds)
        for probe, seeds in task.episodes.items())


def _column(probe: Probe) -> str:
    return f'episodes {"/".join(probe)}'


def _checkpoint(task: Task) -> Path:
    """Return the folder of the unit's checkpoint, made if it is not there yet."""
    unit, places = task.unit, task.places
    pruned = places.pruned(unit)
    if not (pruned / MANIFEST_FILE).is_file():
        # Another worker may be at it: folders appear whole, the last one stays.
        drop_checkpoint(places.parent, pruned, unit.plan, force=True)
    folder = places.checkpoint(unit)
    if not (folder / MANIFEST_FILE).is_file():
        recipe = replace(RECIPES[unit.recipe], seed=unit.seed)
        recipe = replace(recipe, steps=task.steps or recipe.steps)
        recover(pruned, _data(task), recipe, Settings(
            folder, places.work / 'state' / unit.key, every=100, device='cpu', force=True),
            places.parent if recipe.distills else None)
    return folder


def _data(task: Task) -> Path:
    return task.places.unpaired if task.unit.recipe == 'unpaired' else task.places.data


def _describe(task: Task, folder: Path) -> dict[str, Any]:
    """Return sizes, how the recovery went, and the proxies."""
    manifest = load_manifest(folder)
    recovery = dict(manifest.recovery or {})
    model, _ = load_checkpoint(folder)
    policy = assemble_policy(model, manifest, folder)
    whole, record = load_checkpoint(task.places.parent)
    parent = assemble_policy(whole, record, task.places.parent)
    samples = Samples(Dataset(task.places.data), policy, Recipe())
    return {
        'checkpoint': manifest.identity, 'commit': manifest.git_commit,
        'plan': task.unit.plan.to_dict()['blocks'], 'recipe': recovery.get('recipe'),
        'parameters': dict(manifest.parameters), 'flops': flops(folder),
        'seconds': recovery.get('seconds'), 'curve': recovery.get('curve'),
        'data': recovery.get('dataset_sha256'),
        'proxies': {name: round(value, 5)
                    for name, value in measure(policy, parent, samples).items()}}


def _episodes(folder: Path, probe: Probe, seeds: Sequence[int]) -> Outcomes:
    identity = load_manifest(folder).identity
    variant, words = probe
    found = [run_job(Job(str(folder), identity, seed, variant, words)) for seed in seeds]
    if words == 'swap':  # what counts is whether the object named the second time moved
        found = [{**one['swapped'], 'success': one['swapped']['moved'] == one['swapped']['named']}
                 for one in found]
    return Outcomes.of(found)


def rows_of(path: Path, ranking: Path) -> list[Row]:
    """Return the rows of a file; if there is none, those of a ranking, and write the file.

    Another machine that goes on with the study must have the same plans, whatever its last bits
    make of the ranking.
    """
    if not path.is_file():
        ranked = Ranking.load(ranking)
        found = all_rows(ranked)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ',\n'.join(json.dumps(row.to_dict()) for row in found)
        path.write_text(f'[\n{lines}\n]\n')
        path.with_name(PROBES_FILE).write_text(json.dumps(list(_probes(ranked)), indent=1) + '\n')
    return [Row.from_dict(data) for data in json.loads(path.read_text())]


def _probes(ranking: Ranking) -> Iterator[dict[str, Any]]:
    """Yield what the ranking's probes of divergence measured, both directions side by side."""
    found = ranking.criteria.get('divergence')
    for unit, by_stack in (found.units if found is not None else {}).items():
        for stack, ranked in by_stack.items():
            probed = ranked.extra.get('probe', {})
            for low, high in zip(probed.get('low', ()), probed.get('high', ()), strict=True):
                yield {'unit': unit, 'stack': stack, 'share': low[0], 'low': low[1],
                       'high': high[1], 'taken': ranked.extra.get('direction', 'low')}
