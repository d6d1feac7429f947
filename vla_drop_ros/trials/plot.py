# SPDX-License-Identifier: Apache-2.0
"""Draw what a study showed: success with intervals, the paired difference, latency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TYPE_CHECKING

from vla_drop_ros.trials.episode import Episode
from vla_drop_ros.trials.report import milliseconds, percent, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ('#1f4e79', '#c05a00', '#4f7a28', '#7a3e8e')
INK, QUIET = '#1c2026', '#6c727a'
STYLE: Any = {
    'font.size': 10, 'axes.edgecolor': QUIET, 'axes.labelcolor': INK, 'text.color': INK,
    'xtick.color': INK, 'ytick.color': INK, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.titlesize': 11, 'axes.titleweight': 'bold',
    'axes.titlelocation': 'left', 'savefig.facecolor': 'white',
}


def save_plot(path: str | Path, summary: Summary, episodes: Sequence[Episode]) -> None:
    """Write a PNG: a panel for success, one for the paired difference, one for latency."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 1.7 + 0.55 * max(3, len(summary.arms))),
                        layout='constrained')
        FigureCanvasAgg(figure)
        success, difference, latency = figure.subplots(
            1, 3, gridspec_kw={'width_ratios': (1.15, 1.0, 1.0)})
        _success(success, summary)
        _difference(difference, summary)
        _latency(latency, summary, episodes)
        figure.savefig(path, dpi=130)


def _rows(axes: 'Axes', names: Sequence[str], labelled: bool) -> None:
    axes.set_yticks(range(len(names)), list(names) if labelled else [''] * len(names))
    axes.set_ylim(len(names) - 0.45, -0.65)
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    axes.grid(axis='x', color='#e4e6e9', linewidth=0.8)
    axes.set_axisbelow(True)


def _success(axes: 'Axes', summary: Summary) -> None:
    for row, arm in enumerate(summary.arms):
        interval, colour = arm.success, COLOURS[row % len(COLOURS)]
        axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour,
                  linewidth=3, solid_capstyle='round', alpha=0.45)
        axes.plot(100 * interval.estimate, row, 'o', color=colour, markersize=8)
        axes.text(50, row - 0.28, f'{arm.successes} of {arm.trials} '
                  f'({percent(interval.estimate)} %)', ha='center', va='center', color=colour)
    _rows(axes, [arm.arm.name for arm in summary.arms], labelled=True)
    axes.set_xlim(-2, 102)
    axes.set_xlabel('success [%], 95 % Wilson interval')
    axes.set_title('Success')


def _difference(axes: 'Axes', summary: Summary) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    reach = 10.0
    for row, pair in enumerate(summary.pairs):
        interval, colour = pair.difference, COLOURS[(row + 1) % len(COLOURS)]
        axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour,
                  linewidth=3, solid_capstyle='round', alpha=0.45)
        axes.plot(100 * interval.estimate, row, 'o', color=colour, markersize=8)
        axes.text(0, row - 0.28, f' {percent(interval.estimate, True)} over {pair.pairs} scenes',
                  ha='center', va='center', color=colour,
                  bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1.5})
        reach = max(reach, 100 * abs(interval.low), 100 * abs(interval.high))
    _rows(axes, [pair.candidate.name for pair in summary.pairs] or [''], labelled=False)
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.set_xlabel('points, 95 % Tango interval')
    name = summary.pairs[0].candidate.name if len(summary.pairs) == 1 else 'candidate'
    axes.set_title(f'{name} minus {summary.study.arms[0].name}')


def _latency(axes: 'Axes', summary: Summary, episodes: Sequence[Episode]) -> None:
    longest = 1.0
    for row, arm in enumerate(summary.arms):
        colour = COLOURS[row % len(COLOURS)]
        values = [1000 * episode.latency.median for episode in episodes
                  if episode.slot.arm == arm.arm.name and episode.valid and episode.latency.count]
        axes.plot(values, [row] * len(values), '|', color=colour, markersize=16, alpha=0.6)
        if values:
            longest = max(longest, *values)
            axes.plot(1000 * arm.latency, row, 'o', color=colour, markersize=8)
            axes.text(1000 * arm.latency, row - 0.33, f'{milliseconds(arm.latency)} ms',
                      ha='center', va='center', color=colour)
    _rows(axes, [arm.arm.name for arm in summary.arms], labelled=False)
    axes.set_xlim(0, 1.2 * longest)
    axes.set_xlabel('camera to action chunk [ms], a line an episode')
    axes.set_title('Latency')
