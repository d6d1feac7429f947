#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure what ranking costs and what dropping gains, as ratios within one run.

GateProbe for all blocks against one training step on the same batch; predicted against measured
latency of several plans; and what the removal of dead compute gains by itself. Two things that
are compared run in turns, so that a busy machine slows both.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
import json
from pathlib import Path
import statistics
import sys
import tempfile
import time
from typing import Any

import torch

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.checkpoint import load_checkpoint
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.families.family import Batch, Family
from vla_drop_ros.families.traced import traced
from vla_drop_ros.policies.calibration import calibrate
from vla_drop_ros.policies.registry import assemble_policy
from vla_drop_ros.pruning.cost import time_units
from vla_drop_ros.pruning.criteria.gateprobe import gate_derivatives
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.prediction import predict
from vla_drop_ros.weights import Weights

# What the prediction is tried on; a plan that the checkpoint cannot carry out is left out.
PLANS = {
    'half of the language, tied': Plan({'language': {'tied': (1, 3, 5, 7)}}),
    'half of the language, keep-kv': Plan({'language': {'keep-kv': (1, 3, 5, 7)}}),
    'half of the vision': Plan({'vision': {'whole': (1, 3, 5)}}),
    'half of the expert': Plan({'action': {'whole': (1, 3, 5, 7)}}),
    'a bit of all': Plan({'vision': {'whole': (2,)}, 'language': {'tied': (2,), 'mlp': (4,)},
                          'action': {'mha': (5,)}}),
    'dead compute only': Plan(dead=True),
}
Work = Callable[[], object]


def in_turns(works: Sequence[Work], rounds: int) -> list[list[float]]:
    """Return the seconds of every round of each piece of work, run one after the other."""
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(rounds):
        for work, into in zip(works, times, strict=True):
            begin = time.perf_counter()
            work()
            into.append(time.perf_counter() - begin)
    return times


def ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the ratios of paired times, and their quartiles."""
    found = [one / other for one, other in zip(first, second, strict=True)]
    low, middle, high = statistics.quantiles(found, n=4)
    return middle, low, high


def train_step(family: Family, model: Any, batch: Batch) -> Work:
    """Return one optimiser step on all weights, as recovery would take it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9)

    def step() -> None:
        model.requires_grad_(True)
        optimizer.zero_grad(set_to_none=True)
        family.loss(model, batch).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.requires_grad_(False)

    return step


def probe_cost(subject: Subject, rounds: int) -> tuple[float, float, float]:
    """Return what GateProbe of all blocks costs, in training steps on the same batch."""
    batch = subject.batches[0]
    probe, step = in_turns([
        lambda: gate_derivatives(subject.family, subject.model, batch),
        train_step(subject.family, subject.model, batch)], rounds)
    return ratio(probe, step)


def latencies(subject: Subject, examples: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Return for each plan the predicted and the measured latency, as shares of the whole."""
    costs = {'latency': time_units(subject, examples, torch.get_num_threads())}
    whole = traced(subject.family, subject.model, *examples)
    found = {}
    for name, plan in PLANS.items():
        try:
            with dropped(subject.family, subject.model, plan):
                smaller = traced(subject.family, subject.model, *examples)
                less, full = in_turns([lambda run=smaller: run(*examples[1]),  # type: ignore[misc]
                                       lambda: whole(*examples[1])], rounds)
        except VlaDropError:
            continue
        measured, low, high = ratio(less, full)
        predicted = predict(costs, subject.layout, replace(plan, dead=False))['latency']
        found[name] = {'predicted': predicted / costs['latency']['total'], 'measured': measured,
                       'low': low, 'high': high, 'ms': 1e3 * statistics.median(less)}
    return found


def demonstrations(folder: Path | None, work: Path) -> Dataset:
    """Return the dataset of a folder, or of freshly recorded demonstrations."""
    if folder is None:
        from vla_drop_ros.cli.main import main
        folder = work / 'demonstrations'
        if main(['demonstrate', '-o', str(folder), '--episodes', '16']):
            raise VlaDropError('the demonstrations could not be recorded, see above')
    return Dataset(folder)


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the report and return 0; 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--checkpoint', default='reference')
    parser.add_argument('--data', type=Path, help='default: demonstrations recorded for this')
    parser.add_argument('--batch', type=int, default=32, help='samples (default: 32)')
    parser.add_argument('--rounds', type=int, default=15, help='default: 15')
    parser.add_argument('--threads', type=int, default=1, help='default: 1')
    parser.add_argument('--json', type=Path, help='write the numbers here')
    args = parser.parse_args(arguments)
    try:
        if args.batch < 2 or args.rounds < 2 or args.threads < 1:
            raise VlaDropError('--batch and --rounds must be at least 2, --threads at least 1')
        folder = find_checkpoint(args.checkpoint)
        model, manifest = load_checkpoint(folder)
        policy = assemble_policy(model, manifest, folder)
        with tempfile.TemporaryDirectory() as work:
            samples = calibrate(policy, demonstrations(args.data, Path(work)), args.batch,
                                draws=1, batch_size=args.batch)
        torch.set_num_threads(args.threads)
        subject = Subject(policy.family, policy.model, samples.batches,
                          Weights(folder, policy.family.module_name))
        probe = probe_cost(subject, args.rounds)
        found = latencies(subject, policy.example_inputs(), args.rounds)
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(report(probe, found, args))
    if args.json:
        args.json.write_text(json.dumps({'gateprobe_in_steps': probe, 'latency': found}, indent=1))
    return 0


def report(probe: tuple[float, float, float], found: dict[str, dict[str, float]],
           args: argparse.Namespace) -> str:
    """Return the lines for people."""
    lines = [f'{args.checkpoint}, {args.threads} CPU thread(s), medians and quartiles of '
             f'{args.rounds} rounds in turns',
             f'GateProbe, all blocks, batch of {args.batch}: {probe[0]:.2f} '
             f'[{probe[1]:.2f}, {probe[2]:.2f}] training steps',
             f'{"latency of a chunk, share of the whole model":44} predicted  measured']
    lines += [f'{name:44} {one["predicted"]:8.1%}  {one["measured"]:8.1%} '
              f'[{one["low"]:.1%}, {one["high"]:.1%}]  {one["ms"]:.1f} ms'
              for name, one in found.items()]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(measure())
