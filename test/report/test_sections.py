# SPDX-License-Identifier: Apache-2.0
"""An opened report has every section; a blinded one names no arm anywhere."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.sections import document
from vla_drop_ros.report.study_record import read_record, unblind

SECTIONS = ['verdict', 'difference', 'pairs', 'success', 'stages', 'time', 'cost', 'conduct',
            'scenes', 'sensitivity', 'planning', 'methods', 'protocol', 'reproducibility',
            'trials']


def test_every_section_is_there(opened: Results) -> None:
    """All that was promised, in order; the ladder needs sizes or a third arm."""
    assert [section.id for section in document(opened).sections] == SECTIONS


def test_a_blinded_report_names_no_arm(blinded: Results) -> None:
    """Neither arm is in any text, table or picture, nor is any measurement."""
    text = str(asdict(document(blinded)))
    assert 'lean9' not in text and 'whole9' not in text and 'ms' not in text.split()
    assert [one.id for one in document(blinded).sections] == [
        'progress', 'protocol', 'reproducibility', 'trials']


def test_the_secret_is_published_with_the_end_only(
        opened: Results, study: Callable[..., Path], studies: ModuleType) -> None:
    """It proves the schedule afterwards; before, it would tell the rest of it."""
    secret = (opened.record.folder / 'secret').read_text().strip()
    assert secret in str(asdict(document(opened)))
    folder = study(trials=8)
    early = results_of(unblind(read_record(folder), 'P1', early=True))
    assert (folder / 'secret').read_text().strip() not in str(asdict(document(early)))


def test_three_arms_have_a_ladder(study: Callable[..., Path], studies: ModuleType) -> None:
    """With several checkpoints: one box each, and how far one can prune."""
    names = ('base', 'nine', 'six')
    folder = study(world=studies.World(dict.fromkeys(names, 0.9)),
                   data=studies.design_data(names, horizon=12))
    told = document(results_of(unblind(read_record(folder), 'P1')))
    assert 'ladder' in [one.id for one in told.sections]
    assert len({one.name for one in told.pictures}) == len(told.pictures) == 11
