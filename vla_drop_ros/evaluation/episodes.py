# SPDX-License-Identifier: Apache-2.0
"""One closed-loop episode as a job: plain data in, plain data out, the same wherever it runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vla_drop_ros.errors import CheckpointError, unknown, VlaDropError
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.policies.policy import Policy
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.reference import rollouts
from vla_drop_ros.simulation.layout import draw_layout
from vla_drop_ros.simulation.tasks import paraphrase


@dataclass(frozen=True, slots=True)
class Job:
    """An episode to run.

    Attributes:
        folder: checkpoint folder.
        checkpoint: its identity, or the first digits of it, so that an outcome is never taken for
            another checkpoint's.
        seed: of the scene.
        variant: of the scene.
        probe: what is said, one of ``PROBES``.

    """

    folder: str
    checkpoint: str
    seed: int
    variant: str = 'nominal'
    probe: str = 'own'

    def __post_init__(self) -> None:
        """Refuse a probe that does not exist."""
        if self.probe not in PROBES:
            raise VlaDropError(unknown('probe', self.probe, PROBES))

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What makes two jobs the same, wherever the folder lies."""
        return self.checkpoint, self.seed, self.variant, self.probe


def own(policy: Policy, job: Job) -> dict[str, Any]:
    """Tell the scene's own instruction."""
    latencies: list[float] = []
    episode = rollouts.evaluate(policy, job.seed, job.variant, latencies)
    return {**asdict(episode), 'chunks': len(latencies), 'latency': float(np.median(latencies))}


def reworded(policy: Policy, job: Job) -> dict[str, Any]:
    """Tell the same task in a phrasing that training never had, of words that it had."""
    layout = draw_layout(job.seed, variant=job.variant)
    words = paraphrase(layout.task, layout.objects, np.random.default_rng([job.seed, 29]))
    latencies: list[float] = []
    episode = rollouts.evaluate(policy, job.seed, job.variant, latencies, words=words)
    return {**asdict(episode), 'chunks': len(latencies), 'latency': float(np.median(latencies)),
            'words': words}


def swap(policy: Policy, job: Job) -> dict[str, Any]:
    """Run the scene twice, the second time told to move another object to the same goal."""
    first, second = rollouts.swap_instruction(policy, job.seed, job.variant)
    return {**asdict(first), 'swapped': asdict(second)}


PROBES: dict[str, Callable[[Policy, Job], dict[str, Any]]] = {
    'own': own, 'paraphrase': reworded, 'swap': swap}
_LOADED: dict[tuple[str, str], Policy] = {}


def run_job(job: Job) -> dict[str, Any]:
    """Run an episode; this process keeps the policy that it used last, and its cell.

    On one thread of the CPU, also beside a GPU: every process then computes the same numbers.

    Returns:
        What ``Episode`` holds and, where measured, ``chunks`` and their median ``latency`` [s].

    Raises:
        CheckpointError: the folder is damaged, or no longer the checkpoint of the job.

    """
    name = (job.folder, job.checkpoint)
    if name not in _LOADED:
        _LOADED.clear()
        check_identity(job)
        _LOADED[name] = load_policy(job.folder, device='cpu', threads=1)
    return PROBES[job.probe](_LOADED[name], job)


def check_identity(job: Job) -> str:
    """Return the whole identity of the folder; raise CheckpointError where it is not the job's."""
    found = load_manifest(job.folder).identity
    if not found.startswith(job.checkpoint):
        raise CheckpointError(
            f'{job.folder} holds checkpoint {found[:12]}, the episodes were to be of '
            f'{job.checkpoint[:12]}: it was changed meanwhile; start again')
    return found


