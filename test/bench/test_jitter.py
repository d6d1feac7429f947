# SPDX-License-Identifier: Apache-2.0
"""The control loop of the benchmark counts what did not come, and catches a naive design."""

from pathlib import Path

import numpy as np
import pytest

from bench.jitter import jitter, measure
from vla_drop_ros.preflight import private_domain


def test_punctual_ticks_have_no_jitter() -> None:
    """Ticks of exactly the rate miss nothing and are off by nothing."""
    found = jitter([(list(np.arange(50) * 0.02), 1.0 - 1e-6)])
    assert (found.due, found.missed) == (50, 0)
    assert found.worst == pytest.approx(0.0, abs=1e-9)


def test_absent_ticks_are_missed_and_late_ones_are_not() -> None:
    """Of ten ticks one is late by 5 ms and two are not there, the last of them at the end."""
    times = [0.0, 0.02, 0.045, 0.06, 0.1, 0.12, 0.14, 0.16]
    found = jitter([(times, 0.19)])
    assert (found.due, found.missed) == (10, 2)
    assert found.worst == pytest.approx(0.02)


def test_a_round_in_which_nothing_ticked() -> None:
    """It has no ticks to compare with, and does not end the benchmark."""
    assert jitter([([], 1.0)]).due == 0


@pytest.mark.ros
@pytest.mark.e2e
@pytest.mark.slow
def test_inference_in_a_callback_misses_ticks(tiny_checkpoint: Path) -> None:
    """Beside the same inference, a process of its own keeps the ticks that the callback loses."""
    pytest.importorskip('rclpy')
    settings = {'checkpoint': str(tiny_checkpoint), 'forward': 0.1}
    with private_domain():
        naive = measure('callback', settings, {'single': 2.0}, 1)['single'][0]
        separate = measure('separate', settings, {'single': 2.0, 'events': 2.0}, 1)
    assert naive.ticks.missed > 0.5 * naive.ticks.due
    assert naive.ticks.worst > 0.05 and naive.cpu > 0.2
    for found, in separate.values():
        for one in (found.ticks, found.asleep):
            assert one.due > 90 and one.missed < 0.25 * one.due
        assert found.cpu < 0.5
