# SPDX-License-Identifier: Apache-2.0
"""What a control loop in its own process notices of a checkpoint swap on the policy node."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, ExitStack
from dataclasses import replace
import time
from typing import NamedTuple

import numpy as np
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from bench.child import Child
from bench.inference import INSTRUCTION
from bench.node_work import ROBOT
from vla_drop_ros.bringup import find_checkpoint, pick_place, process_environment
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.supervisor import Running

RATE = 50.0          # [Hz] of the control loop
REPLAN_PERIOD = 0.1  # [s]
BEFORE = 4.0         # [s] without a swap, to compare with
AFTER = 1.0          # [s] after a swap that still count
ANSWER = 60.0        # [s] that a swap may take


class Swaps(NamedTuple):
    """What all swaps of a node did.

    Attributes:
        swaps: one after the other.
        undisturbed_gap: longest time between two control ticks before the first swap, [s].
        witness: for each swap what a process that only sleeps missed: ticks, longest gap [s].

    """

    swaps: list['Swap']
    undisturbed_gap: float
    witness: list[tuple[int, float]]


class Swap(NamedTuple):
    """One swap, [s].

    Attributes:
        missed: control ticks that failed to come.
        worst_gap: longest time between two of them.
        answer: from the request to the first word of the new checkpoint.
        without_chunk: longest time between two chunks.
        usual: median time between two chunks before the swap.

    """

    missed: int
    worst_gap: float
    answer: float
    without_chunk: float
    usual: float


def swap_of(span: tuple[float, float], answered: float, ticks: Sequence[float],
            chunks: Sequence[float], rate: float = RATE) -> Swap:
    """Return what happened between the times of ``span``, from request to the end.

    Args:
        span: when the swap was asked for and when the watch ended, [s].
        answered: when the new checkpoint answered, [s].
        ticks: of the control loop, [s].
        chunks: times at which chunks came, [s].
        rate: of the control loop, [Hz].

    """
    missed, worst_gap = gaps(ticks, span, rate)
    before = np.diff([one for one in chunks if one < span[0]])
    return Swap(
        missed, worst_gap, answered - span[0], float(np.diff(_inside(chunks, span)).max()),
        float(np.median(before)))


def gaps(ticks: Sequence[float], span: tuple[float, float], rate: float = RATE,
         ) -> tuple[int, float]:
    """Return how many ticks failed to come in a span, and the longest time between two, [s]."""
    inside = _inside(ticks, span)
    due = round((inside[-1] - inside[0]) * rate)
    return max(0, due - len(inside) + 1), float(np.diff(inside).max())


def _inside(times: Sequence[float], span: tuple[float, float]) -> list[float]:
    """Return the times of a span and the last before it."""
    before = [one for one in times if one < span[0]][-1:]
    return before + [one for one in times if span[0] <= one <= span[1]]


def measure(checkpoints: tuple[str, str], resident: int, swaps: int,
            progress: Callable[[str], None] = lambda text: None) -> Swaps:
    """Return what each swap did, from one checkpoint to the other and back.

    Args:
        checkpoints: folders or names in models; the first answers at the beginning.
        resident: checkpoints that the node keeps in memory; with 2 both are there already.
        swaps: how many.
        progress: hears what is done.

    """
    first = 2 if resident > 1 else 0  # loads both; not counted
    folders = [str(find_checkpoint(name)) for name in checkpoints]
    graph = pick_place(checkpoint=folders[0], simulator='false', instruction=INSTRUCTION)
    policy = next(node for node in graph.nodes if node.name == 'policy_node')
    graph = replace(graph, nodes=(replace(policy, parameters={
        **policy.parameters, 'resident': resident, 'replan_period': REPLAN_PERIOD}),))
    environment = process_environment()
    spans: list[tuple[float, float]] = []
    with ExitStack() as stack:
        control = stack.enter_context(Child('bench.control', {'rate': RATE}, environment))
        robot = stack.enter_context(Child('bench.robot', ROBOT, environment))
        witness = stack.enter_context(Child('bench.witness', {'rate': RATE}))
        stack.enter_context(Running(graph))
        ask = stack.enter_context(operator())
        for child, told in ((control, 'checkpoint'), (robot, 'heard')):
            child.expect(told, timeout=ANSWER)
        robot.ask(play=0.0)
        control.expect('first_chunk', timeout=ANSWER)
        began = time.monotonic()
        time.sleep(BEFORE)
        for number in range(first + swaps):
            progress(f'checkpoint swap {number + 1}/{first + swaps}, resident: {resident}')
            begin = time.monotonic()
            ask(folders[(number + 1) % 2])
            control.expect('checkpoint', timeout=ANSWER)
            time.sleep(AFTER)
            spans.append((begin, time.monotonic()))
        control.ask(report=True)
        noted = control.expect_all('ticks', 'chunks', 'checkpoints')
        witness.ask(report=True)
        seen = witness.expect('ticks')
    answered = [when for when, _ in noted['checkpoints']][1:]  # the first was there before
    pairs = list(zip(spans, answered, strict=True))[first:]
    return Swaps(
        [swap_of(span, when, noted['ticks'], noted['chunks']) for span, when in pairs],
        gaps(noted['ticks'], (began, spans[0][0]))[1], [gaps(seen, span) for span, _ in pairs])


@contextmanager
def operator() -> Iterator[Callable[[str], None]]:
    """Yield a function that sets the checkpoint of the policy node."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node('bench_operator', context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    client = node.create_client(SetParameters, 'policy_node/set_parameters')

    def ask(checkpoint: str) -> None:
        if not client.wait_for_service(ANSWER):
            raise VlaDropError('the policy node does not answer')
        future = client.call_async(SetParameters.Request(
            parameters=[Parameter('checkpoint', value=checkpoint).to_parameter_msg()]))
        rclpy.spin_until_future_complete(node, future, executor, timeout_sec=ANSWER)
        if not future.done() or not future.result().results[0].successful:
            raise VlaDropError(f'the policy node did not take the checkpoint {checkpoint!r}')

    try:
        yield ask
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
