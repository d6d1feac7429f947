# SPDX-License-Identifier: Apache-2.0
"""The report of a drill shows what failed, and finds its place in a document."""

from pathlib import Path

import pytest

from bench.drill import report
from bench.drill.trial import Trial
from vla_drop_ros.errors import VlaDropError

FACTS = report.machine(0.97)


def trial(**changed: object) -> Trial:
    """Return a trial that passed."""
    values: dict[str, object] = {'fault': 'e-stop', 'seed': 3, 'bound': 0.15, 'stop': 0.02,
                                 'recovery': 0.5}
    return Trial(**{**values, **changed})  # type: ignore[arg-type]


def test_one_failure_fails_the_fault() -> None:
    """The worst counts: a violation, a problem, no recovery."""
    assert report.rows([trial(), trial()])[0][-1] == 'pass'
    for bad in ({'violations': ['step: far']}, {'problems': ['late']}, {'recovery': None}):
        assert report.rows([trial(), trial(**bad)])[0][-1] == 'FAIL'


def test_the_largest_time_is_shown() -> None:
    """In milliseconds, beside the median and the bound."""
    row = dict(zip(report.COLUMNS, report.rows([trial(), trial(stop=0.03), trial(stop=0.12)])[0],
                   strict=True))
    assert (row['n'], row['stop p50 [ms]'], row['max'], row['bound']) == ('3', '30', '120', '150')


def test_a_document_names_failures_and_reasons() -> None:
    """Whoever reads it sees scene and cause, and why the bounds are what they are."""
    text = report.document([trial(), trial(problems=['stopped late'])], FACTS)
    assert '- e-stop (scene 3): stopped late' in text
    assert '2 faults, 1 as they have to be' in text
    assert 'seen at the next tick of the gate' in text


def test_a_robot_in_joints_is_told_in_its_units_and_bounds() -> None:
    """Radians, and the reasons of its own faults, of those that were drilled only."""
    text = report.document([trial(fault='joint states stop')], FACTS, 'joints')
    assert 'target moved [mrad]' in text and 'arm speed [rad/s]' in text and '[mm]' not in text
    assert '- max_age of the joints, a tick of the gate: joint states stop.' in text
    assert 'e-stop' not in text


def test_the_text_goes_between_the_marks(tmp_path: Path) -> None:
    """What stands around them stays; without them nothing is written."""
    path = tmp_path / 'page.md'
    path.write_text('a\n<!-- below: written by `x` -->\nold\n<!-- above: written by `x` -->\nz\n')
    report.write_between(path, 'x', 'new')
    text = path.read_text()
    assert text.startswith('a\n') and text.endswith('\nz\n') and 'old' not in text
    report.write_between(path, 'x', 'newer')
    assert path.read_text().count('newer') == 1 and 'new\n' not in path.read_text()
    with pytest.raises(VlaDropError, match='lacks the lines'):
        report.write_between(path, 'y', 'new')
