# SPDX-License-Identifier: Apache-2.0
"""From a pruned checkpoint folder and demonstrations to a recovered checkpoint folder."""

from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from vla_drop_ros.checkpoint import empty_model, load_checkpoint, refuse_existing, save_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import RecoveryError
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.manifest import load_manifest, Manifest, NORMALIZATION_FILE, TOKENIZER_FILE
from vla_drop_ros.policies.model_policy import ModelPolicy
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.cost import count
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.recovery.losses import Parent, RecoveryLoss
from vla_drop_ros.recovery.low_rank import merge, trainable
from vla_drop_ros.recovery.recipe import Recipe
from vla_drop_ros.recovery.samples import Samples
from vla_drop_ros.recovery.trainer import accelerator, CURVE_FILE, Numbers, Trainer
from vla_drop_ros.weights import Weights

VALIDATION = 256  # held-out frames
Measure = Callable[[ModelPolicy], Numbers]
Tick = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a recovery is run, none of which decides what comes out.

    Attributes:
        output: folder to write.
        work: folder of state and curve.
        every: steps between validations, each of which saves the state.
        loaders: processes that read frames beside.
        device: ``auto``, ``cpu``, ``cuda``.
        force: replace the output if it is a checkpoint.
        name: in the manifest.
        measure: what else to measure at a validation, in the leading process.
        tick: told steps done, steps in all and the loss.

    """

    output: Path
    work: Path
    every: int = 100
    loaders: int = 0
    device: str = 'auto'
    force: bool = False
    name: str = ''
    measure: Measure | None = None
    tick: Tick = lambda *_: None


def matched_steps(checkpoint: Path, whole: Path, steps: int) -> int:
    """Return the steps that cost as many FLOPs as ``steps`` do with the model ``whole``.

    Counted for a chunk of one observation; a training step's share is the same (about three
    forward passes).
    """
    whole_cost, cost = flops(whole), flops(checkpoint)
    return max(1, round(steps * whole_cost / cost))


def flops(folder: Path) -> int:
    """Return the floating-point operations of a chunk for one observation."""
    manifest = load_manifest(folder)
    model = empty_model(folder, manifest.family, manifest.structure).to('meta')
    policy = assemble_policy(model, manifest, folder)
    subject = Subject(family_of(model), model, (), Weights(folder, lambda key: key))
    return count(subject, policy.example_inputs()[0]).flops


def recover(checkpoint: Path, data: Path, recipe: Recipe, settings: Settings,
            parent: Path | None = None) -> Manifest | None:
    """Train ``checkpoint`` on ``data`` and write what comes out.

    Args:
        checkpoint: folder to read, never changed.
        data: LeRobot dataset that speaks its language.
        recipe: what decides the result.
        settings: how it is run.
        parent: what it was pruned from, to distill.

    Returns:
        The manifest, None in processes that do not lead.

    Raises:
        RecoveryError: contradictions, or a loss that is not finite.
        DatasetError: the data do not fit.
        CheckpointError: a damaged checkpoint, or the output exists.

    """
    refuse_existing(settings.output, settings.force)
    if recipe.distills and parent is None:
        raise RecoveryError('distillation needs the parent: give --parent CHECKPOINT')
    using = accelerator(recipe, settings.device)
    model, manifest = load_checkpoint(checkpoint)
    policy = assemble_policy(model.to(using.device), manifest, checkpoint)
    family = policy.family
    dataset = Dataset(data)
    samples = Samples(dataset, policy, recipe, using.process_index, using.num_processes)
    trainable(family, policy.model, recipe)
    teacher = _teacher(parent, manifest, using) if recipe.distills else None
    meaning = {'checkpoint': manifest.identity, 'data': dataset.sha256(),
               'recipe': recipe.to_dict(), 'processes': using.num_processes}
    trainer = Trainer(policy, RecoveryLoss(family, policy.model, recipe, teacher), samples,
                      recipe, settings.work, _digest(meaning), using)
    trainer.run(settings.every, _reporter(policy, samples, settings, trainer),
                lambda step, loss: settings.tick(step, recipe.steps, loss), settings.loaders)
    weights = trainer.weights()
    if not trainer.leads:
        return None
    record = {'recipe': recipe.to_dict(), 'dataset': dataset.folder.name,
              'dataset_sha256': meaning['data'], 'episodes': samples.episodes,
              'frames': len(samples.training), 'processes': using.num_processes,
              'seconds': round(trainer.seconds, 1),
              'parent': manifest.parent['name'] if teacher and manifest.parent else None,
              'curve': _curve(settings.work)}
    written = _write(checkpoint, settings, manifest, weights, recipe, record)
    shutil.rmtree(settings.work / 'state', ignore_errors=True)
    return written


def _teacher(parent: Path | None, child: Manifest, using: Any) -> Parent:
    assert parent is not None  # noqa: S101 - checked before anything was loaded
    model, manifest = load_checkpoint(parent)
    return Parent(model.to(using.device).eval().requires_grad_(False), manifest, child)


def _write(checkpoint: Path, settings: Settings, manifest: Manifest, weights: dict[str, Any],
           recipe: Recipe, record: dict[str, Any]) -> Manifest:
    """Put the weights into a fresh copy of the model and save it."""
    model, _ = load_checkpoint(checkpoint)
    adapter = trainable(family_of(model), model, recipe)
    model.load_state_dict(weights)
    merge(adapter)
    return save_checkpoint(
        settings.output, model.requires_grad_(False),
        Tokenizer.from_file(str(checkpoint / TOKENIZER_FILE)),
        json.loads((checkpoint / NORMALIZATION_FILE).read_text()), force=settings.force,
        name=settings.name or settings.output.name, role=manifest.role,
        action_spec=manifest.action_spec, cameras=manifest.cameras,
        state_names=manifest.state_names, base_vlm=manifest.base_vlm,
        training=manifest.training, parent=manifest.lineage_record(),
        criterion=manifest.criterion, calibration=manifest.calibration, recovery=record)


def _reporter(policy: ModelPolicy, samples: Samples, settings: Settings, trainer: Trainer,
              ) -> Callable[[int], Numbers]:
    def report(_: int) -> Numbers:
        if not trainer.leads:
            return {}
        found = validate(policy, samples)
        return found if settings.measure is None else {**found, **settings.measure(policy)}
    return report


def validate(policy: ModelPolicy, samples: Samples, count: int = VALIDATION) -> Numbers:
    """Return ``held_out_loss`` and ``action_error`` on frames that training never sees.

    The error is the mean distance of the executed steps' actions to the demonstrated ones, in
    standard deviations of the actions, from fixed noise.
    """
    import torch
    losses, errors = [], []
    executed = policy.spec.executed_steps
    for frames, batch in samples.validation(policy, count):
        with torch.no_grad():
            losses.append(policy.family.loss(policy.model, batch).cpu().numpy())
        chunks = policy.infer_batch(frames.observations, seed=0)
        gap = (np.stack([chunk.actions for chunk in chunks]) - frames.actions)[:, :executed]
        gap = np.abs(gap / policy.normalization.action.std).mean(-1)
        errors.append(gap[frames.valid[:, :executed] > 0])
    return {'held_out_loss': float(np.concatenate(losses).mean()),
            'action_error': float(np.concatenate(errors).mean())}


def _curve(work: Path) -> list[dict[str, float]]:
    """Return what was logged, later records winning where the run was resumed."""
    lines = (work / CURVE_FILE).read_text().splitlines()
    found = {record['step']: record for record in map(json.loads, filter(None, lines))}
    return [found[step] for step in sorted(found)]


def _digest(meaning: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
