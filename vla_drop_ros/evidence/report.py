# SPDX-License-Identifier: Apache-2.0
"""Write the tables of the evidence from the results file, and nothing that is not in it."""

from collections.abc import Iterator, Sequence
import json
from pathlib import Path
from typing import Any

import numpy as np

from vla_drop_ros.evidence.comparison import common, difference, rank_correlation, success
from vla_drop_ros.evidence.results import Outcomes, Results
from vla_drop_ros.evidence.rows import OWN, Probe, ROBUST, Row, SECTIONS
from vla_drop_ros.evidence.study import PROBES_FILE, WITHOUT
from vla_drop_ros.evidence.targets import points, targets
from vla_drop_ros.simulation.layout import draw_layout
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.types import FloatArray

BEGIN = '<!-- below: written by `vla_drop evidence report` -->'
END = '<!-- above: written by `vla_drop evidence report` -->'
PROXIES = ('held_out_loss', 'action_error', 'critical_error', 'fidelity_error',
           'gripper_agreement', 'noise_spread')


class Tables:
    """The rows, what was measured, and text made of both."""

    def __init__(self, rows: Sequence[Row], results: Results) -> None:
        """Find the two baselines: as shipped, and trained on by the main recipe."""
        self.rows, self.results = rows, results
        whole = [row for row in rows if not (row.plan.blocks or row.plan.channels
                                             or row.plan.heads)]
        self.shipped = next(row for row in whole if not row.recipe)
        self.trained = {row.recipe: row for row in whole if row.recipe}

    def runs(self, row: Row, probe: Probe = OWN[0]) -> list[Outcomes]:
        """Return the outcomes of each seed that is done."""
        found = [self.results.outcomes(unit.key, '/'.join(probe)) for unit in row.units()]
        return [one for one in found if one is not None and len(one.seeds)]

    def zero_shot(self, row: Row) -> list[Outcomes]:
        """Return the outcomes of the pruned model without recovery."""
        found = self.results.outcomes(next(row.units()).pruned, '/'.join(OWN[0]))
        return [] if found is None else [found]

    def compared(self, row: Row, base: Row | None, probe: Probe = OWN[0]) -> Interval | None:
        """Return the paired difference, None where one of the two is not done."""
        if base is None or base is row:
            return None
        ours, theirs = self.runs(row, probe), self.runs(base, probe)
        if not ours or not theirs:
            return None
        found, other = common([ours, theirs])
        return difference(found, other)

    def numbers(self, row: Row) -> dict[str, float]:
        """Return sizes, errors and speed of a row, means over seeds."""
        records = [self.results.units.get(unit.key, {}) for unit in row.units()]
        records = [record for record in records if 'parameters' in record]
        if not records:
            return {}
        whole = self.results.units.get(next(self.shipped.units()).key, {})
        found = {'parameters': sum(records[0]['parameters'].values())
                 / sum(whole['parameters'].values()) if whole else np.nan,
                 'flops': records[0]['flops'] / whole['flops'] if whole else np.nan,
                 **{name: float(np.mean([record['proxies'].get(name, np.nan)
                                         for record in records])) for name in PROXIES}}
        timing = self.results.units.get(next(row.units()).pruned, {}).get('timing', {})
        found.update(timing)
        if 'chunk_speedup' in timing and self.runs(row) and self.runs(self.shipped):
            steps = [float(np.mean([one.steps.mean() for one in self.runs(which)]))
                     for which in (row, self.shipped)]
            found['task_speedup'] = timing['chunk_speedup'] * steps[1] / steps[0]
        return found


def write(output: Path) -> Path:
    """Write the tables into ``output/evidence.md``, between its marks; return the file."""
    folder = output / 'evidence'
    rows = [Row.from_dict(data) for data in json.loads((folder / 'rows.json').read_text())]
    tables = Tables(rows, Results(folder / 'units.jsonl'))
    text = '\n'.join([BEGIN, '', *_document(tables), '', END])
    from vla_drop_ros.evidence.pictures import draw_proxies, draw_success
    draw_success(folder / 'recovery.png', tables)
    draw_proxies(folder / 'proxies.png', tables)
    path = output / 'evidence.md'
    old = path.read_text() if path.is_file() else ''
    if BEGIN in old and END in old:
        text = old[:old.index(BEGIN)] + text + old[old.index(END) + len(END):]
    else:
        text = f'{old.rstrip()}\n\n{text}\n' if old else f'{text}\n'
    path.write_text(text)
    return path


def _document(tables: Tables) -> Iterator[str]:
    done = [row for row in tables.rows if tables.runs(row)]
    units = {unit.key for row in tables.rows for unit in row.units()}
    ready = sum('parameters' in tables.results.units.get(key, {}) for key in units)
    commits = sorted({str(record['commit'])[:7] for record in tables.results.units.values()
                      if record.get('commit')})
    yield (f'{len(done)} of {len(tables.rows)} rows have outcomes, {ready} of {len(units)} models '
           f'are measured; commits {", ".join(commits)}. A row says its training seeds x '
           'episodes. Differences are in points of success, paired by scene and where possible '
           'by seed, with 95 % intervals; sizes and speed are shares of the baseline without '
           'its dead parts.')
    found = list(targets(tables))
    if found:
        yield from ('', '### What was hoped for', '', '| hoped for | came | |', '|---|---|---|')
        yield from (f'| {hope} | {came} | {verdict} |' for hope, came, verdict in found)
    for section, title in SECTIONS.items():
        rows = [row for row in tables.rows if row.section == section]
        if any(map(tables.runs, rows)):
            yield from ('', f'### {title}', '')
            yield from _table(tables, rows)
            if section == 'composition':
                yield from _composition(tables, rows)
            if section == 'divergence':
                yield from _directions(tables.results.path.with_name(PROBES_FILE))
    yield from _robustness(tables)
    yield from _proxies(tables)
    yield from ('', '![success by row](evidence/recovery.png)', '',
                '![proxies against success](evidence/proxies.png)')


def _table(tables: Tables, rows: Sequence[Row]) -> Iterator[str]:
    yield ('| row | seeds x episodes | zero-shot | success | by seed | to the shipped baseline | '
           'to the baseline trained as long | action error | parameters | FLOPs | chunk | task | '
           'training step |')
    yield '|' + '---|' * 13
    for row in rows:
        runs = tables.runs(row)
        if not runs:
            continue
        found, numbers = success(common([runs])[0]), tables.numbers(row)
        bare = tables.zero_shot(row) if row.recipe else []
        yield '| ' + ' | '.join([
            f'**{row.name}**' if row.headline else row.name,
            f'{len(runs)} x {min(len(one.seeds) for one in runs)}',
            f'{100 * bare[0].success.mean():.0f}' if bare else '',
            _percent(found), ' '.join(f'{100 * one.success.mean():.1f}' for one in runs),
            _points(tables.compared(row, tables.shipped)),
            _points(tables.compared(row, tables.trained.get(row.recipe))),
            _number(numbers, 'action_error', '{:.3f}'), _number(numbers, 'parameters', '{:.0%}'),
            _number(numbers, 'flops', '{:.0%}'), _number(numbers, 'chunk_speedup', '{:.2f}x'),
            _number(numbers, 'task_speedup', '{:.2f}x'),
            _number(numbers, 'step_speedup', '{:.2f}x')]) + ' |'


def _robustness(tables: Tables) -> Iterator[str]:
    rows = [row for row in tables.rows if tables.runs(row, ROBUST[0])]
    if not rows:
        return
    probes = (OWN[0], *ROBUST)
    yield from ('', '### Harder scenes and other words', '')
    yield ('First training seed, 100 scenes each. `camera` and `start` lie outside of what '
           'training had; paraphrases are of known words in phrasings that it never had; swap is '
           'the share of scenes in which the object moved that the other instruction names. In '
           'brackets the paired difference to the shipped baseline.')
    yield from ('', '| row | ' + ' | '.join(
        variant if words == 'own' else words for variant, words in probes) + ' |')
    yield '|' + '---|' * (len(probes) + 1)
    for row in rows:
        cells = []
        for probe in probes:
            runs = tables.runs(row, probe)[:1]
            cells.append(f'{100 * runs[0].success.mean():.0f}' if runs else '')
            gap = _first_seed(tables, row, probe)
            if gap is not None:
                cells[-1] += f' ({_points(gap)})'
        yield f'| {row.name} | ' + ' | '.join(cells) + ' |'


def _first_seed(tables: Tables, row: Row, probe: Probe) -> Interval | None:
    if row is tables.shipped:
        return None
    base = tables.shipped
    ours, theirs = tables.runs(row, probe)[:1], tables.runs(base, probe)[:1]
    if not ours or not theirs:
        return None
    found, other = common([ours, theirs])
    return difference(found, other)


def _directions(path: Path) -> Iterator[str]:
    """Yield which channels and heads each module bears to lose, the least or the most changed."""
    if not path.is_file():
        return
    yield from ('', 'What a module loses least by, probed one at a time: the action loss added '
                'where the least (low) or the most changed (high) units go.', '',
                '| unit | module | share | low | high | taken |', '|---|---|---|---|---|---|')
    for line in json.loads(path.read_text()):
        yield ('| {unit} | {stack} | {share:.0%} | {low:+.4f} | {high:+.4f} | {taken} |'
               .format(**line))


def _composition(tables: Tables, rows: Sequence[Row]) -> Iterator[str]:
    unseen = {tuple(pair.split(':')) for pair in WITHOUT}
    yield from ('', f'The recovery saw no scene that asks for {", ".join(WITHOUT)}; the baseline '
                'had seen all pairs before, so this is about what recovery forgets.', '')
    yield from ('| row | pairs seen | pairs not seen |', '|---|---|---|')
    for row in rows:
        runs = tables.runs(row)
        if not runs:
            continue
        new = np.array([_pair(int(seed)) in unseen for seed in runs[0].seeds])
        cells = [success(np.stack([one.success[rows_] for one in runs]))
                 for rows_ in (~new, new)]
        yield f'| {row.name} | ' + ' | '.join(map(_percent, cells)) + ' |'


def _pair(seed: int) -> tuple[str, str]:
    layout = draw_layout(seed)
    return layout.objects[layout.task.target].color, layout.task.goal


def proxy_table(tables: Tables) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return each proxy and the success over all units that were run on 100 scenes or more."""
    names: dict[str, list[float]] = {name: [] for name in PROXIES}
    rates = []
    for key, record in tables.results.units.items():
        found = tables.results.outcomes(key, '/'.join(OWN[0]))
        if found is None or 'proxies' not in record or len(found.seeds) < 100:
            continue
        rates.append(float(found.success[:100].mean()))
        for name in PROXIES:
            names[name].append(record['proxies'][name])
    return {name: np.array(values) for name, values in names.items()}, np.array(rates)


def _proxies(tables: Tables) -> Iterator[str]:
    names, rates = proxy_table(tables)
    if len(rates) < 4:
        return
    yield from ('', '### What predicts success without a simulator', '')
    yield (f"Spearman's rank correlation with success over {len(rates)} models (the first 100 "
           'scenes of each), bootstrap intervals over models.')
    yield from ('', '| proxy | rho |', '|---|---|')
    for name, values in names.items():
        found = rank_correlation(values, rates)
        yield f'| {name} | {found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}] |'


def _percent(found: Interval) -> str:
    return f'{100 * found.estimate:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]'


def _points(found: Interval | None) -> str:
    return '' if found is None else points(found)


def _number(numbers: dict[str, Any], name: str, form: str) -> str:
    value = numbers.get(name, np.nan)
    return '' if np.isnan(value) else form.format(value)
