# SPDX-License-Identifier: Apache-2.0
"""What a user can set on ``policy_node``, and what a checkpoint must be to be accepted."""

from collections.abc import Callable
from dataclasses import dataclass
import gc

from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.nodes.parameters import parameter
from vla_drop_ros.policies.registry import (
    check_loadable,
    free_device_memory,
    load_policy,
    read_manifest,
)
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.execution import EXECUTIONS
from vla_drop_ros.runtime.memory import (
    available_memory,
    refuse_what_does_not_fit,
    weights_bytes,
)
from vla_drop_ros.runtime.policy_worker import Infers
from vla_drop_ros.runtime.resident import ResidentPolicies

Check = Callable[[str, RobotContract | None], None]


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of ``policy_node``."""

    robot: str = parameter('', 'Path of the robot contract; without one the node does not start')
    checkpoint: str = parameter(
        '', 'Checkpoint folder; set it while running to swap between two inferences',
        read_only=False)
    other_normalization: bool = parameter(
        False, 'Let a swap take a checkpoint with other normalisation statistics than the running '
        'one, that is of other training data or for another robot', read_only=False)
    study: str = parameter(
        '', 'Folder of a locked study: all its checkpoints are kept in memory, checkpoint takes '
        'only sealed:<token>, and nothing is said that tells which one answers')
    device: str = parameter('auto', 'Where the policy runs: auto, cpu, cuda, cuda:1')
    threads: int = parameter(
        0, 'CPU threads for inference; 0 leaves the choice to OMP_NUM_THREADS', minimum=0,
        maximum=1024)
    resident: int = parameter(
        1, 'Checkpoints kept in memory; with 2 or more, going back to one loads nothing',
        minimum=1, maximum=64)
    execution: str = parameter(
        'asynchronous', 'How chunks follow each other: the robot goes on with the last one while '
        'the policy thinks, waits for it, or goes on and the policy is told: '
        + ', '.join(EXECUTIONS))
    replan_period: float = parameter(
        0.0, 'Capture time between two chunks; 0: after the executed steps of the checkpoint',
        unit='s', minimum=0.0, maximum=60.0)
    instruction: str = parameter('', 'What to do from the start; empty waits for the topic')
    autostart: bool = parameter(
        False, 'Configure and activate at start, without an outside lifecycle manager')


def resident_policies(wanted: PolicyParameters) -> ResidentPolicies:
    """Return the place where the node's checkpoints are loaded to."""
    def load(path: str) -> Infers:
        policy = load_policy(path, device=wanted.device, threads=wanted.threads or None,
                             continuing=wanted.execution == 'real_time_chunking')
        if not gc.get_freeze_count():
            # Else each later load makes Python search the 400 000 objects of torch and
            # transformers for cycles, and no callback runs for tenths of a second.
            gc.collect()
            gc.freeze()
        return policy

    return ResidentPolicies(load, checkpoint_hash, wanted.resident, weights_of)


def check_checkpoint(path: str, contract: RobotContract | None) -> None:
    """Refuse a checkpoint that is absent or does not fit the robot; reads no weights.

    Raises:
        VlaDropError: the sentence for the operator.

    """
    manifest = read_manifest(path)
    if contract is not None and manifest.action_spec is not None:
        contract.check_policy(manifest.action_spec, manifest.cameras, manifest.state_names)
    check_loadable(path)


def weights_of(path: str) -> int:
    """Return the memory that the weights of a checkpoint take, [byte]."""
    return weights_bytes(read_manifest(path).parameters)


def admit(path: str, contract: RobotContract | None, device: str,
          resident: ResidentPolicies) -> None:
    """Refuse a checkpoint that is absent, does not fit the robot, or not into memory.

    Raises:
        VlaDropError: the sentence for the operator.

    """
    check_checkpoint(path, contract)
    if resident.holds(path):
        return
    free = {'memory': available_memory(), 'GPU memory': free_device_memory(device)}
    refuse_what_does_not_fit(path, weights_of(path), {
        name: found for name, found in free.items() if found is not None})
