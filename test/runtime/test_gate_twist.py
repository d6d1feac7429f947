# SPDX-License-Identifier: Apache-2.0
"""A robot that is commanded in velocities coasts: where it comes to rest is where it begins."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.runtime.gate import CommandGate, IncomingChunk

SHIPPED = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'
CONTRACT = replace(load_contract(SHIPPED), fault_action='stop',
                   command=CommandTopics('twist', 'twist'))
PERIOD = 1.0 / CONTRACT.control_rate
LAG = 0.06  # [s] by which the arm is behind its commands
DOWN = (1.0, 0.0, 0.0, 0.0)


class CoastingArm:
    """A gate and an arm whose target is carried by the twists, and which follows it late."""

    def __init__(self) -> None:
        self.gate = CommandGate(CONTRACT)
        self.now = 100.0
        self.target = np.array([0.5, 0.0, 0.3])
        self.arm = self.target.copy()
        self.outlier: np.ndarray | None = None
        self.gate.activate(self.now)

    def offer(self, *rows: list[float]) -> None:
        """Let the policy speak; without rows it pauses."""
        assert self.gate.offer(IncomingChunk(
            ('x', 'y', 'z'), 'base_link', self.now, [0.1 * (i + 1) for i in range(len(rows))],
            list(rows)), self.now) is None

    def tick(self, count: int) -> float:
        """Advance by control periods; return how far the target was moved, [m]."""
        begin = self.target.copy()
        for _ in range(count):
            self.now += PERIOD
            seen = self.arm if self.outlier is None else self.outlier
            self.gate.add_pose(self.now, tuple(seen), DOWN, 'base_link')
            self.gate.add_heartbeat(self.now)
            command = self.gate.tick(self.now).command
            if command is not None:
                self.target = self.target + command.linear * PERIOD
            self.arm = self.target + (self.arm - self.target) * np.exp(-PERIOD / LAG)
        return float(np.linalg.norm(self.target - begin))


def test_who_is_asked_to_stay_after_a_pause_at_speed_stays() -> None:
    """The arm coasts past where it was at the pause: it is neither led there nor away from it."""
    robot = CoastingArm()
    robot.tick(1)
    robot.offer(*[[0.0, 0.05, 0.0]] * 8)
    robot.tick(8)
    robot.offer()
    assert robot.tick(1) == 0.0
    assert np.linalg.norm(robot.target - robot.arm) > 5e-3  # it is still on its way
    robot.tick(20)
    for _ in range(4):
        robot.offer(*[[0.0, 0.0, 0.0]] * 8)
        assert robot.tick(8) < 1e-4


def test_a_wrong_measurement_in_a_pause_moves_nothing_afterwards() -> None:
    """One pose far away, the last before motion is asked for, is not where the arm begins."""
    robot = CoastingArm()
    robot.tick(5)
    robot.outlier = robot.arm + [0.2, 0.0, 0.0]
    robot.tick(1)
    robot.outlier = None
    robot.tick(1)
    robot.offer(*[[0.0, 0.0, 0.0]] * 8)
    assert robot.tick(8) < 1e-4
