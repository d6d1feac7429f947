# SPDX-License-Identifier: Apache-2.0
"""The report of a study, section by section; blinded ones name no arm."""

from vla_drop_ros.report.arms_section import (
    cost_section,
    ladder_section,
    stages_section,
    success_section,
    time_section,
)
from vla_drop_ros.report.conduct_section import conduct_section
from vla_drop_ros.report.document import Document, Section, Table, Words
from vla_drop_ros.report.pairs_section import pairs_section
from vla_drop_ros.report.protocol_section import protocol_section
from vla_drop_ros.report.recordings import Recordings, recordings_of
from vla_drop_ros.report.reproducibility_section import methods_section, reproducibility_section
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.scenes_section import scenes_section
from vla_drop_ros.report.sentences import status
from vla_drop_ros.report.trials_section import trials_section
from vla_drop_ros.report.verdict_section import (
    difference_section,
    planning_section,
    sensitivity_section,
    verdict_section,
)


def document(results: Results, footer: str = '', home: str = '..') -> Document:
    """Return the report.

    Args:
        results: of the study.
        footer: says what made it, and when.
        home: folder of the study as seen from the report, for links to recordings.

    """
    design = results.record.study.design
    recordings = recordings_of(results.record, home)
    sections = [_progress(results)] if results.blinded else _opened(results, recordings)
    sections += [protocol_section(results), reproducibility_section(results),
                 trials_section(results, recordings)]
    return Document(design.title, design.question, status(results), tuple(sections), footer)


def _opened(results: Results, recordings: Recordings) -> list[Section]:
    found = [verdict_section(results)]
    if not results.rounds:
        return [*found, methods_section(results)]
    found += [difference_section(results), pairs_section(results, recordings),
              success_section(results), stages_section(results, recordings),
              time_section(results), cost_section(results),
              *conduct_section(results, recordings)]
    if len(results.arms) > 2 or all(arm.facts.parameters for arm in results.arms):
        found.append(ladder_section(results))
    return [*found, *scenes_section(results, recordings), sensitivity_section(results),
            planning_section(results), methods_section(results)]


def _progress(results: Results) -> Section:
    """Return how far a blinded study is."""
    planned = f' of {results.pairs_planned}' if results.pairs_planned else ', no horizon'
    rule = ('the rule says: you may stop' if results.may_stop else 'the rule says: go on')
    incidents = sum(results.protocol.incidents.values())
    return Section('progress', 'Progress', (
        Table(('', ''), (
            ('complete rounds', str(results.rounds)),
            ('complete pairs', f'{results.pairs_done}{planned}'),
            ('judged trials', str(len(results.rows))),
            ('left out and run again', str(sum(results.protocol.invalid.values()))),
            ('judged unsurely', str(results.protocol.unsure)),
            ('interventions, near misses, collisions', str(incidents)),
            ('stopping rule', rule if results.rounds else 'no complete round yet'))),
        Words('Nothing here tells one arm from another: no success by arm, no latency, no order. '
              'When the study has ended, the same command opens the arms.', 'quiet')))
