# SPDX-License-Identifier: Apache-2.0
"""What a check of a contract found at one thing, for people and for programs."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal['ok', 'remark', 'fault', 'skipped']


class Finding(NamedTuple):
    """One line of a report.

    Attributes:
        group: what was looked at: file, checkpoint, cameras, state, command, clock, frames.
        name: the key of the contract, or the topic.
        level: ``fault``: it cannot work, or not safely; ``remark``: have a second look.
        said: what was found, with numbers and units.
        fix: what to do, '' where nothing is to be done.

    """

    group: str
    name: str
    level: Level
    said: str
    fix: str = ''


def faults(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that stop a robot."""
    return [finding for finding in findings if finding.level == 'fault']
