# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of its clock, and who keeps it; where nobody knows, nothing is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.trials.host_clock import describe_clock, LAYOUT, UNSYNCHRONIZED


def kernel(status: int, answer: int = 0) -> Callable[[Any], int]:
    """Return an adjtimex of a kernel with these bits."""
    def ask(buffer: Any) -> int:
        LAYOUT.pack_into(buffer, 0, 0, 0, 0, 16_000, 250, status)
        return answer

    return ask


def test_a_clock_that_is_kept(tmp_path: Path) -> None:
    """Errors in seconds, and the daemon by its name."""
    for number, name in enumerate(('bash', 'chronyd', 'ptp4l'), start=1):
        (tmp_path / f'proc/{number}').mkdir(parents=True)
        (tmp_path / f'proc/{number}/comm').write_text(f'{name}\n')
    assert describe_clock(tmp_path, kernel(0x2001)) == {
        'synchronized': True, 'estimated_error': pytest.approx(0.00025),
        'max_error': pytest.approx(0.016), 'kept_by': 'chronyd, ptp4l'}


def test_a_clock_that_nobody_keeps(tmp_path: Path) -> None:
    """Its errors mean nothing and are left out; a kernel that cannot be asked says nothing."""
    assert describe_clock(tmp_path, kernel(UNSYNCHRONIZED, 5)) == {'synchronized': False}
    assert describe_clock(tmp_path, kernel(0, -1)) == {}


def test_this_machine_answers(tmp_path: Path) -> None:
    """Without rights, with one of the two."""
    assert describe_clock(tmp_path)['synchronized'] in (True, False)
