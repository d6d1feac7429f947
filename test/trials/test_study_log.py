# SPDX-License-Identifier: Apache-2.0
"""A log belongs to one study, one robot and its rounds."""

from pathlib import Path

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import read_log, TrialLog
from vla_drop_ros.trials.study_log import begin_session, open_log


@pytest.fixture(name='study')
def _study(design: Design) -> LockedStudy:
    return LockedStudy(design, 'c' * 64, {}, '1.0')


def test_the_first_line_says_whose_log_it_is(tmp_path: Path, study: LockedStudy) -> None:
    """Opened once; who comes later goes on, and counts as the next session."""
    path = tmp_path / 'log.jsonl'
    for session in (1, 2):
        log, events = open_log(path, study, 'left', (0, 0), '1.0')
        assert begin_session(log, events, 'ann', 'left', {'port': 1}, {'lux': 450},
                             'rmw_x') == session
        log.close()
    kinds = [event.kind for event in read_log(path).events]
    assert kinds == ['opened', 'session', 'session']
    opened, sat_down, _ = (event.data for event in read_log(path).events)
    assert opened['study'] == study.design.digest and sat_down['rig'] == {'lux': 450}
    assert sat_down['host']['packages']['numpy'] and sat_down['host']['rmw'] == 'rmw_x'
    assert sat_down['host']['processors'] and sat_down['parameters'] == {'port': 1}


@pytest.mark.parametrize('change', ['robot', 'rounds', 'study'])
def test_another_robot_or_study_is_refused(tmp_path: Path, study: LockedStudy,
                                           change: str) -> None:
    """Named with what it was begun with; the log is left as it was, and free."""
    path = tmp_path / 'log.jsonl'
    open_log(path, study, 'left', (0, 0), '1.0')[0].close()
    before = path.read_bytes()
    other = LockedStudy(study.design, 'd' * 64, {}, '1.0') if change == 'study' else study
    with pytest.raises(TrialError, match='was begun with'):
        open_log(path, other, 'right' if change == 'robot' else 'left',
                 (5, 0) if change == 'rounds' else (0, 0), '1.0')
    assert path.read_bytes() == before
    open_log(path, study, 'left', (0, 0), '1.0')[0].close()


def test_another_kind_of_log_is_refused(tmp_path: Path, study: LockedStudy) -> None:
    """A log of something else is not written to."""
    path = tmp_path / 'log.jsonl'
    with TrialLog(path) as log:
        log.append('study', {})
    with pytest.raises(TrialError, match='not the log of a blinded study'):
        open_log(path, study, 'left', (0, 0), '1.0')


@pytest.mark.parametrize('rounds', [(20, 0), (3, 3), (5, 2), (0, 21)])
def test_rounds_that_the_study_has_not_are_refused(tmp_path: Path, study: LockedStudy,
                                                   rounds: tuple[int, int]) -> None:
    """A robot that began behind the last round would never end."""
    assert study.design.rounds == 20
    with pytest.raises(TrialError, match='no rounds of this study'):
        open_log(tmp_path / 'log.jsonl', study, 'left', rounds, '1.0')
    assert not (tmp_path / 'log.jsonl').exists()
