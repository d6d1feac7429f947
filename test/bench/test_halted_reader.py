# SPDX-License-Identifier: Apache-2.0
"""Who sends over UDP is held up by no reader that is halted."""

import re

import pytest

from bench import halted_reader

pytestmark = [pytest.mark.ros, pytest.mark.e2e, pytest.mark.slow]


def test_udp_waits_for_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Both profiles are counted; with that of the gate the count is none."""
    pytest.importorskip('rclpy')
    assert halted_reader.main(['--halts', '20']) == 0
    counts = dict(re.findall(r'([\w ]+): .* in (\d+) of 20 halts', capsys.readouterr().out))
    assert set(counts) == set(halted_reader.TRANSPORTS) and counts['udp'] == '0'
