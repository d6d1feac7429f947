# SPDX-License-Identifier: Apache-2.0
"""What can be measured without a robot: errors where they matter, and distance to the parent.

Errors in task-critical windows follow success closer than errors everywhere (CI-MSE, arXiv
2606.29898). Fidelity needs no demonstrations: both models answer the same noise.
"""

import numpy as np

from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.recovery.samples import Frames, Samples
from vla_drop_ros.types import FloatArray

WINDOW = 2       # steps around a change of the gripper's command
SLOW = 0.25      # of the median speed of the demonstrations: a careful step
GRIPPER = 'gripper'


def critical(frames: Frames, executed: int, gripper: int | None) -> FloatArray:
    """Return 1 for executed steps that are critical, shape (N, executed).

    Critical: within ``WINDOW`` steps of a change of the gripper's command, or slow.

    Args:
        frames: with the demonstrated actions (N, T, A).
        executed: steps of a chunk that are executed.
        gripper: index of the gripper among the actions; None: only speed counts.

    """
    actions = frames.actions
    motion = [index for index in range(actions.shape[-1]) if index != gripper]
    speed = np.linalg.norm(actions[..., motion], axis=-1)
    found = speed[:, :executed] < SLOW * np.median(speed[frames.valid > 0])
    if gripper is not None:
        spread = np.ptp(actions[..., gripper]) or 1.0
        changes = np.abs(np.diff(actions[..., gripper], axis=1)) > 0.5 * spread
        for step in range(executed):
            near = changes[:, max(0, step - WINDOW):step + WINDOW]
            found[:, step] |= near.any(1)
    return found * frames.valid[:, :executed]


def measure(policy: ModelPolicy, parent: ModelPolicy, samples: Samples, count: int = 512,
            ) -> dict[str, float]:
    """Return the proxies of a policy on held-out frames, all from the same noise.

    Returns:
        ``action_error`` and ``critical_error``: mean distance of executed steps to the
        demonstrated ones, in standard deviations of the actions; ``fidelity_error``: to what the
        parent answers, over the executed steps; ``gripper_agreement``: share of executed steps
        in which both command the same side of the gripper's middle; ``noise_spread``: standard
        deviation over three noises; ``held_out_loss``: the family's own.

    """
    import torch
    spec, std = policy.spec, policy.normalization.action.std
    executed = spec.executed_steps
    gripper = spec.names.index(GRIPPER) if GRIPPER in spec.names else None
    sums: dict[str, list[FloatArray]] = {}

    def add(name: str, values: FloatArray) -> None:
        sums.setdefault(name, []).append(np.ravel(values))

    for frames, batch in samples.validation(policy, count):
        with torch.no_grad():
            add('held_out_loss', policy.family.loss(policy.model, batch).cpu().numpy())
        answers = [_answers(policy, frames, seed)[:, :executed] for seed in range(3)]
        wanted = _answers(parent, frames, 0)[:, :executed]
        valid = frames.valid[:, :executed] > 0
        gap = np.abs((answers[0] - frames.actions[:, :executed]) / std).mean(-1)
        add('action_error', gap[valid])
        add('critical_error', gap[critical(frames, executed, gripper) > 0])
        add('fidelity_error', np.abs((answers[0] - wanted) / std).mean(-1))
        add('noise_spread', (np.std(answers, axis=0) / std).mean(-1))
        if gripper is not None:
            middle = policy.normalization.action.mean[gripper]
            add('gripper_agreement', (answers[0][..., gripper] > middle)
                == (wanted[..., gripper] > middle))
    return {name: float(np.concatenate(values).mean()) for name, values in sums.items()}


def _answers(policy: ModelPolicy, frames: Frames, seed: int) -> FloatArray:
    return np.stack([chunk.actions for chunk in policy.infer_batch(frames.observations, seed)])
