# SPDX-License-Identifier: Apache-2.0
"""Closed-loop episodes in the simulator: to measure a policy, and to collect what it visits."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vla_drop_ros.policies.policy import Policy
from vla_drop_ros.reference import frames
from vla_drop_ros.reference.questions import draw_goal
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import CONTROL_PERIOD, PickPlaceEnvironment
from vla_drop_ros.simulation.layout import TRAINED
from vla_drop_ros.simulation.scene import OBJECT_SLOTS
from vla_drop_ros.simulation.tasks import instruction, possible_tasks, Task
from vla_drop_ros.types import FloatArray, ImageArray, Observation

MAX_STEPS = 90


@dataclass(frozen=True, slots=True)
class Episode:
    """The outcome of one episode.

    Attributes:
        seed, goal, variant: what was set up.
        success: judged from physics.
        steps: control periods of 0.1 s used.
        moved: name of the object that moved furthest, or None.
        named: name of the object that should move.

    """

    seed: int
    goal: str
    variant: str
    success: bool
    steps: int
    moved: str | None
    named: str


def execute(environment: PickPlaceEnvironment, actions: FloatArray) -> None:
    """Run steps of a chunk (n, 4): displacements from where the hand is now [m], width [m]."""
    target = environment.ee_position
    for action in actions:
        target = target + action[:3]
        environment.set_target(target, float(action[3]))
        environment.advance(CONTROL_PERIOD)


def run_episode(environment: PickPlaceEnvironment, policy: Policy, seed: int,
                variant: str = 'nominal', task: Task | None = None,
                latencies: list[float] | None = None, words: str = '') -> Episode:
    """Run one episode; the policy replans after its executed steps.

    Args:
        environment: the cell.
        policy: what decides.
        seed: of the scene.
        variant: of the scene.
        task: instead of the scene's own.
        latencies: gets the inference time of every chunk, [s].
        words: what is said instead of the scene's own instruction.

    """
    observation = environment.reset(seed, variant=variant)
    asked = task or environment.task
    words = words or environment.instruction
    if task is not None:
        words = instruction(task, environment.objects, np.random.default_rng([seed, 13]))
    policy.reset()
    steps = 0
    while steps < MAX_STEPS and not environment.succeeded(asked):
        if steps:
            observation = environment.observation()
        observation = Observation(observation.stamp, observation.images, observation.state, words)
        chunk = policy.infer(observation)
        if latencies is not None:
            latencies.append(chunk.latency)
        execute(environment, chunk.actions[:policy.spec.executed_steps])
        steps += policy.spec.executed_steps
    return Episode(seed, asked.goal, variant, environment.succeeded(asked), steps,
                   environment.moved_object, environment.objects[asked.target].name)


def collect(folder: Path, shard: int, size: int, policy: Policy | None) -> dict[str, int]:
    """Write a shard of visited states: by the noisy expert, or by the policy and the expert.

    Half of the policy's episodes begin with a few expert steps, so that late stages are reached.
    The instruction changes in mid-episode now and then.
    """
    environment = PickPlaceEnvironment(frames.IMAGE_SIZE)
    images: list[ImageArray] = []
    states: list[np.void] = []
    counts = {'episodes': 0, 'successes': 0}
    seed = frames.TRAIN_SEED + 50_000_000 + shard * 10_000
    while len(states) < size:
        seed += 1
        rng = np.random.default_rng([seed, 17])
        environment.reset(seed, draw_goal(rng),
                          str(rng.choice(list(TRAINED), p=[.3, .2, .2, .3])))
        task = environment.task
        words = environment.instruction
        switch = int(rng.integers(5, 30)) if rng.random() < 0.2 else -1
        handover = 0 if policy is None else int(rng.choice([0, int(rng.integers(0, 30))]))
        step = 0
        while step < 60 and len(states) < size and not environment.succeeded(task):
            if switch >= 0 and step >= switch:
                task = possible_tasks(OBJECT_SLOTS)[rng.integers(18)]
                words, switch = instruction(task, environment.objects, rng), -1
            images.append(frames.look(environment))
            states.append(frames.snapshot(environment, task, task.target))
            if policy is None or step < handover:
                deltas, widths = expert.act(environment.states(task))
                if rng.random() < 0.5:
                    deltas = deltas + rng.normal(0, 0.012, 3)
                execute(environment, np.append(deltas[0], widths[0])[None])
                step += 1
                continue
            seen = Observation(environment.time, dict(zip(('front', 'wrist'), images[-1],
                                                          strict=True)), environment.state, words)
            taken = int(rng.integers(1, policy.spec.executed_steps + 1))
            execute(environment, policy.infer(seen).actions[:taken])
            step += taken
        counts['episodes'] += 1
        counts['successes'] += environment.succeeded(task)
    environment.close()
    kind = 'demo' if policy is None else 'visit'
    frames.write(folder, f'{kind}-{shard:04d}', images, np.array(states))
    return counts


@lru_cache(maxsize=1)
def _cell() -> PickPlaceEnvironment:
    return PickPlaceEnvironment(frames.IMAGE_SIZE)


def evaluate(policy: Policy, seed: int, variant: str = 'nominal',
             latencies: list[float] | None = None, words: str = '') -> Episode:
    """Run the scene of a seed in this process's own cell; see ``run_episode``."""
    return run_episode(_cell(), policy, seed, variant, latencies=latencies, words=words)


def swap_instruction(policy: Policy, seed: int, variant: str = 'nominal',
                     ) -> tuple[Episode, Episode]:
    """Run a scene twice, the second time told to move another object to the same goal."""
    cell = _cell()
    first = run_episode(cell, policy, seed, variant)
    own = cell.task
    others = [task for task in possible_tasks(OBJECT_SLOTS)
              if task.goal == own.goal and task.target != own.target]
    other = others[np.random.default_rng([seed, 19]).integers(len(others))]
    return first, run_episode(cell, policy, seed, variant, task=other)
