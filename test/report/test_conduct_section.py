# SPDX-License-Identifier: Apache-2.0
"""Incidents and motion are told by arm, as what they are: descriptive, and conditional."""

from dataclasses import asdict, replace

from vla_drop_ros.report.conduct_section import conduct_section
from vla_drop_ros.report.incidents import ANY
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results


def told(results: Results) -> str:
    """Return all text of the section."""
    section, = conduct_section(results, Recordings(results.record.folder, '..', False))
    return str(asdict(section))


def test_counts_and_conditions_are_said(opened: Results) -> None:
    """Counts of both arms, the notes, and that motion is of pairs that both solved."""
    text, found = told(opened), opened.incidents
    assert found is not None
    for one in found.arms:
        assert f'{one.counts[ANY]} (' in text
    assert 'beside the bin' in text and 'Descriptive' in text
    assert 'Conditional on success' in text and 'spectral arc length' in text


def test_nothing_noted_is_no_proof(opened: Results) -> None:
    """Without incidents no table of zeros, but a sentence; blinded: no section."""
    found = opened.incidents
    assert found is not None
    arms = tuple(replace(one, counts={kind: 0 for kind in one.counts}, left_out=0)
                 for one in found.arms)
    text = told(replace(opened, incidents=replace(found, arms=arms, told=()), motion=()))
    assert 'no proof' in text and 'Poisson' not in text and 'arc length' not in text
    assert conduct_section(replace(opened, incidents=None),
                           Recordings(opened.record.folder, '..', False)) == []
