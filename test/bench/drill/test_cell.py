# SPDX-License-Identifier: Apache-2.0
"""When a cell counts as settled: from then on the listener judges every command again."""

from typing import Any

import pytest

from bench.drill.cell import holds_still

STEP, MOVES = 0.08, 0.04
RESTS: dict[str, Any] = {'lead': 4e-6, 'speed': 0.0, 'commanded_speed': 0.0,
                         'holds_measured': False}


@pytest.mark.parametrize('changed', [
    {}, {'lead': 0.03, 'holds_measured': True}, {'speed': 0.005}])
def test_an_arm_that_is_held_is_settled(changed: dict[str, Any]) -> None:
    """At the hold of before a short move, or held at a measured pose that it sags from."""
    assert holds_still({**RESTS, **changed}, STEP, MOVES)


@pytest.mark.parametrize('changed', [
    {'lead': 0.03}, {'lead': 0.1, 'holds_measured': True}, {'lead': float('inf')},
    {'speed': 0.02}, {'commanded_speed': 1e-9}])
def test_an_arm_that_is_still_pulled_or_led_is_not(changed: dict[str, Any]) -> None:
    """Away from a hold that nobody measured, out of reach, without news, or in motion."""
    assert not holds_still({**RESTS, **changed}, STEP, MOVES)
