# SPDX-License-Identifier: Apache-2.0
"""Robot, place and computer of a study, as its sessions say; what nobody said is named too."""

from collections.abc import Mapping, Sequence
from typing import Any

from vla_drop_ros.report.sessions import Session
from vla_drop_ros.trials.rig import FIELDS

NOT_STATED = 'not stated'
UNITS = {'lux': 'lx', 'ambient_temperature': '°C'}
HOST = ('name', 'cpu', 'processors', 'gpu', 'driver', 'power_mode', 'os', 'ros_distro', 'rmw',
        'container', 'git', 'packages', 'python')
Facts = tuple[tuple[str, str], ...]


def rig_facts(sessions: Sequence[Session]) -> Facts:
    """Return name and value of every field of the rig; ``NOT_STATED`` where it is absent."""
    return tuple((name.replace('_', ' ') + (f' [{UNITS[name]}]' if name in UNITS else ''),
                  _said(sessions, [one.rig.get(name) for one in sessions])) for name in FIELDS)


def host_facts(sessions: Sequence[Session]) -> Facts:
    """Return name and value of every field of the computer, first those that are asked for."""
    others = sorted({name for one in sessions for name in one.host} - set(HOST))
    return tuple((name.replace('_', ' '),
                  _said(sessions, [one.host.get(name) for one in sessions]))
                 for name in (*HOST, *others))


def _said(sessions: Sequence[Session], values: Sequence[Any]) -> str:
    """Return one value, or every value with its sessions where they differ."""
    texts = [NOT_STATED if value in (None, '', [], {}) else in_words(value) for value in values]
    different = list(dict.fromkeys(texts))
    if len(different) < 2:
        return different[0] if different else NOT_STATED
    return '; '.join(f'{text} (session ' + ', '.join(
        f'{one.robot} {one.number}' for one, said in zip(sessions, texts, strict=True)
        if said == text) + ')' for text in different)


def in_words(value: Any) -> str:
    """Return a value of JSON as people read it."""
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, Mapping):
        return ', '.join(f'{str(key).replace("_", " ")} {in_words(one)}'
                         for key, one in value.items() if one not in (None, ''))
    if isinstance(value, list | tuple):
        return '; '.join(map(in_words, value))
    return f'{value:g}' if isinstance(value, float) else str(value)
