# SPDX-License-Identifier: Apache-2.0
"""What was changed at the robot between two sessions is named in the report."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from vla_drop_ros.report.results import results_of
from vla_drop_ros.report.sentences import deviations
from vla_drop_ros.report.settings import changed_settings
from vla_drop_ros.report.study_record import read_record
from vla_drop_ros.trials.locked_study import open_schedule
from vla_drop_ros.trials.study_log import begin_session, LOG_FILE, open_log


def played(folder: Path, studies: ModuleType, *sessions: tuple[str, Mapping[str, Any]]) -> Path:
    """Return a study with a trial a session; each has a contract and parameters."""
    study = studies.locked(folder, studies.design_data())
    for contract, parameters in sessions:
        log, events = open_log(folder / LOG_FILE, study, 'arm-1', (0, 0), 'test')
        with log:
            begin_session(log, events, 'ada', 'arm-1', {}, contract=contract)
            log.append('settings', {'node': 'policy_node', 'parameters': dict(parameters)})
            operator = studies.Operator(study, open_schedule(folder, study), studies.World(), log)
            operator.conductor.resume([(event.kind, event.data) for event in events])
            operator.trial()
    return folder


def test_changes_are_named_once(tmp_path: Path, studies: ModuleType) -> None:
    """A parameter, back again, and the contract; what stays is no news."""
    slow, fast = {'execution': 'synchronous', 'threads': 1}, {
        'execution': 'asynchronous', 'threads': 1}
    folder = played(tmp_path / 'study', studies, ('a' * 64, slow), ('a' * 64, slow),
                    ('b' * 64, fast), ('b' * 64, slow))
    record = read_record(folder)
    found = changed_settings(record)
    assert found == (
        'the robot contract changed with session 3 of arm-1',
        "policy_node execution ('synchronous' to 'asynchronous') changed with session 3 of arm-1",
        "policy_node execution ('asynchronous' to 'synchronous') changed with session 4 of arm-1")
    assert set(found) <= set(deviations(results_of(record)))


def test_logs_that_say_nothing_have_no_changes(folder: Path) -> None:
    """Those of older versions, too."""
    assert changed_settings(read_record(folder)) == ()
