# SPDX-License-Identifier: Apache-2.0
"""What was hoped for before the run, and what came: yes, no, or not shown by these numbers."""

from collections.abc import Iterator
from typing import Any

from vla_drop_ros.evidence.comparison import common, difference, success
from vla_drop_ros.evidence.rows import Row
from vla_drop_ros.trials.statistics import Interval

MARGIN = 0.05
KEPT = 0.90
STEP_SPEEDUP, CHUNK_SPEEDUP = 1.4, 1.3
HALF, TWO = 'language half, odd dropped', 'language 2 left, endpoints'
VISION, ACTION = 'vision half, odd dropped', 'action 2 left, endpoints'
LONGER = ', 3000 steps'
TIED = 'cka, 4 of 8 tied blocks gone, all data'
SHARE = '88% of the parameters left'


def targets(tables: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (hoped for, what came, verdict) for what can be said.

    Args:
        tables: rows and results, see ``report.Tables``.

    """
    rows = {row.name: row for row in reversed(tables.rows)}  # sections repeat names: the first
    half = rows.get(HALF)
    for name, hope in ((HALF, 'language half, recovered: non-inferior at 5 points'),
                       (f'{HALF}{LONGER}', f'the same{LONGER}'),
                       (TWO, 'language 2 left, recovered: within 5 points'),
                       (f'{TWO}{LONGER}', f'the same{LONGER}')):
        row = rows.get(name)
        found = None if row is None else tables.compared(row, tables.shipped)
        if found is not None:
            yield hope, points(found), non_inferior(found)
    for name in (VISION, ACTION):
        found = _between(tables, rows.get(name), half)
        if found is not None:
            yield (f'{name.split(",")[0]} clearly worse than language half', points(found),
                   'yes' if found.high < 0 else 'no' if found.low > 0 else 'not shown')
    yield from _widths(tables, rows)
    for row, name in ((half, 'language half'), (rows.get(TIED), 'half depth, tied')):
        numbers = {} if row is None else tables.numbers(row)
        for what, key, least in (('training step', 'step_speedup', STEP_SPEEDUP),
                                 ('a chunk', 'chunk_speedup', CHUNK_SPEEDUP)):
            if key in numbers:
                yield (f'{name}: {what} at least {least} times as fast',
                       f'{numbers[key]:.2f}', 'yes' if numbers[key] >= least else 'no')


def non_inferior(found: Interval) -> str:
    """Return whether a difference is no worse than the margin, by its interval."""
    if found.low > -MARGIN:
        return 'yes, non-inferior'
    if found.high < -MARGIN:
        return 'no, worse by more than 5 points'
    return ('not shown; the estimate is within 5 points' if found.estimate >= -MARGIN
            else 'not shown; the estimate is beyond 5 points')


def points(found: Interval) -> str:
    """Return a difference in points of success with its interval."""
    return f'{100 * found.estimate:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]'


def _between(tables: Any, row: Row | None, base: Row | None) -> Interval | None:
    if row is None or base is None:
        return None
    ours, theirs = tables.runs(row), tables.runs(base)
    if not ours or not theirs:
        return None
    found, other = common([ours, theirs])
    return difference(found, other)


def _widths(tables: Any, rows: dict[str, Row]) -> Iterator[tuple[str, str, str]]:
    """Yield whether each criterion's narrower model keeps 90 % of the success, untrained."""
    whole = tables.runs(tables.shipped)
    for name, hoped in (('divergence', True), ('magnitude', False), ('random', False)):
        row = rows.get(f'{name}, {SHARE}')
        runs = [] if row is None else tables.runs(row)
        if not runs or not whole:
            continue
        ours, theirs = common([runs, whole])
        kept, less = success(ours).estimate / success(theirs).estimate, 1.0
        less -= tables.numbers(row).get('parameters', 1.0)
        verdict = 'yes' if (kept >= KEPT) == hoped else 'no'
        yield (f'{name}, 12 % narrower, untrained: {"keeps" if hoped else "does not keep"} 90 % '
               'of the success', f'{kept:.0%} kept with {less:.1%} less', verdict)
