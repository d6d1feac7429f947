# SPDX-License-Identifier: Apache-2.0
"""What a model costs and what a unit less would save: parameters, FLOPs, seconds.

Parameters and FLOPs are exact, counted on a model without weights after a real drop. Seconds are
measured on this machine with the sampler as the runtime runs it: half of a stack's units less,
against the whole model, in turns; a plan's latency is predicted from the differences.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vla_drop_ros.families.family import Inputs
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.traced import Sampler, traced
from vla_drop_ros.pruning.constraints import head_units
from vla_drop_ros.pruning.criteria.leave_one_out import droppable, removable, without
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.drop import apply_plan, keep_head_units
from vla_drop_ros.pruning.plan import Plan, Unit, WIDTH_UNITS

Example = tuple[Inputs, torch.Tensor]
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters of a model, and floating-point operations of one chunk for one observation."""

    parameters: int
    flops: int


def count(subject: Subject, example: Example) -> Cost:
    """Count parameters and FLOPs of a model on the meta device.

    A multiplication and an addition are two operations; only matrix products count. On the CPU
    the counter would miss those inside the attention kernel.
    """
    device = next(subject.model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in example[0].items()}
    with FlopCounterMode(display=False) as counter:
        subject.family.act(subject.model, inputs, example[1].to(device))
    return Cost(sum(parameter.numel() for parameter in subject.model.parameters()),
                int(counter.get_total_flops()))


def count_units(subject: Subject, example: Example,
                tick: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """Return the costs of the whole model and what each unit less would save.

    Args:
        subject: on the meta device, so that it takes no time.
        example: inputs and noise for one observation.
        tick: told the share that is done.

    Returns:
        ``parameters`` and ``flops``, each with ``total`` and ``units``: stack -> unit -> by
        block; for ``channel`` and ``head`` by block what one of them would save.

    """
    whole = count(subject, example)
    found: dict[str, dict[str, list[Cost]]] = {name: {} for name in subject.sites.names}
    wanted = removable(subject, 'block', 'tied', 'attention', 'mlp')
    for number, (stack, unit) in enumerate(wanted):
        tick(number / (len(wanted) + 1))
        known: dict[object, Cost] = {}  # blocks that are alike cost alike
        rows = []
        for index in range(len(subject.stacks[stack])):
            key = _kind(subject, stack, index)
            if key not in known:
                known[key] = whole
                if droppable(subject, stack, unit, index):
                    with without(subject, stack, unit, (index,)):
                        known[key] = count(subject, example)
            rows.append(known[key])
        found[stack][unit] = rows
    for stack in subject.sites.names:
        for width in WIDTH_UNITS:
            found[stack][width] = _width_costs(subject, stack, width, example, whole)
    tick(1.0)
    return {name: {
        'total': getattr(whole, name),
        'units': {stack: {unit: [getattr(whole, name) - getattr(one, name) for one in rows]
                          for unit, rows in units.items()} for stack, units in found.items()}}
        for name in ('parameters', 'flops')}


def _kind(subject: Subject, stack: str, index: int) -> object:
    live = subject.stacks[stack]
    partner = subject.pairs[stack].get(index)
    other = live.site.read_by
    reader = None if partner is None else (
        sorted(subject.stacks[other].left(partner)), subject.stacks[other].channels(partner),
        subject.stacks[other].heads(partner))
    return repr((sorted(live.left(index)), live.channels(index), live.heads(index),
                 live.is_read(index), reader, live.site.roles[index:index + 1]))


def _width_costs(subject: Subject, stack: str, unit: Unit, example: Example, whole: Cost,
                 ) -> list[Cost]:
    """Return the cost with one channel or head less, by block."""
    if unit == 'head' and stack in subject.sites.same_heads:
        return _joint_costs(subject, stack, example, whole)
    live, known, rows = subject.stacks[stack], {}, []
    for index in range(len(live)):
        key = _kind(subject, stack, index)
        if key not in known:
            known[key] = whole
            if _units(subject, stack, unit, index) > 1:
                journal = Journal()
                _narrow(subject, stack, unit, index, 1, journal)
                known[key] = count(subject, example)
                journal.undo()
        rows.append(known[key])
    return rows


def _joint_costs(subject: Subject, stack: str, example: Example, whole: Cost) -> list[Cost]:
    """Return an equal part of what one head less from every block of joint stacks saves.

    Such heads only go together, so only the sum over all of them counts.
    """
    journal = Journal()
    taken = _narrow_joint(subject, lambda total: int(total > 1), journal)
    found = count(subject, example) if taken else whole
    journal.undo()
    one = Cost(*(getattr(whole, name) - (getattr(whole, name) - getattr(found, name)) // max(
        1, taken) for name in ('parameters', 'flops')))
    return [one] * len(subject.stacks[stack])


def _narrow_joint(subject: Subject, less: Callable[[int], int], journal: Journal) -> int:
    """Take heads from every block of the stacks whose heads meet; return how many went."""
    taken = 0
    for name in subject.sites.same_heads:
        for index in range(len(subject.stacks[name])):
            number = less(_units(subject, name, 'head', index))
            if number:
                _narrow(subject, name, 'head', index, number, journal)
                taken += number
    subject.family.agree(subject.model, journal)
    return taken


def _units(subject: Subject, stack: str, unit: Unit, index: int) -> int:
    live = subject.stacks[stack]
    return live.channels(index) if unit == 'channel' else head_units(live, index)


def _narrow(subject: Subject, stack: str, unit: Unit, index: int, less: int, journal: Journal,
            ) -> None:
    """Take the last ``less`` channels or heads of a block away."""
    live = subject.stacks[stack]
    kept = range(_units(subject, stack, unit, index) - less)
    if unit == 'channel':
        live.keep_channels(index, kept, journal)
    else:
        keep_head_units(live, index, kept, journal)


def time_units(subject: Subject, examples: tuple[Example, Example], threads: int,
               tick: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """Measure the latency of the model and what each unit less saves, on this machine.

    Args:
        subject: the live model.
        examples: inputs and noise of two different observations of the same shapes.
        threads: CPU threads, as the policy node will have.
        tick: told the share that is done.

    Returns:
        ``device``, ``total`` [s] for one observation, and ``units``: stack -> unit -> seconds
        that one block (or channel, or head) less saves.

    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _time_units(subject, examples, threads, tick)
    finally:
        torch.set_num_threads(before)


def _time_units(subject: Subject, examples: tuple[Example, Example], threads: int,
                tick: Callable[[float], None]) -> dict[str, Any]:
    wanted: list[tuple[str, Unit]] = [
        *removable(subject, 'block', 'tied', 'attention', 'mlp'),
        *((stack, unit) for stack in subject.sites.names for unit in WIDTH_UNITS)]
    units: dict[str, dict[str, float]] = {name: {} for name in subject.sites.names}
    totals: list[float] = []
    with torch.inference_mode(False), torch.no_grad():
        whole = _sampler(subject, examples)
        for number, (stack, unit) in enumerate(wanted):
            with _half(subject, stack, unit) as taken:
                if taken:
                    less = _sampler(subject, examples)
                    # A traced graph holds its own weights, so both can be timed in turns.
                    full, short = _in_turns(whole, less, examples[1])
                    totals += full
                    units[stack][unit] = max(0.0, statistics.median(
                        [one - other for one, other in zip(full, short, strict=True)]) / taken)
            tick((number + 1) / len(wanted))
    device = next(subject.model.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'cpu x {threads}'
    return {'device': name, 'threads': threads, 'total': statistics.median(totals),
            'units': units}


def _sampler(subject: Subject, examples: tuple[Example, Example]) -> Sampler:
    sampler = traced(subject.family, subject.model, *examples)
    for _ in range(2):
        sampler(*examples[1])
    return sampler


@contextmanager
def _half(subject: Subject, stack: str, unit: Unit) -> Iterator[int]:
    """Take every other unit of a stack away; yields how many are gone."""
    live = subject.stacks[stack]
    if unit not in WIDTH_UNITS:
        gone = [index for index in range(1, len(live), 2)
                if droppable(subject, stack, unit, index)]
        if not gone:
            yield 0
            return
        with without(subject, stack, unit, gone):
            yield len(gone)
        return
    journal, taken = Journal(), 0
    if unit == 'head' and stack in subject.sites.same_heads:
        taken = _narrow_joint(subject, lambda total: total // 2, journal)
    else:
        for index in range(len(live)):
            less = _units(subject, stack, unit, index) // 2
            if less:
                _narrow(subject, stack, unit, index, less, journal)
                taken += less
    try:
        yield taken
    finally:
        journal.undo()


def _in_turns(first: Sampler, second: Sampler, example: Example,
              ) -> tuple[list[float], list[float]]:
    """Time two samplers in turns, [s], so that a busy machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for sampler, into in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            sampler(*example)
            if example[1].is_cuda:
                torch.cuda.synchronize()
            into.append(time.perf_counter() - begin)
    return times


def measure_plan(subject: Subject, plan: Plan, example: Example) -> Cost:
    """Return the exact cost after a plan, by carrying it out for a moment."""
    journal = Journal()
    apply_plan(subject.family, subject.model, plan, journal)
    try:
        return count(subject, example)
    finally:
        journal.undo()


