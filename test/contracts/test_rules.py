# SPDX-License-Identifier: Apache-2.0
"""What is valid but worth a second look is said, and only that."""

from dataclasses import replace
from typing import Any

import pytest

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.contracts.rules import advice, contradictions
from vla_drop_ros.robot_contract import RobotContract

FRANKA = load_contract(find_contract('franka_cartesian'))
assert FRANKA.limits.cartesian is not None and FRANKA.command.gripper is not None
BLIND = {key: replace(camera, latency=0.0) for key, camera in FRANKA.cameras.items()}


def test_a_slow_twist_is_told() -> None:
    """MoveIt Servo halts between twists that are more than 0.1 s apart; 20 Hz is the least."""
    servo = load_contract(find_contract('ur_servo'))
    slow, = advice(replace(servo, control_rate=15.0))
    assert slow[0] == ('control_rate',) and 'incoming_command_timeout' in slow[1]


@pytest.mark.parametrize(('changes', 'key'), [
    ({'interlock': 'none', 'dry_run': False}, 'interlock'),
    ({'ramp_in': 0.0}, 'ramp_in'),
    ({'max_skew': 0.3}, 'max_skew'),
    ({'cameras': BLIND, 'dry_run': False}, 'cameras'),
    ({'max_chunk_age': 0.0, 'dry_run': False}, 'max_chunk_age'),
    ({'command': replace(FRANKA.command, gripper=replace(
        FRANKA.command.gripper, hysteresis=0.0))}, 'command.gripper.hysteresis'),
    ({'limits': replace(FRANKA.limits, cartesian=replace(
        FRANKA.limits.cartesian, step=0.001))}, 'limits.step'),
])
def test_each_doubt_is_told_at_its_key(changes: dict[str, Any], key: str) -> None:
    """One change, at least one remark at that key; without it there is none."""
    assert not advice(FRANKA)
    contract: RobotContract = replace(FRANKA, **changes)
    assert not contradictions(contract)
    assert key in {'.'.join(path) for path, _ in advice(contract)}
