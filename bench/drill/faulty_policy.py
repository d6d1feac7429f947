# SPDX-License-Identifier: Apache-2.0
"""The real policy node with the real checkpoint, and a hand on its inference.

The file named by the variable ``DRILL_FAULT_FILE`` holds the fault of the moment, empty for none.
When a fault first shows, the line ``drill: NAME at SECONDS`` (monotonic) is written.
"""

from collections.abc import Callable, Mapping
import os
from pathlib import Path
import sys
import time
from types import MappingProxyType
from typing import Any

import numpy as np

from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.types import ActionChunk, Observation

FILE = 'DRILL_FAULT_FILE'
STALL = 5.0    # [s]
HUGE = 1e6     # [m] a step


class FaultyPolicy:
    """A policy that works, unless the file says otherwise."""

    def __init__(self, policy: Any, file: Path) -> None:
        """Take a loaded policy and the file to look at."""
        self._policy = policy
        self._file = file
        self._told = ''

    def __getattr__(self, name: str) -> Any:
        """Be the policy in everything else."""
        return getattr(self._policy, name)

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the chunk, spoilt as wished for."""
        wish = self._file.read_text(encoding='utf-8').strip()
        if wish != self._told:
            self._told = wish
            sys.stdout.write(f'drill: {wish or "none"} at {time.monotonic():.6f}\n')
            sys.stdout.flush()
        if not wish:
            return self._policy.infer(observation)
        return FAULTS[wish](self._policy, observation)


def _not_a_number(policy: Any, observation: Observation) -> ActionChunk:
    return _altered(policy.infer(observation), lambda actions: np.full_like(actions, np.nan))


def _huge(policy: Any, observation: Observation) -> ActionChunk:
    def far(actions: Any) -> Any:
        return np.where(np.arange(len(actions))[:, None] % 2 == 0, HUGE, -HUGE) * np.ones_like(
            actions)
    return _altered(policy.infer(observation), far)


def _huge_one_way(policy: Any, observation: Observation) -> ActionChunk:
    return _altered(policy.infer(observation), lambda actions: np.full_like(actions, -HUGE))


def _short(policy: Any, observation: Observation) -> ActionChunk:
    """Leave out the last action dimension, behind the back of the type that forbids it."""
    return _altered(policy.infer(observation), lambda actions: actions[:, :-1])


def _exception(policy: Any, observation: Observation) -> ActionChunk:
    raise RuntimeError('drill: inference failed')


def _memory(policy: Any, observation: Observation) -> ActionChunk:
    raise MemoryError('drill: no host memory')


def _device_memory(policy: Any, observation: Observation) -> ActionChunk:
    import torch
    raise torch.OutOfMemoryError('drill: CUDA out of memory')


def _stall(policy: Any, observation: Observation) -> ActionChunk:
    time.sleep(STALL)
    return policy.infer(observation)


FAULTS: Mapping[str, Callable[[Any, Observation], ActionChunk]] = MappingProxyType({
    'nan': _not_a_number, 'huge': _huge, 'huge_one_way': _huge_one_way, 'short': _short,
    'exception': _exception, 'memory': _memory, 'device_memory': _device_memory,
    'stall': _stall})


def _altered(chunk: ActionChunk, change: Callable[[Any], Any]) -> ActionChunk:
    object.__setattr__(chunk, 'actions', change(chunk.actions))
    return chunk


def main() -> int:
    """Run the node; return the exit code."""
    file = Path(os.environ[FILE])
    return run_node(
        lambda: PolicyNode(load=lambda path: FaultyPolicy(
            load_policy(path, device='cpu', threads=1), file)),
        autostart=lambda node: node.parameters.autostart)


if __name__ == '__main__':
    sys.exit(main())
