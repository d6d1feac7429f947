# SPDX-License-Identifier: Apache-2.0
"""Every judged trial, one a line."""

from vla_drop_ros.report.document import Cell, Section, Table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import milliseconds, number
from vla_drop_ros.report.trial_row import TrialRow


def trials_section(results: Results, recordings: Recordings) -> Section:
    """Return the table of trials; blinded without arm, place and latency."""
    opened = not results.blinded
    head = ('trial', 'round', 'condition', *(('arm', 'place') if opened else ()), 'verdict',
            'why', 'ended by', 'time', *(('latency',) if opened else ()), 'incidents',
            'judged by', 'changes')
    rows = tuple(_trial(row, opened, recordings) for row in results.rows)
    return Section('trials', 'Every trial', (Table(
        head, rows, 'In the order of the schedule; also in trials.csv.', wide=True),),
        folded=True)


def _trial(row: TrialRow, opened: bool, recordings: Recordings) -> tuple[Cell, ...]:
    changes = [*(f'undone {verdict}' for verdict in row.undone),
               *(f'was {verdict}' for verdict in row.relabelled),
               *(f'{one.rater}: {one.verdict}' for one in row.ratings)]
    cells: list[Cell] = [recordings.link(row), str(row.round + 1), row.condition]
    cells += [row.arm, str(row.position + 1)] if opened else []
    cells += [row.verdict + ('' if row.sure else ', unsure'),
              '; '.join(text for text in (row.reason, row.note[:160]) if text),
              row.end_reason.replace('_', ' '), number(row.seconds, 1, 's')]
    cells += [milliseconds(row.number('latency', 'median'))] if opened else []
    cells.append(', '.join(one.kind.replace('_', ' ') for one in row.incidents))
    return (*cells, f'{row.source} {row.who}'.strip(), ', '.join(changes))
