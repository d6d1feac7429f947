# SPDX-License-Identifier: Apache-2.0
"""A swap is judged by what a control loop in another process saw of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
from bench.swap import gaps, measure, swap_of  # noqa: E402
from vla_drop_ros.preflight import private_domain  # noqa: E402

pytestmark = pytest.mark.ros


def test_a_late_tick_is_a_gap_and_an_absent_one_is_missed() -> None:
    """The timer keeps its phase: after a late tick the next one comes early."""
    ticks = [0.0, 0.02, 0.055, 0.06, 0.08, 0.14, 0.16]
    missed, worst = gaps(ticks, (0.01, 0.2))
    assert missed == 2 and worst == pytest.approx(0.06)
    missed, worst = gaps(ticks, (0.01, 0.07))
    assert missed == 0 and worst == pytest.approx(0.035)


def test_a_gap_that_began_before_the_swap_counts() -> None:
    """The last chunk before the request belongs to the longest time without one."""
    chunks = [0.0, 0.1, 0.2, 0.3, 0.7, 0.8]
    found = swap_of((0.35, 0.9), 0.65, list(np.arange(60) * 0.02), chunks)
    assert found.without_chunk == pytest.approx(0.4)
    assert found.usual == pytest.approx(0.1)
    assert found.answer == pytest.approx(0.3)
    assert found.missed == 0


@pytest.mark.e2e
@pytest.mark.slow
def test_a_real_swap_is_seen(tmp_path: Path, write_tiny: Callable[..., Any]) -> None:
    """The node takes the other checkpoint, and chunks go on afterwards."""
    for name, scale in (('one', 0.3), ('other', 0.2)):
        write_tiny(tmp_path / name, scale=scale)
    with private_domain():
        found = measure((str(tmp_path / 'one'), str(tmp_path / 'other')), 1, 1)
    swap, = found.swaps
    assert 0.0 < swap.answer < 30.0
    assert swap.without_chunk < swap.answer + 1.0
    assert 0.05 < swap.usual < 0.3
    assert found.undisturbed_gap > 0.01 and len(found.witness) == 1
