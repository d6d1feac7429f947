# SPDX-License-Identifier: Apache-2.0
"""A picture of success over the running order of a study, arms together."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from vla_drop_ros.report.document import Picture
from vla_drop_ros.report.drawing import COLOURS, GRID, QUIET, svg
from vla_drop_ros.report.sentences import count, percent
from vla_drop_ros.report.trial_row import TrialRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 8  # trials; fewer show nothing
PARTS = 8  # of the study that the window spans one of


def drift_figure(rows: Sequence[TrialRow]) -> Picture | None:
    """Return the moving share of successes of valid trials; None of fewer than ``LEAST``.

    Args:
        rows: of the study, in any order.

    """
    valid = sorted((row for row in rows if row.valid), key=lambda row: (row.wall, row.index))
    if len(valid) < LEAST:
        return None
    window = max(LEAST // 2, len(valid) // PARTS)
    places = range(window, len(valid) + 1)
    shares = [sum(row.success for row in valid[end - window:end]) / window for end in places]
    borders = [step for step, (one, other) in enumerate(pairwise(valid), start=1)
               if (one.log, one.session) != (other.log, other.session)]

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        for place in borders:
            axes.axvline(place + 0.5, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.plot([end - (window - 1) / 2 for end in places], [100 * one for one in shares],
                  color=COLOURS[0], linewidth=1.8)
        for solved, at in ((True, 109), (False, -9)):
            axes.plot([step for step, row in enumerate(valid, start=1) if row.success is solved],
                      [at] * sum(row.success is solved for row in valid), '|', color=QUIET,
                      markersize=5)
        axes.set_ylim(-15, 115)
        axes.set_yticks(range(0, 101, 25))
        axes.set_xlim(0, len(valid) + 1)
        axes.set_xlabel('valid trials, in the order in which they ran')
        axes.set_ylabel('success, all arms [%]')
        axes.grid(axis='y', color=GRID, linewidth=0.8)

    words = (f'success over {count(len(valid), "trial")}, mean of {window} at a time: from '
             f'{percent(min(shares))} to {percent(max(shares))}; first {percent(shares[0])}, '
             f'last {percent(shares[-1])}')
    return Picture('drift', svg('drift', words, 2.5, draw),
                   f'Line: share of successes of {window} trials in a row. Strokes: single '
                   'trials, solved above, failed below. Dashed: a new session, or another robot.',
                   words)
