# SPDX-License-Identifier: Apache-2.0
"""Draw the evidence: success by row, and proxies against success."""

from pathlib import Path
from typing import Any

from vla_drop_ros.evidence.comparison import common, rank_correlation, success
from vla_drop_ros.evidence.rows import SECTIONS

_COLORS = {'modules': 'C0', 'longer': 'C6', 'teaching': 'C4', 'criteria': 'C1', 'twins': 'C2',
           'divergence': 'C3', 'composition': 'C5'}


def draw_success(path: Path, tables: Any) -> None:
    """Write a PNG: success of every row with its interval, and before recovery."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    rows = [row for row in tables.rows if tables.runs(row)]
    figure, axis = pyplot.subplots(figsize=(9, 1.2 + 0.23 * len(rows)))
    for place, row in enumerate(rows):
        found = success(common([tables.runs(row)])[0])
        color = _COLORS[row.section]
        axis.plot([100 * found.low, 100 * found.high], [place, place], color=color)
        axis.plot(100 * found.estimate, place, 'o', color=color, markersize=6)
        for bare in tables.zero_shot(row) if row.recipe else ():
            axis.plot(100 * bare.success.mean(), place, '|', color=color, markersize=9)
    axis.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(-2, 102), xlabel='success [%]: recovered (dot, 95 %), before recovery (bar)')
    axis.grid(axis='x', alpha=0.4)
    for section, color in _COLORS.items():
        if any(row.section == section for row in rows):
            axis.plot([], [], 'o', color=color, label=SECTIONS[section])
    if rows:
        axis.legend(loc='upper center', bbox_to_anchor=(0.3, -0.9 / max(2, 0.25 * len(rows))),
                    fontsize=7, ncols=2)
    figure.savefig(path, dpi=110, bbox_inches='tight')
    pyplot.close(figure)


def draw_proxies(path: Path, tables: Any) -> None:
    """Write a PNG: each proxy against success, a dot a model."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    from vla_drop_ros.evidence.report import proxy_table
    names, rates = proxy_table(tables)
    figure, axes = pyplot.subplots(2, 3, figsize=(10, 6), sharey=True)
    for axis, (name, values) in zip(axes.flat, names.items(), strict=True):
        axis.plot(values, 100 * rates, '.', alpha=0.7)
        title = name.replace('_', ' ')
        if len(rates) > 3:
            title += f' (rho {rank_correlation(values, rates).estimate:+.2f})'
        axis.set(title=title, ylim=(-3, 103))
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel('success [%]')
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
