# SPDX-License-Identifier: Apache-2.0
"""Success, failures and cost of every arm are told with their words and numbers."""

from dataclasses import asdict, replace

from vla_drop_ros.report.arms_section import cost_section, stages_section, success_section
from vla_drop_ros.report.document import Table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results


def test_wilson_and_posterior_stand_side_by_side(opened: Results) -> None:
    """Both intervals of every arm, and which of them is descriptive."""
    text = str(asdict(success_section(opened)))
    assert 'Wilson, 95 %' in text and 'posterior, 95 %' in text and 'Beta(1, 1); descr' in text
    assert 'letters' not in text


def test_failures_are_told_in_peoples_words(opened: Results) -> None:
    """Every note that is shown is one of that reason, with arm and trial; counts are right."""
    section = stages_section(opened, Recordings(opened.record.folder, '..', False))
    table = [block for block in section.blocks if isinstance(block, Table)][-1]
    assert table.head[-1] == 'in their words'
    for reason, *counts, words in table.rows[:-1]:
        assert counts == [str(arm.failures.get(str(reason), 0)) for arm in opened.arms]
        quotes = [quote for arm in opened.arms for quote in arm.quotes.get(str(reason), ())]
        assert quotes and any(f'trial {one.trial}: "{one.text}"' in str(words) for one in quotes)


def test_without_notes_there_is_no_column(opened: Results) -> None:
    """Old logs have the table they had."""
    arms = tuple(replace(arm, quotes={}) for arm in opened.arms)
    section = stages_section(replace(opened, arms=arms), Recordings(
        opened.record.folder, '..', False))
    table = [block for block in section.blocks if isinstance(block, Table)][-1]
    assert table.head == ('how it failed', 'whole9', 'lean9')


def test_energy_stands_with_the_cost(opened: Results) -> None:
    """Power, energy and rate by arm; without them no table."""
    text = str(asdict(cost_section(opened)))
    assert 'power of the GPU [W]' in text and 'commands a second [Hz]' in text
    assert 'GPU' not in str(asdict(cost_section(replace(opened, running=()))))
