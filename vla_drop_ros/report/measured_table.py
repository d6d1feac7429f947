# SPDX-License-Identifier: Apache-2.0
"""Measured quantities as a table: a line a quantity, a column an arm, and the differences."""

from collections.abc import Sequence
from math import isfinite

from vla_drop_ros.report.document import Table
from vla_drop_ros.report.measurements import Measured
from vla_drop_ros.report.sentences import number


def measured_table(found: Sequence[Measured], arms: Sequence[str], caption: str) -> Table:
    """Return the table; what was measured in no trial has no line.

    Args:
        found: of ``measured``.
        arms: names, the baseline first.
        caption: what the trials and pairs are.

    """
    head = ('', *arms, *(f'{name} minus {arms[0]}' for name in arms[1:]))
    return Table(head, tuple(
        (_name(one), *(number(value, one.digits) + _of(one, place)
                       for place, value in enumerate(one.arms)),
         *(_difference(one, place) for place in range(len(one.differences)))) for one in found),
        caption, wide=len(arms) > 2)


def _name(one: Measured) -> str:
    return f'{one.name} [{one.unit}]' if one.unit else one.name


def _of(one: Measured, place: int) -> str:
    """Return of how many trials it is, where that differs from arm to arm."""
    return f' (n = {one.trials[place]})' if len(set(one.trials)) > 1 else ''


def _difference(one: Measured, place: int) -> str:
    found = one.differences[place]
    if not isfinite(found.estimate):
        return '-'
    text = f'{found.estimate:+.{one.digits}f}'
    if isfinite(found.low):
        text += f' [{found.low:+.{one.digits}f}, {found.high:+.{one.digits}f}]'
    return f'{text}, n = {one.pairs[place]}'
