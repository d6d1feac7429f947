# SPDX-License-Identifier: Apache-2.0
"""The log of a blinded study: opened for one robot's part of it, gone on with after a stop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.host import describe_host
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import Event, read_log, TrialLog

LOG_FILE = 'log.jsonl'


def open_log(path: Path, study: LockedStudy, robot: str, rounds: tuple[int, int],
             tool_version: str) -> tuple[TrialLog, tuple[Event, ...]]:
    """Open the log of a study, or begin it; return it with the events that were in it.

    Args:
        path: file; one robot writes it at a time.
        study: that is run.
        robot: name of the robot.
        rounds: first round of this robot, and the one before which it ends; 0: the last.
        tool_version: version of this package.

    Raises:
        TrialError: the study has no such rounds, another process writes it, it is damaged, or it
            is of another study, another robot or other rounds.

    """
    first, end, horizon = *rounds, study.design.rounds
    if (end and first >= end) or (horizon and (first >= horizon or end > horizon)):
        raise TrialError(f'first_round {first} and end_round {end} hold no rounds of this study'
                         + (f', which has {horizon}' if horizon else '')
                         + '; first_round counts from 0, end_round is the one after the last, 0 '
                           'for the end of the study')
    log = TrialLog(path, resume=True)
    try:
        events = read_log(path).events
        opened = {'study': study.design.digest, 'commitment': study.commitment, 'robot': robot,
                  'first_round': rounds[0], 'end_round': rounds[1]}
        said = next((event.data for event in events if event.kind == 'opened'), None)
        if said is None:
            if any(event.kind != 'repaired' for event in events):
                raise TrialError(f'{path} is not the log of a blinded study; choose another file')
            log.append('opened', {'log': uuid4().hex, **opened, 'tool_version': tool_version})
        differ = {key: said.get(key) for key in opened if said and said.get(key) != opened[key]}
        if differ:
            raise TrialError(
                f'{path} was begun with {differ}, now it is '
                f'{ {key: opened[key] for key in differ} }; go on as it was begun, or give this '
                'robot a log of its own (parameter log) and rounds of its own')
    except BaseException:
        log.close()
        raise
    return log, events


def begin_session(log: TrialLog, events: tuple[Event, ...], operator: str, robot: str,
                  parameters: dict[str, Any], rig: Mapping[str, Any] | None = None,
                  rmw: str = '', contract: str = '') -> int:
    """Log that somebody sat down at the robot; return the number of the session.

    Args:
        log: of the study.
        events: that were in it.
        operator: pseudonym.
        robot: name of the robot.
        parameters: of the nodes, as far as they say nothing about arms.
        rig: as its people state it, ``rig.load_rig``; None: nobody did.
        rmw: middleware in use; '' is that which the environment names.
        contract: sha256 of the robot contract; '' is not stated.

    """
    number = 1 + sum(event.kind == 'session' for event in events)
    log.append('session', {
        'session': number, 'operator': operator, 'robot': robot, 'parameters': parameters,
        'host': describe_host() | ({'rmw': rmw} if rmw else {}), 'rig': dict(rig or {}),
        **({'contract': contract} if contract else {})})
    return number
