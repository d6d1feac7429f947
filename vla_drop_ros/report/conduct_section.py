# SPDX-License-Identifier: Apache-2.0
"""How the arms behaved beside the outcome: incidents, and the way of the hand."""

from math import isfinite

from vla_drop_ros.report.document import Block, Heading, Listing, Section, Table, Words
from vla_drop_ros.report.incidents import ANY, Incidents
from vla_drop_ros.report.measured_table import measured_table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import number, p_value
from vla_drop_ros.trials.incidents import INCIDENTS

MOST_TOLD = 20
PLURAL = {'intervention': 'interventions', 'near_miss': 'near misses',
          'collision': 'collisions', ANY: 'together'}


def conduct_section(results: Results, recordings: Recordings) -> list[Section]:
    """Return the section; none of a study without a complete round."""
    if results.incidents is None:
        return []
    blocks = [Heading('Interventions, near misses, collisions'),
              *_incidents(results.incidents, recordings)]
    if results.motion:
        blocks += [Heading('How the hand moved'), measured_table(
            results.motion, [arm.name for arm in results.arms],
            'Arms: median of the trials that succeeded. Differences: mean over the n pairs that '
            'both solved, 95 % bootstrap interval over pairs, one look. Conditional on success: '
            'the pairs that one arm failed are not in it. Descriptive.')]
    return [Section('conduct', 'How they behaved: incidents and motion', tuple(blocks))]


def _incidents(found: Incidents, recordings: Recordings) -> list[Block]:
    if not found.all:
        return [Words('Nobody noted any. That is no proof that there were none.')]
    rows = [(PLURAL[kind], *(_rate(one.counts[kind], one.rates[kind].low, one.rates[kind].high)
                             for one in found.arms),
             *(p_value(tests[kind].p_value) for tests in found.comparisons.values()))
            for kind in (*INCIDENTS, ANY)]
    rows.append(('trials with any', *(f'{one.affected} of {one.trials}' for one in found.arms),
                 *('' for _ in found.comparisons)))
    rows.append(('in trials that do not count', *(str(one.left_out) for one in found.arms),
                 *('' for _ in found.comparisons)))
    blocks: list[Block] = [Table(
        ('', *(one.arm for one in found.arms),
         *(f'{name} and {found.arms[0].arm} alike' for name in found.comparisons)), tuple(rows),
        'In brackets: exact 95 % Poisson interval of the rate a trial. p: sign flips of pairs, '
        'two-sided. Descriptive: incidents do not enter the verdict, and they are those that '
        'somebody noted.')]
    if found.told:
        items = [f'{one.kind.replace("_", " ")}, {one.arm}, trial '
                 f'{recordings.name(one.robot, one.trial)}'
                 + (f', {number(one.seconds, 1)} s after the start' if isfinite(one.seconds)
                    else '') + f': "{one.note[:200]}"' for one in found.told[:MOST_TOLD]]
        if len(found.told) > MOST_TOLD:
            items.append(f'{len(found.told) - MOST_TOLD} more in trials.csv')
        blocks.append(Listing(tuple(items)))
    return blocks


def _rate(events: int, low: float, high: float) -> str:
    return f'{events} ({low:.2f} to {high:.2f})'
