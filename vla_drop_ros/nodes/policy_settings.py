# SPDX-License-Identifier: Apache-2.0
"""What a user can set on ``policy_node``, and what a checkpoint must be to be accepted."""

from dataclasses import dataclass

from vla_drop_ros.nodes.parameters import parameter
from vla_drop_ros.policies.registry import read_manifest
from vla_drop_ros.robot_contract import RobotContract


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of ``policy_node``."""

    robot: str = parameter('', 'Path of the robot contract; without one the node does not start')
    checkpoint: str = parameter(
        '', 'Checkpoint folder; set it while running to swap between two inferences',
        read_only=False)
    device: str = parameter('auto', 'Where the policy runs: auto, cpu, cuda, cuda:1')
    threads: int = parameter(
        0, 'CPU threads for inference; 0 leaves the choice to OMP_NUM_THREADS', minimum=0,
        maximum=1024)
    resident: int = parameter(
        1, 'Checkpoints kept in memory; with 2 or more, going back to one loads nothing',
        minimum=1, maximum=64)
    replan_period: float = parameter(
        0.0, 'Capture time between two chunks; 0: after the executed steps of the checkpoint',
        unit='s', minimum=0.0, maximum=60.0)
    instruction: str = parameter('', 'What to do from the start; empty waits for the topic')
    autostart: bool = parameter(
        False, 'Configure and activate at start, without an outside lifecycle manager')


def check_checkpoint(path: str, contract: RobotContract | None) -> None:
    """Refuse a checkpoint that is absent or does not fit the robot; reads no weights.

    Raises:
        VlaDropError: the sentence for the operator.

    """
    manifest = read_manifest(path)
    if contract is not None and manifest.action_spec is not None:
        contract.check_policy(manifest.action_spec, manifest.cameras, manifest.state_names)
