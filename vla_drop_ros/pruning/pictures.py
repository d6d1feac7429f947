# SPDX-License-Identifier: Apache-2.0
"""Draw rankings and plans: one PNG each, readable without the numbers beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np

from vla_drop_ros.pruning.front import Front, Point
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import BLOCK_UNITS, Plan, Unit, UNIT_OF_MODE, WIDTH_UNITS
from vla_drop_ros.pruning.prediction import blocks_gone
from vla_drop_ros.pruning.ranking import CriterionRanking, Ranking, UnitRanking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


INK, QUIET, GRID = '#1c2026', '#6c727a', '#e4e6e9'
KEPT, DROPPED, PART = '#1f4e79', '#c05a00', '#e2a36b'
LINES = ('#1f4e79', '#c05a00', '#4f7a28', '#7a3e8e', '#8a6d1a', '#2a8c8c', '#9c3848', '#555b63')
STYLE: Any = {
    'font.size': 9, 'axes.edgecolor': QUIET, 'axes.labelcolor': INK, 'text.color': INK,
    'xtick.color': INK, 'ytick.color': QUIET, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.titlesize': 9, 'axes.titlelocation': 'left',
    'ytick.labelsize': 7, 'savefig.facecolor': 'white',
}
UNIT_TEXT = {'block': 'block', 'tied': 'tied block', 'attention': 'attention', 'mlp': 'MLP',
             'channel': 'MLP channels', 'head': 'heads'}


@contextmanager
def _figure(path: Path, size: tuple[float, float]) -> Iterator['Figure']:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout='constrained')
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path, dpi=120)


def draw_ranking(path: str | Path, ranking: Ranking) -> None:
    """Write a PNG: a row a criterion, a column a stack and unit, and what shares would cost.

    Bars are importance, high means keep, with 95 % bootstrap intervals; the half that would go
    first is marked. The figures at a panel: stability of the order and agreement with the oracle.
    """
    columns = block_columns(ranking)
    rows = [name for name, found in ranking.criteria.items()
            if any(stack in found.units.get(unit, {}) for stack, unit in columns)]
    probes = _probes(ranking)
    height = 1.15 * len(rows) + (2.3 * bool(probes)) * len({unit for unit, _ in probes}) + 0.9
    with _figure(Path(path), (2.6 * max(len(columns), 3) + 1.2, max(height, 3.0))) as figure:
        figure.suptitle(_title(ranking), fontsize=11, x=0.01, ha='left')
        parts: Any = [figure]
        if rows and probes:
            parts = figure.subfigures(2, 1, height_ratios=(
                1.15 * len(rows), 2.3 * len({unit for unit, _ in probes})))
        if rows:
            _score_grid(parts[0], ranking, rows, columns)
        if probes:
            _probe_grid(parts[-1], ranking, probes)


def _title(ranking: Ranking) -> str:
    data = ranking.calibration
    seen = (f'{data["samples"]} samples of {data["dataset"]}, {data["draws"]} flow draws each'
            if data else 'no data')
    return (f'{ranking.checkpoint["name"]} {str(ranking.checkpoint["sha256"])[:12]}: importance '
            f'by criterion, light: the half that would go first ({seen})')


def block_columns(ranking: Ranking) -> list[tuple[str, Unit]]:
    """Return stack and unit of the columns: what the stacks' whole-block modes remove."""
    columns: list[tuple[str, Unit]] = []
    for name, stack in ranking.layout.stacks.items():
        for mode in stack.modes:
            unit = UNIT_OF_MODE[mode]
            if unit in ('block', 'tied') and (name, unit) not in columns:
                columns.append((name, unit))
        if not any(column[0] == name for column in columns):
            columns.append((name, 'block'))
    return columns


def _score_grid(figure: Any, ranking: Ranking, rows: Sequence[str],
                columns: Sequence[tuple[str, Unit]]) -> None:
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, name in enumerate(rows):
        found = ranking.criteria[name]
        for column, (stack, unit) in enumerate(columns):
            panel = axes[row][column]
            if stack not in found.units.get(unit, {}):
                panel.axis('off')
                if row == 0:
                    panel.set_title(_heading(ranking, stack, unit), fontweight='bold')
                continue
            _bars(panel, found, stack, unit)
            note = _note(found.units[unit][stack])
            panel.text(1.0, 1.02, note, transform=panel.transAxes, ha='right', va='bottom',
                       fontsize=7, color=QUIET)
            if row == 0:
                panel.set_title(_heading(ranking, stack, unit), fontweight='bold')
        first = next((panel for panel in axes[row] if panel.axison), axes[row][0])
        first.set_ylabel(name.replace('divergence-', 'divergence\n').replace('-', ' '),
                         rotation=0, ha='right', va='center', fontsize=9, labelpad=26)


def _heading(ranking: Ranking, stack: str, unit: Unit) -> str:
    kept = '\nkeys, values kept' if unit == 'block' and ranking.layout[stack].reader else '\n'
    return f'{stack}: {UNIT_TEXT[unit]}{kept}'


def _note(ranked: UnitRanking) -> str:
    parts = []
    if ranked.stability is not None and np.isfinite(ranked.stability):
        parts.append(f'stable {ranked.stability:.2f}')
    oracle = ranked.oracle or {}
    if oracle.get('value') is not None and np.isfinite(float(oracle['value'])):
        parts.append(f'oracle {float(oracle["value"]):+.2f}')
    return '   '.join(parts)


def _bars(panel: 'Axes', found: CriterionRanking, stack: str, unit: Unit) -> None:
    ranked, values = found.units[unit][stack], found.importance(unit, stack)
    place = np.arange(len(values))
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind='stable')
    first = set(order[:len(values) // 2].tolist())
    base = min(0.0, float(np.nanmin(values))) if found.higher_means == 'keep' else float(
        np.nanmin(values) - 0.05 * (np.nanmax(values) - np.nanmin(values) + 1e-12))
    panel.bar(place, np.nan_to_num(values) - base, bottom=base, width=0.72,
              color=[PART if index in first else KEPT for index in place])
    if ranked.low is not None:
        low, high = np.asarray(ranked.low, dtype=float), np.asarray(ranked.high, dtype=float)
        if found.higher_means == 'drop':
            low, high = -high, -low
        panel.vlines(place, low, high, color=INK, linewidth=1.1)
    _block_axis(panel, len(values))
    panel.locator_params(axis='y', nbins=3)


def _block_axis(panel: 'Axes', depth: int) -> None:
    step = 1 if depth <= 12 else 2 if depth <= 24 else 4
    panel.set_xticks(range(0, depth, step), [str(index) for index in range(0, depth, step)])
    panel.set_xlim(-0.7, depth - 0.3)
    panel.tick_params(length=2, labelsize=7)


def _probes(ranking: Ranking) -> list[tuple[Unit, str]]:
    """Return the modules for which shares were tried."""
    return [(unit, stack) for unit in WIDTH_UNITS for stack in ranking.layout.stacks
            if any('probe' in found.units.get(unit, {}).get(stack, _NONE).extra
                   for found in ranking.criteria.values())]


_NONE = UnitRanking(None)


def _probe_grid(figure: Any, ranking: Ranking, probes: Sequence[tuple[Unit, str]]) -> None:
    """Draw the loss that taking shares of channels or heads adds."""
    units = [unit for unit in WIDTH_UNITS if any(one == unit for one, _ in probes)]
    names = list(ranking.layout.stacks)
    axes = figure.subplots(len(units), len(names), squeeze=False)
    lines: dict[str, Any] = {}
    for row, unit in enumerate(units):
        for column, stack in enumerate(names):
            panel = axes[row][column]
            panel.set_title(f'{stack}: {UNIT_TEXT[unit]}', fontweight='bold')
            if (unit, stack) not in probes:
                panel.axis('off')
                continue
            _probe_lines(panel, ranking, unit, stack, lines)
            if row == len(units) - 1:
                panel.set_xlabel('share removed [%]')
        axes[row][0].set_ylabel('loss added')
    figure.legend(lines.values(), lines.keys(), loc='outside right upper', frameon=False,
                  fontsize=8)


def _probe_lines(panel: 'Axes', ranking: Ranking, unit: Unit, stack: str,
                 lines: dict[str, Any]) -> None:
    scored = [name for name, one in ranking.criteria.items()
              if set(WIDTH_UNITS) & set(one.units) and name != 'random']
    for name, found in ranking.criteria.items():
        probe = found.units.get(unit, {}).get(stack, _NONE).extra.get('probe', {})
        number = scored.index(name) if name in scored else 0
        for direction, rows in probe.items():
            label = name if len(probe) == 1 else f'{name}, {direction} first'
            line, *_ = panel.plot(
                [0.0, *(100 * row[0] for row in rows)], [0.0, *(row[1] for row in rows)],
                '--' if direction == 'high' else '-', marker='o', markersize=3, linewidth=1.2,
                color=QUIET if name == 'random' else LINES[number % len(LINES)])
            lines.setdefault(label, line)
    panel.grid(axis='y', color=GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.axhline(0.0, color=QUIET, linewidth=0.8)


def draw_plan(path: str | Path, plan: Plan, layout: Layout, ranking: Ranking | None) -> None:
    """Write a PNG: scores by stack with what goes marked, and cost against budget."""
    predicted = plan.origin.get('predicted')
    names = list(layout.stacks)
    with _figure(Path(path), (3.2 * len(names) + (3.4 if predicted else 0.0), 3.1)) as figure:
        widths = [3.2] * len(names) + ([3.0] if predicted else [])
        panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        criterion = (plan.origin.get('criterion') or {}).get('name')
        figure.suptitle(
            f'Plan{f" by {criterion}" if criterion else ""}: orange goes, light orange loses a '
            'part, blue stays', fontsize=11, x=0.01, ha='left')
        for panel, name in zip(panels, names, strict=False):
            _plan_stack(panel, plan, layout, ranking, criterion, name)
        if predicted:
            _cost_bars(panels[-1], plan)


def _plan_stack(panel: 'Axes', plan: Plan, layout: Layout, ranking: Ranking | None,
                criterion: str | None, name: str) -> None:
    depth, modes = layout[name].depth, plan.blocks.get(name, {})
    gone = blocks_gone(layout, plan, name)
    part = {index for mode in ('keep-kv', 'mha', 'mlp') for index in modes.get(mode, ())}
    values, text = np.ones(depth), 'no scores'
    found = None if ranking is None or criterion is None else ranking.criteria.get(criterion)
    if found is not None:
        unit = next((UNIT_OF_MODE[mode] for mode in modes), None) or next(
            (one for one in BLOCK_UNITS if name in found.units.get(one, {})), None)
        if unit is not None and name in found.units.get(unit, {}):
            values, text = found.importance(unit, name), f'importance ({UNIT_TEXT[unit]})'
            ranked = found.units[unit][name]
            if ranked.low is not None and found.higher_means == 'keep':
                panel.vlines(np.arange(depth), np.asarray(ranked.low, dtype=float),
                             np.asarray(ranked.high, dtype=float), color=INK, linewidth=1.1,
                             zorder=3)
    colours = [DROPPED if index in gone else PART if index in part else KEPT
               for index in range(depth)]
    base = min(0.0, float(np.nanmin(values)))
    panel.bar(range(depth), np.nan_to_num(values) - base, bottom=base, width=0.72, color=colours)
    lost = [f'{len(gone)} of {depth} blocks go'] if gone else []
    lost += [f'{mode}: {list(modes[mode])}' for mode in ('keep-kv', 'mha', 'mlp') if mode in modes]
    lost += [f'{sum(map(len, widths[name].values()))} {kind}' for kind, widths in (
        ('channels', plan.channels), ('heads', plan.heads)) if name in widths]
    panel.set_title(f'{name}: {"; ".join(lost) or "untouched"}', fontweight='bold')
    panel.set_ylabel(text)
    panel.set_xlabel('block')
    _block_axis(panel, depth)


def _cost_bars(panel: 'Axes', plan: Plan) -> None:
    """Draw what is left of each cost, and the budget as a line."""
    before, after = plan.origin['before'], plan.origin['predicted']
    names = [name for name in ('parameters', 'flops', 'latency') if name in after]
    budget = plan.origin.get('budget') or {}
    bounds = {'parameters': budget.get('params'), 'flops': budget.get('flops'),
              'latency': budget['latency'] / before['latency'] if 'latency' in budget else None}
    for row, name in enumerate(names):
        share = after[name] / before[name]
        panel.barh(row, 100 * share, height=0.55, color=KEPT)
        panel.barh(row, 100 * (1 - share), left=100 * share, height=0.55, color=GRID)
        number = (f'{1e3 * after[name]:.1f} of {1e3 * before[name]:.1f} ms' if name == 'latency'
                  else f'{after[name] / 1e6:.2f} of {before[name] / 1e6:.2f} M')
        panel.text(2, row, f'{100 * share:.0f} %: {number}', va='center', color='white',
                   fontsize=8)
        bound = bounds[name]
        if bound is not None:
            panel.plot([100 * bound] * 2, [row - 0.42, row + 0.42], color=DROPPED, linewidth=2.2)
            panel.text(100 * bound, row - 0.45, 'budget', ha='center', va='bottom', fontsize=7,
                       color=DROPPED)
    panel.set_yticks(range(len(names)), ['FLOPs' if n == 'flops' else n for n in names],
                     fontsize=9, color=INK)
    panel.set_ylim(len(names) - 0.4, -0.75)
    panel.set_xlim(0, 100)
    panel.set_xlabel('left, predicted [%]')
    panel.set_title('cost', fontweight='bold')


def draw_front(path: str | Path, found: Front, points: Sequence[Point]) -> None:
    """Write a PNG: every evaluated plan by predicted latency and action error, and the front."""
    with _figure(Path(path), (8.5, 5.0)) as figure:
        panel = figure.subplots()
        front, (error, _) = found.points, found.whole.best_estimate
        for control, colour, label in ((False, '#b9bec6', 'tried by the search'),
                                       (True, PART, 'control: blocks spread evenly')):
            chosen = [point for point in points if point.control == control]
            panel.plot([1e3 * point.cost['latency'] for point in chosen],
                       [point.error for point in chosen], 'o', color=colour, markersize=4,
                       label=label)
        panel.errorbar([1e3 * point.cost['latency'] for point in front],
                       [point.error for point in front],
                       yerr=[1.96 * point.deviation for point in front], color=KEPT, marker='o',
                       markersize=5, linewidth=1.4, elinewidth=0.9, label='front, 95 %')
        panel.errorbar([1e3 * point.cost['latency'] for point in front],
                       [point.best_estimate[0] for point in front],
                       yerr=[1.96 * point.best_estimate[1] for point in front], fmt='D',
                       color=LINES[2], markersize=4, elinewidth=0.9,
                       label='the same plans on fresh frames, 95 %')
        panel.axhline(error, color=INK, linewidth=0.8, linestyle='--')
        panel.text(0.01, error, 'whole model, fresh frames', va='top', fontsize=8, color=INK,
                   transform=panel.get_yaxis_transform())
        top = max(point.error for point in front)
        panel.set_ylim(0, min(max(point.error for point in points), 1.6 * top) * 1.05)
        panel.set_xlabel('predicted latency of a chunk [ms]')
        panel.set_ylabel('action error, held-out demonstrations [std of the actions]')
        panel.set_title(f'{found.checkpoint["name"]}: what latency costs, without any recovery',
                        fontweight='bold')
        panel.grid(color=GRID, linewidth=0.7)
        panel.set_axisbelow(True)
        panel.legend(frameon=False, fontsize=8)
