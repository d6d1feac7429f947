# SPDX-License-Identifier: Apache-2.0
"""Measure what running a policy costs on this machine: images, node, control loop, swaps.

Every number comes from real processes that talk over DDS. What is compared runs in turns, and a
gate fails when most of its repeats do; BUSY instead of FAIL says that a process that only sleeps
was as late, or a bare forward pass held up as well: the machine had no time to give. The load
average stands beside every number.
Exit status: 0 no gate failed, 1 one did, 2 it did not run.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import platform
import statistics
import sys
import time
from typing import NamedTuple

from bench import jitter, node_work, swap, transport
from bench.executors import is_available
from bench.gates import (
    as_markdown,
    as_text,
    gated,
    load_average,
    Row,
    with_verdict,
    write_between_marks,
)
from vla_drop_ros import preflight
from vla_drop_ros.errors import VlaDropError

EXAMPLES = """\
examples:
  python -m bench.runtime --quick            one short repeat of everything, a minute
  python -m bench.runtime --only jitter      the control loop alone
  python -m bench.runtime --page docs/performance.md     put the table into the page
"""

PAGE_MARKS = ('<!-- bench/runtime.py begin -->', '<!-- bench/runtime.py end -->')
Progress = Callable[[str], None]


class Size(NamedTuple):
    """How much is measured.

    Attributes:
        repeats: of everything.
        images: seconds of images a case and repeat.
        chunks: of the policy node a repeat.
        shipped: seconds of control ticks a repeat for the design that is shipped.
        other: seconds of control ticks a repeat for each other design.
        forward: how long the inference beside the control ticks lasts, [s].
        swaps: a repeat.

    """

    repeats: int
    images: float
    chunks: int
    shipped: float
    other: float
    forward: float = 0.1
    swaps: int = 2


BUSY = 1.2  # a forward pass that alone takes so much longer than at best was held up
WHOLE = Size(3, 2.0, 20, 20.0, 2.0)
QUICK = Size(1, 1.0, 15, 4.0, 2.0)


def transport_rows(size: Size, progress: Progress) -> list[Row]:
    """Return delivery and latency of two cameras, 640x480 at 30 Hz (G11)."""
    cases = [case for case in transport.CASES if is_available(case.executor)]
    found = transport.deliveries(size.images, size.repeats, cases, progress)
    section, load = 'Images from process to process, 2 x 640x480 rgb8 at 30 Hz', load_average()
    rows = []
    reliable = [one.p50 for one in found[transport.STOCK_RELIABLE]]
    for case, deliveries in found.items():
        shares = tuple(100.0 * one.share for one in deliveries)
        gate = '>= 99 %' if case == transport.PROFILED else ''
        p50, p99, cpu = (statistics.median(values) for values in zip(
            *((1e3 * one.p50, 1e3 * one.p99, 100.0 * one.cpu) for one in deliveries),
            strict=True))
        rows.append(Row(
            section, f'{case.name}: delivered', shares, '%', load, gate,
            tuple(share >= 99.0 for share in shares) if gate else (),
            f'latency p50 {p50:.1f} ms, p99 {p99:.1f} ms; reader {cpu:.0f} % of a core'))
        if case == transport.PROFILED:
            ratios = [one.p50 / other for one, other in zip(deliveries, reliable, strict=True)]
            rows.append(gated(section, f'{case.name}: latency / stock, reliable', ratios, '', load,
                              '<= 0.35', lambda ratio: ratio <= 0.35))
    return rows


def node_rows(size: Size, checkpoint: str, progress: Progress) -> list[Row]:
    """Return what the policy node adds to the forward pass (G1, G2)."""
    repeats = node_work.measure(checkpoint, size.chunks, size.repeats, progress=progress)
    load = load_average()

    def median(part: Callable[[node_work.Sample], float]) -> tuple[float, ...]:
        return tuple(statistics.median(part(sample) for sample in samples) for samples in repeats)

    alone = median(lambda sample: sample.bare)
    shortest = min(sample.bare for samples in repeats for sample in samples)
    busy = tuple(forward > BUSY * shortest for forward in alone)
    section = (f'Policy node, 2 x 640x480, forward pass {1e3 * statistics.median(alone):.0f} ms, '
               f'{size.chunks} chunks a repeat')
    ratios = median(lambda sample: sample.parts.in_loop / sample.bare)
    work = [1e3 * value for value in median(lambda sample: sample.parts.node_work)]
    gates = (gated(section, 'work of the node beside the forward pass, p50', work, 'ms', load,
                   '<= 2 ms', lambda value: value <= 2.0),
             gated(section, 'node with forward pass / bare forward pass', ratios, '', load,
                   '<= 1.05', lambda value: value <= 1.05))
    parts = {
        '  of it: callbacks of the images': 'callbacks',
        '  of it: joining, hand-over, decoding': 'request',
        '  of it: resizing, units': 'preparation',
        '  of it: message and publishing': 'publishing',
        'the newest image waits for the control timer': 'slot_wait'}
    return [
        *(replace(row, busy=busy) for row in gates),
        *(Row(section, name, tuple(1e3 * value for value in median(
            lambda one, part=part: getattr(one.parts, part))), 'ms', load)  # type: ignore[misc]
          for name, part in parts.items()),
        Row(section, 'bare forward pass, median / shortest',
            tuple(forward / shortest for forward in alone), '', load)]


PLACES = {'separate': 'inference in another process', 'thread': 'in a thread of the same process',
          'callback': 'in a callback of the same executor'}


def jitter_rows(size: Size, checkpoint: str, progress: Progress) -> list[Row]:
    """Return how punctual a control loop of 50 Hz is beside back-to-back inference (G10)."""
    rows = []
    for design in jitter.DESIGNS:
        seconds = {name: size.shipped if (design, name) == jitter.SHIPPED else size.other
                   for name in jitter.EXECUTORS if is_available(name)}
        found = jitter.measure(design, {'checkpoint': checkpoint, 'forward': size.forward},
                               seconds, size.repeats, progress)
        load = load_average()
        for name, repeats in found.items():
            rows += _jitter_rows((design, name), repeats, load, size.forward)
    return rows


def _jitter_rows(design: tuple[str, str], found: Sequence[jitter.Punctuality], load: float,
                 forward: float) -> list[Row]:
    section = f'Control loop of 50 Hz beside inferences of {1e3 * forward:.0f} ms, back to back'
    name = f'{PLACES[design[0]]}, {design[1]}'
    repeats, witness = [one.ticks for one in found], [one.asleep for one in found]
    missed, p95 = _missed(repeats), _p95(repeats)
    p50, p99, worst = (1e3 * statistics.median(getattr(one, key) for one in repeats)
                       for key in ('p50', 'p99', 'worst'))
    due = sum(one.due for one in repeats)
    counted = f'missed {sum(one.missed for one in repeats)} of {due} ticks'
    asleep, cpu = (statistics.median(values) for values in (
        _p95(witness), [100.0 * one.cpu for one in found]))
    note = (f'p50 {p50:.2f} ms, p99 {p99:.1f} ms, worst {worst:.0f} ms; only sleeping: p95 '
            f'{asleep:.2f} ms; {cpu:.1f} % of a core')
    error, ticks = f'{name}: period error p95', f'{name}: ticks missed'
    if design == jitter.NAIVE:
        return [gated(section, ticks, missed, '%', load, '> 50 %, else this shows nothing',
                      lambda value: value > 50.0, f'{counted}; {note}')]
    if design == jitter.SHIPPED:
        return [gated(section, ticks, missed, '%', load, '0', lambda value: value == 0, counted,
                      _missed(witness)),
                gated(section, error, p95, 'ms', load, '<= 1 ms', lambda value: value <= 1.0,
                      note, _p95(witness))]
    return [Row(section, error, p95, 'ms', load, note=f'{counted}; {note}')]


def _missed(repeats: Sequence[jitter.Jitter]) -> tuple[float, ...]:
    return tuple(100.0 * one.missed / max(1, one.due) for one in repeats)


def _p95(repeats: Sequence[jitter.Jitter]) -> tuple[float, ...]:
    return tuple(1e3 * one.p95 for one in repeats)


def swap_rows(size: Size, checkpoints: tuple[str, str], progress: Progress) -> list[Row]:
    """Return what a control loop of 50 Hz notices of checkpoint swaps (G9)."""
    rows = []
    for resident in (2, 1):
        found = swap.measure(checkpoints, resident, size.swaps * size.repeats, progress)
        load = load_average()
        section = f'Checkpoint swap, resident: {resident}, control loop of 50 Hz beside it'
        period = 1.0 / swap.RATE
        missed, gap = _by_repeat([(one.missed, one.worst_gap / period) for one in found.swaps],
                                 size.swaps)
        missed_asleep, gap_asleep = _by_repeat(
            [(number, worst / period) for number, worst in found.witness], size.swaps)
        rows += [
            gated(section, 'control ticks missed', missed, '', load, '0',
                  lambda value: value == 0, witness=missed_asleep),
            gated(section, 'longest time between two ticks', gap, 'periods', load, '< 1.5',
                  lambda value: value < 1.5, witness=gap_asleep),
            Row(section, 'the same of a process that only sleeps', gap_asleep, 'periods', load),
            Row(section, 'the same without a swap', (found.undisturbed_gap / period,),
                'periods', load),
            Row(section, 'from the request to the new checkpoint', tuple(
                1e3 * one.answer for one in found.swaps), 'ms', load),
            Row(section, 'longest time without a chunk', tuple(
                1e3 * one.without_chunk for one in found.swaps), 'ms', load),
            Row(section, 'usual time between chunks', tuple(
                1e3 * one.usual for one in found.swaps), 'ms', load)]
    return rows


def _by_repeat(swaps: Sequence[tuple[int, float]], together: int,
               ) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the missed ticks and the longest gap of every repeat of ``together`` swaps."""
    groups = [swaps[first:first + together] for first in range(0, len(swaps), together)]
    return (tuple(float(sum(missed for missed, _ in group)) for group in groups),
            tuple(max(gap for _, gap in group) for group in groups))


SECTIONS = ('transport', 'node', 'jitter', 'swap')


def run(names: Iterable[str], size: Size, checkpoints: tuple[str, str], progress: Progress,
        ) -> list[Row]:
    """Return the rows of the named sections."""
    measures: dict[str, Callable[[], list[Row]]] = {
        'transport': lambda: transport_rows(size, progress),
        'node': lambda: node_rows(size, checkpoints[0], progress),
        'jitter': lambda: jitter_rows(size, checkpoints[0], progress),
        'swap': lambda: swap_rows(size, checkpoints, progress)}
    return [row for name in names for row in measures[name]()]


def machine(seconds: float) -> str:
    """Return what it was measured on."""
    return (f'{os.cpu_count()} CPU cores ({platform.machine()}), Python '
            f'{platform.python_version()}, load average {load_average():.1f} at the end, '
            f'{seconds:.0f} s')


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return 0; 1 if a gate failed, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog='python -m bench.runtime', description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='one short repeat of everything')
    parser.add_argument('--only', action='append', choices=SECTIONS, metavar='SECTION',
                        help=f'one of {", ".join(SECTIONS)}; may be repeated (default: all)')
    parser.add_argument('--checkpoint', default='reference', help='default: %(default)s')
    parser.add_argument('--other', default='reference-half',
                        help='checkpoint to swap to (default: %(default)s)')
    parser.add_argument('--json', type=Path, help='write the numbers here')
    parser.add_argument('--page', type=Path, help='write the table into this page, between '
                        f'{PAGE_MARKS[0]} and {PAGE_MARKS[1]}')
    args = parser.parse_args(arguments)
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f'{time.monotonic() - began:4.0f} s  {text}', file=sys.stderr, flush=True)

    try:
        preflight.require([preflight.check_ros])
        with preflight.private_domain():
            rows = run(args.only or SECTIONS, QUICK if args.quick else WHOLE,
                       (args.checkpoint, args.other), progress)
        where = machine(time.monotonic() - began)
        if args.page:
            write_between_marks(args.page, f'{where}\n\n{as_markdown(rows)}', *PAGE_MARKS)
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{as_text(rows)}\n\n{where}')
    for verdict, why in (('FAIL', ''), ('BUSY', ' (the machine was too busy to tell)')):
        for row in with_verdict(rows, verdict):
            print(f'{verdict}: {row.section}: {row.name}: {row.shown}, wanted {row.gate}{why}')
    if args.json:
        args.json.write_text(json.dumps(
            {'machine': where, 'rows': [asdict(row) | {'verdict': row.verdict} for row in rows]},
            indent=1))
    return 1 if with_verdict(rows, 'FAIL') else 0


if __name__ == '__main__':
    sys.exit(measure())
