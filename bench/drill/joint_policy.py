# SPDX-License-Identifier: Apache-2.0
"""The real policy node with a policy that speaks in joints: the shipped one, through kinematics.

What the shipped policy wants of the hand is followed by the servo of the simulated arm, and the
joints that this takes are the chunk. Inference can be spoilt as in ``faulty_policy``.
"""

from collections.abc import Mapping
from dataclasses import replace
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np

from bench.drill.faulty_policy import FaultyPolicy, FILE
from bench.drill.robots import joint_spec
from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.simulation.arm import ArmServo, SERVO_PERIOD
from vla_drop_ros.types import (
    ActionChunk,
    FloatArray,
    GRIPPER_NAME,
    Observation,
    TRANSLATION_NAMES,
)


class JointPolicy:
    """A policy whose chunks are joint positions.

    Attributes:
        spec: its action language.

    """

    def __init__(self, policy: Any) -> None:
        """Take a policy that moves the hand by deltas."""
        self._policy = policy
        self._servo = ArmServo()
        self.spec = joint_spec(policy.spec)

    def __getattr__(self, name: str) -> Any:
        """Be the policy in everything else."""
        return getattr(self._policy, name)

    def infer(self, observation: Observation, *noise: Any) -> ActionChunk:
        """Return the chunk that moves the hand as the policy wants it."""
        chunk = self._policy.infer(observation, *noise)
        here = observation.state[[self._policy.state_names.index(f'ee.{axis}')
                                  for axis in TRANSLATION_NAMES]]
        return replace(chunk, actions=self._joints(here, chunk), spec=self.spec)

    def _joints(self, here: FloatArray, chunk: ActionChunk) -> FloatArray:
        """Return joints and width of each step, shape (n, 8)."""
        names: Mapping[str, int] = {name: i for i, name in enumerate(chunk.spec.names)}
        moves = chunk.actions[:, [names[axis] for axis in TRANSLATION_NAMES]]
        self._servo.solve(here)
        rows = []
        for place in here + np.cumsum(moves, axis=0):
            for _ in range(round(chunk.spec.period / SERVO_PERIOD)):
                joints = self._servo.step(place)
            rows.append(joints)
        return np.column_stack([np.array(rows), chunk.actions[:, names[GRIPPER_NAME]]])


def main() -> int:
    """Run the node; return the exit code."""
    file = Path(os.environ[FILE])

    def load(path: str) -> FaultyPolicy:
        return FaultyPolicy(JointPolicy(load_policy(path, device='cpu', threads=1)), file)

    # The manifest speaks of the hand; what is refused here is what this module does not do.
    return run_node(lambda: PolicyNode(load=load, check=lambda path, contract: None),
                    autostart=lambda node: node.parameters.autostart)


if __name__ == '__main__':
    sys.exit(main())
