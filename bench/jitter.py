# SPDX-License-Identifier: Apache-2.0
"""How punctual a control timer is beside back-to-back inference, by executor and process."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from bench.child import Child
from vla_drop_ros.bringup import process_environment

RATE = 50.0  # [Hz]
DESIGNS = ('separate', 'thread', 'callback')
EXECUTORS = ('single', 'events', 'multi')
SHIPPED = ('separate', 'single')  # what nodes/process.py does
NAIVE = ('callback', 'single')
ROUND = 2.0  # [s] that one executor runs before the next has its turn


Rounds = list[tuple[list[float], float]]


class Punctuality(NamedTuple):
    """How one executor did in one repeat.

    Attributes:
        ticks: of its timer.
        asleep: of a process that only sleeps, in the same rounds.
        cpu: share of a core that the process took.

    """

    ticks: 'Jitter'
    asleep: 'Jitter'
    cpu: float


class Jitter(NamedTuple):
    """Ticks that were due and that failed to come, and by how much the periods were off, [s]."""

    due: int
    missed: int
    p50: float
    p95: float
    p99: float
    worst: float


def jitter(rounds: Rounds, rate: float = RATE) -> Jitter:
    """Return the jitter of several rounds.

    Args:
        rounds: the times of the ticks of each and when it ended, [s].
        rate: how often a tick is due, [Hz].

    """
    due, fired, errors = 0, 0, [np.zeros(0)]
    for times, end in rounds:
        if times:
            due += int((end - times[0]) * rate) + 1
            fired += len(times)
        errors.append(np.abs(np.diff(times) - 1.0 / rate))
    error = np.concatenate(errors)
    quantiles = np.quantile(error, [0.5, 0.95, 0.99, 1.0]) if error.size else [np.nan] * 4
    return Jitter(due, max(0, due - fired), *(float(value) for value in quantiles))


def measure(design: str, settings: dict[str, Any], seconds: Mapping[str, float], repeats: int,
            progress: Callable[[str], None] = lambda text: None,
            ) -> dict[str, list[Punctuality]]:
    """Return how every executor did in every repeat, the executors in turns.

    Args:
        design: where the inference runs, one of ``DESIGNS``.
        settings: ``checkpoint`` and ``forward`` [s] of the inference.
        seconds: executor -> how long it runs in each repeat, [s].
        repeats: how often.
        progress: hears what is done.

    """
    environment = process_environment()
    found: dict[str, list[Punctuality]] = {name: [] for name in seconds}
    with ExitStack() as stack:
        if design == 'separate':
            load = stack.enter_context(
                Child('bench.inference', {**settings, 'loop': True}, environment))
            load.expect('ready', timeout=120.0)
        ticks = stack.enter_context(Child('bench.ticks', {
            **settings, 'design': design, 'rate': RATE}, environment))
        witness = stack.enter_context(Child('bench.witness', {'rate': RATE}))
        for child in (ticks, witness):
            child.expect('ready', timeout=120.0)
        for repeat in range(repeats):
            progress(f'control ticks {repeat + 1}/{repeats}: inference in a {design}')
            rounds, cpu = _in_turns(ticks, seconds)
            witness.ask(report=True)
            seen = witness.expect('ticks')
            for name, into in found.items():
                into.append(Punctuality(
                    jitter(rounds[name]),
                    jitter([([one for one in seen if times[0] <= one <= end], end)
                            for times, end in rounds[name] if times]),
                    cpu[name] / seconds[name]))
    return found


def _in_turns(ticks: Child, seconds: Mapping[str, float],
              ) -> tuple[dict[str, Rounds], dict[str, float]]:
    """Return ticks and CPU time [s] of all rounds of every executor, one after the other."""
    rounds: dict[str, Rounds] = {name: [] for name in seconds}
    cpu = dict.fromkeys(seconds, 0.0)
    left = dict(seconds)
    while any(rest > 0 for rest in left.values()):
        for name in [name for name, rest in left.items() if rest > 0]:
            span = min(ROUND, left[name])
            left[name] -= span
            ticks.ask(executor=name, seconds=span)
            told = ticks.expect_all('times', 'end', 'cpu')
            rounds[name].append((told['times'], told['end']))
            cpu[name] += told['cpu']
    return rounds, cpu
