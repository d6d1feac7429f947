# SPDX-License-Identifier: Apache-2.0
"""Whoever is turned away is written down, but cannot fill the disk."""

from vla_drop_ros.console.hostility import BURST, Hostility, LONGEST, PERIOD


def test_a_flood_is_counted_instead_of_written() -> None:
    """After a burst there is one report a period, which says how many were left out."""
    told: list[tuple[str, str]] = []
    now = 100.0
    hostility = Hostility(lambda what, address: told.append((what, address)), lambda: now)
    assert sum(hostility.report('flood', 'there:1') for _ in range(1000)) == BURST
    now += 1.001 * PERIOD
    assert hostility.report('again', 'there:1')
    assert told[-1] == (f'again (and {1000 - BURST} before it)', 'there:1')
    assert not hostility.report('again', 'there:1')
    now += 100 * BURST * PERIOD
    assert sum(hostility.report('flood', 'there:1') for _ in range(1000)) == BURST


def test_a_report_is_printable_and_short() -> None:
    """Control characters and long texts do not reach the log as they came."""
    told: list[str] = []
    hostility = Hostility(lambda what, _: told.append(what), lambda: 0.0)
    hostility.report('\x1b[2J\n\ud800\u202e' + 'x' * 1000, 'there:1')
    assert told[0].isprintable() and told[0].isascii() and len(told[0]) == LONGEST
