# SPDX-License-Identifier: Apache-2.0
"""The whole recipe: render, pretrain, demonstrate, adapt with DAgger rounds, save, measure.

Every stage keeps what it finished in the working folder, so that the same command resumes.
"""

from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
import logging
import multiprocessing
import os
from pathlib import Path
import shutil
from typing import Any

from tokenizers import Tokenizer

from vla_drop_ros.checkpoint import save_checkpoint
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.reference import rollouts
from vla_drop_ros.reference.adapt import adapt
from vla_drop_ros.reference.batches import ACTION_MEAN, ACTION_STD, STATE_MEAN, STATE_STD
from vla_drop_ros.reference.frames import IMAGE_SIZE, render_stills
from vla_drop_ros.reference.model import CHUNK, EXECUTED, Heads, vocabulary
from vla_drop_ros.reference.pretrain import pretrain
from vla_drop_ros.reference.trainer import join_processes, wait_for_all
from vla_drop_ros.simulation.environment import CONTROL_PERIOD, POLICY_CAMERAS
from vla_drop_ros.types import ActionSpec, CameraSpec

_LOG = logging.getLogger(__name__)
SPEC = ActionSpec(names=('x', 'y', 'z', 'gripper'), frame='base_link', reference='delta',
                  period=CONTROL_PERIOD, chunk_length=CHUNK, executed_steps=EXECUTED)
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')
NORMALIZATION = {'state': {'mean': list(STATE_MEAN), 'std': list(STATE_STD)},
                 'action': {'mean': list(ACTION_MEAN), 'std': list(ACTION_STD)}}
HELD_SHARD = 9000
EVERY = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much of everything; the defaults made the shipped weights.

    Attributes:
        shards, shard_size: still scenes, rendered once.
        demo_shards: shards of the noisy expert's episodes.
        vision_steps: steps that train the vision tower alone, before
        vlm_steps, vla_steps: optimiser steps of 64 samples (of two flow draws each in stage 2).
        visits_from, visits_every: steps of stage 2 after which the policy's own states are added.
        visit_shards: shards a round.
        peak: learning rate.
        seed: of weights and batches; scenes have seeds of their own.

    """

    shards: int = 22
    shard_size: int = 1500
    demo_shards: int = 3
    vision_steps: int = 800
    vlm_steps: int = 1700
    vla_steps: int = 1700
    visits_from: int = 500
    visits_every: int = 250
    visit_shards: int = 1
    peak: float = 1e-3
    seed: int = 0


def save_vlm(folder: Path, model: Any, tokenizer: Tokenizer, training: dict[str, Any]) -> None:
    """Write the vision-language checkpoint."""
    save_checkpoint(folder, model, tokenizer, NORMALIZATION, force=True, name=folder.name,
                    action_spec=None, cameras=_cameras(), state_names=STATE_NAMES,
                    training=training)


def save_vla(folder: Path, vlm: Path, model: Any, tokenizer: Tokenizer,
             training: dict[str, Any]) -> None:
    """Write the policy checkpoint; it names the vision-language model it came from."""
    save_checkpoint(folder, model, tokenizer, NORMALIZATION, force=True, name=folder.name,
                    action_spec=SPEC, cameras=_cameras(), state_names=STATE_NAMES,
                    base_vlm=load_manifest(vlm).lineage_record(), training=training)


def _cameras() -> dict[str, CameraSpec]:
    return {name: CameraSpec(IMAGE_SIZE, IMAGE_SIZE) for name in POLICY_CAMERAS}


def _render(folder: Path, shard: int, size: int, kind: str) -> None:
    os.environ['LP_NUM_THREADS'] = '1'
    render_stills(folder, shard, size, kind)
    _LOG.info('rendered %s scenes %d', kind, shard)


def _collect(folder: Path, shard: int, size: int, checkpoint: Path | None) -> dict[str, int]:
    os.environ['LP_NUM_THREADS'] = '1'
    policy = None if checkpoint is None else load_policy(checkpoint, 'cpu', threads=1)
    return rollouts.collect(folder, shard, size, policy)


def _missing(folder: Path, kind: str, shards: range) -> list[int]:
    """Return the shards still to be made; only the first of several processes makes any."""
    if join_processes() != 0:
        return []
    return [shard for shard in shards
            if not (folder / f'{kind}-{shard:04d}.states.npy').exists()]


def _tell(done: Future[Any]) -> None:
    """Log why a shard is missing; training goes on without it."""
    if not done.cancelled() and (error := done.exception()) is not None:
        _LOG.error('states that the policy visits were not collected: %s', error)


def train(work: Path, output: Path, recipe: Recipe, workers: int) -> Path:
    """Train both checkpoints; return the folder of the policy.

    Args:
        work: frames and training states; the same folder resumes.
        output: gets ``reference-vlm`` and ``reference``.
        recipe: how much of everything.
        workers: processes that render and drive the simulator beside the training.

    Started by torchrun, the processes share every step; each adds its own batch.
    """
    frames, tokenizer = work / 'frames', vocabulary()
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, mp_context=context, initializer=os.nice,
                             initargs=(10,)) as pool:
        held = [pool.submit(_render, frames, shard, 256, 'held')
                for shard in _missing(frames, 'held', range(HELD_SHARD, HELD_SHARD + 1))]
        stills = [pool.submit(_render, frames, shard, recipe.shard_size, 'still')
                  for shard in _missing(frames, 'still', range(recipe.shards))]
        for needed in (*held, *stills[:1]):
            needed.result()
        wait_for_all()
        demos = [pool.submit(_collect, frames, shard, recipe.shard_size, None)
                 for shard in _missing(frames, 'demo', range(recipe.demo_shards))]
        vlm, heads = pretrain(work / 'vlm', frames, tokenizer, recipe.vlm_steps,
                              recipe.vision_steps, recipe.peak, recipe.seed, EVERY)
        training = asdict(recipe)
        if join_processes() == 0:
            save_vlm(output / 'reference-vlm', vlm, tokenizer, training)
        pending: list[Future[Any]] = [*stills[1:], *demos]
        for future in pending:
            future.result()
        wait_for_all()
        return _adapt(work, output, recipe, (tokenizer, vlm, heads), pool)


def _adapt(work: Path, output: Path, recipe: Recipe, start: tuple[Tokenizer, Any, Heads],
           pool: ProcessPoolExecutor) -> Path:
    frames, policy = work / 'frames', output / 'reference'
    tokenizer, vlm, heads = start
    stops = [*range(recipe.visits_from, recipe.vla_steps, recipe.visits_every), recipe.vla_steps]
    for number, stop in enumerate(stops):
        vla = adapt(work / 'vla', frames, tokenizer, vlm, heads, recipe.vla_steps, recipe.peak,
                    recipe.seed, EVERY, until=stop)
        training = {**asdict(recipe), 'step': stop}
        if join_processes() == 0:
            save_vla(policy, output / 'reference-vlm', vla, tokenizer, training)
        if stop == recipe.vla_steps:
            break
        shards = range(number * recipe.visit_shards, (number + 1) * recipe.visit_shards)
        missing = _missing(frames, 'visit', shards)
        visitor = work / 'visitor' / f'{number}'  # the next stop replaces the policy's folder
        if missing:
            shutil.copytree(policy, visitor, dirs_exist_ok=True)
        for shard in missing:
            # The pool works while training goes on; new shards are used as they appear.
            pool.submit(_collect, frames, shard, recipe.shard_size, visitor
                        ).add_done_callback(_tell)
    return policy
