# SPDX-License-Identifier: Apache-2.0
"""Did policy node, gate and robot contract stay as they were? Both arms meet the change or not."""

from typing import Any

from vla_drop_ros.report.study_record import StudyRecord

OF_A_ROBOT = ('robot',)  # parameters that differ from robot to robot, as their contracts do


def changed_settings(record: StudyRecord) -> tuple[str, ...]:
    """Return what changed from session to session, a sentence each; older logs say nothing.

    Args:
        record: blinded or unblinded.

    """
    seen: dict[tuple[str, ...], Any] = {}
    found: list[str] = []

    def compare(what: str, value: Any, where: str, *key: str) -> None:
        before = seen.setdefault(key, value)
        if value != before:
            found.append(f'{what} changed with {where}')
            seen[key] = value

    for log in record.logs.values():
        robot, number = str(log.opened.get('robot', '')), 0
        for event in log.events:
            where = f'session {number} of {robot}'
            if event.kind == 'session':
                number = int(event.data.get('session', number + 1))
                contract = str(event.data.get('contract', ''))
                if contract:
                    compare('the robot contract', contract, f'session {number} of {robot}',
                            log.uuid, 'contract')
            elif event.kind == 'settings':
                node = str(event.data.get('node', ''))
                for name, value in sorted(dict(event.data.get('parameters') or {}).items()):
                    mine = (log.uuid,) if name in OF_A_ROBOT else ()
                    before = seen.get((*mine, node, name), value)
                    compare(f'{node} {name} ({before!r} to {value!r})', value, where,
                            *mine, node, name)
    return tuple(found)
