# SPDX-License-Identifier: Apache-2.0
"""A robot that is commanded in joints gets the same protection."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import JointLimits, Limits, RobotAction
from vla_drop_ros.runtime.gate import CommandGate, IncomingChunk, Mode

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
JOINTS = replace(
    CONTRACT, max_chunk_age=0.0,
    action=RobotAction(('joint.a', 'joint.b', 'gripper'), 'base_link', 'absolute'), pose=None,
    command=CommandTopics('joint_trajectory', 'joint_trajectory', lead=0.1),
    limits=Limits(None, {'a': JointLimits((-1.0, 1.0), 1.0, 20.0, 0.2),
                         'b': JointLimits((-1.0, 0.3), 2.0, 20.0, 0.2)}, (0.0, 0.08)))


def test_joint_robot_goes_to_the_commanded_joints_and_holds_them() -> None:
    """Joint actions become joint positions within the range; the dead-man holds the measured."""
    gate, now, joints = CommandGate(JOINTS), 100.0, np.zeros(2)
    gate.activate(99.0)
    for step in range(60):
        now += 0.05
        gate.add_joints(now, {'b': joints[1], 'a': joints[0], 'finger': 0.0})
        gate.add_heartbeat(now)
        if step == 2:
            assert gate.offer(IncomingChunk(
                ('joint.a', 'joint.b', 'gripper'), 'base_link', now,
                [0.5, 1.0], [[0.2, 0.4, 0.04], [0.4, 0.8, 0.02]]), now) is None
        decision = gate.tick(now)
        assert decision.command is not None
        joints = decision.command.pose.position
    assert joints == pytest.approx([0.4, 0.3])
    assert decision.mode is Mode.HOLDING
    assert decision.command is not None and decision.command.gripper == 0.02
    assert gate.counters['limited by joint_range'] > 0


def test_joint_state_without_a_commanded_joint_is_counted() -> None:
    """A driver that lacks a joint cannot keep the watchdog quiet."""
    gate = CommandGate(JOINTS)
    gate.activate(99.0)
    gate.add_joints(100.0, {'a': 0.0})
    assert gate.tick(100.0).reason == 'no action chunk' or gate.tick(100.0).command is None
    assert sum(count for key, count in gate.counters.items() if 'joints refused' in key) == 1
