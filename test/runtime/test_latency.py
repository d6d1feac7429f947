# SPDX-License-Identifier: Apache-2.0
"""Latencies are summarised over a window."""

import math

import numpy as np
import pytest

from vla_drop_ros.runtime.latency import LatencyWindow


def test_quantiles_over_the_window_count_over_all_time() -> None:
    """Old values leave the quantiles but not the count."""
    window = LatencyWindow(size=100)
    for value in [9.0] * 50 + [float(value) for value in np.linspace(0.0, 1.0, 100)]:
        window.add(value)
    summary = window.summary()
    assert summary.count == 150
    assert (summary.p50, summary.p95, summary.max) == pytest.approx((0.5, 0.95, 1.0))


def test_empty_window_is_nan_not_zero() -> None:
    """Nothing measured must not read as fast."""
    assert math.isnan(LatencyWindow().summary().p50)
