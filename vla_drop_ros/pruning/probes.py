# SPDX-License-Identifier: Apache-2.0
"""What it costs to take a share of a module's channels or heads, without any training.

A module is the channels or the heads of one stack. For each, shares are taken by a criterion, the
least important first; for adaptation divergence also the most important first, since which of the
two a module bears differs (arXiv 2606.31382). The measure is the action loss on demonstrations.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.plan import Plan, Unit, WIDTH_UNITS
from vla_drop_ros.pruning.ranking import CriterionRanking
from vla_drop_ros.pruning.widths import Direction, narrow

RATIOS = (0.1, 0.25, 0.5)
SHARE = 0.5  # of the samples


def probe(subject: Subject, ranking: CriterionRanking, directions: tuple[Direction, ...],
          ) -> CriterionRanking:
    """Return the ranking with a probe of each module, and the direction that it bears better.

    Every module's ``extra`` gets ``probe``: direction -> [share, loss added, standard error] for
    each of ``RATIOS``, and ``direction``.
    """
    modules: list[tuple[Unit, str]] = [
        (unit, stack) for unit in WIDTH_UNITS for stack in ranking.units.get(unit, {})]
    full, units = subject.losses(SHARE), {**ranking.units}
    for number, (unit, stack) in enumerate(modules):
        importance = {name: ranking.width_importance(unit, name) for name in ranking.units[unit]}
        table: dict[str, list[list[float]]] = {}
        for direction in directions:
            table[direction] = [
                row for ratio in RATIOS
                if (row := _row(subject, unit, importance, stack, ratio, direction, full))]
        table = {direction: rows for direction, rows in table.items() if rows}
        if table:
            best = min(table, key=lambda direction: sum(row[1] for row in table[direction]))
            ranked = units[unit][stack]
            units[unit] = {**units[unit], stack: replace(
                ranked, extra={**ranked.extra, 'probe': table, 'direction': best})}
        subject.tick((number + 1) / len(modules))
    return replace(ranking, units=units)


def _row(subject: Subject, unit: Unit, importance: dict[str, Any], stack: str, ratio: float,
         direction: Direction, full: Any) -> list[float]:
    """Return share, added loss and its standard error; empty if nothing of a share can go."""
    try:
        widths = narrow(subject.layout, unit, importance, stack, ratio, direction)
        if not widths:
            return []
        with dropped(subject.family, subject.model, Plan().with_widths(unit, widths)):
            added = subject.losses(SHARE) - full
    except PlanError:  # heads that must go with those of a stack without scores
        return []
    return [ratio, float(added.mean()), float(added.std(ddof=1) / np.sqrt(len(added)))]
