# SPDX-License-Identifier: Apache-2.0
"""Inference and loading never wait for each other, and a failure changes nothing."""

from collections.abc import Iterator, Mapping
import queue
import threading
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.runtime.policy_worker import PolicyWorker
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

SPEC = ActionSpec(('x',), 'base_link', 'delta', 0.1, 1, 1)
WAIT = 5.0


class FakePolicy:
    """Answers with its own name; waits for ``gate`` in every inference."""

    spec = SPEC
    cameras: Mapping[str, CameraSpec] = {'front': CameraSpec(2, 2)}
    state_names: tuple[str, ...] = ('ee.x',)

    def __init__(self, name: str) -> None:
        self.checkpoint, self.closed, self.resets = name, False, 0
        self.gate, self.started = threading.Event(), threading.Event()
        self.gate.set()

    def infer(self, observation: Observation) -> ActionChunk:
        self.started.set()
        assert self.gate.wait(WAIT)
        if observation.instruction == 'fail':
            raise RuntimeError('broken')
        return ActionChunk(observation.stamp, np.zeros((1, 1)), SPEC, 0.0, self.checkpoint)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Bench:
    """A worker whose events arrive in one queue."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.policies = {name: FakePolicy(name) for name in ('a', 'b')}
        self.worker: PolicyWorker[tuple[float, str]] = PolicyWorker(self.load, self.observe, self)

    def load(self, path: str) -> FakePolicy:
        if path not in self.policies:
            raise CheckpointError('no such folder')
        return self.policies[path]

    def observe(self, policy: Any, work: tuple[float, str]) -> Observation:
        return Observation(work[0], {}, np.zeros(1), work[1])

    def on_chunk(self, chunk: ActionChunk, work: tuple[float, str]) -> None:
        self.events.put(('chunk', chunk.checkpoint, work[0]))

    def on_policy(self, policy: Any, path: str) -> None:
        self.events.put(('policy', path))

    def on_load_failed(self, path: str, reason: str) -> None:
        self.events.put(('load failed', reason))

    def on_infer_failed(self, reason: str) -> None:
        self.events.put(('infer failed', reason))

    def next(self) -> tuple[Any, ...]:
        return self.events.get(timeout=WAIT)


@pytest.fixture(name='bench')
def _bench() -> Iterator[Bench]:
    bench = Bench()
    bench.worker.request_load('a')
    assert bench.next() == ('policy', 'a')
    yield bench
    for policy in bench.policies.values():
        policy.gate.set()
    assert bench.worker.stop(WAIT)


def test_work_is_answered(bench: Bench) -> None:
    """A submitted request comes back as a chunk of the running policy."""
    bench.worker.submit((1.0, 'go'))
    assert bench.next() == ('chunk', 'a', 1.0)


def test_newest_work_wins(bench: Bench) -> None:
    """What waits while the policy is busy is replaced, never queued."""
    policy = bench.policies['a']
    policy.gate.clear()
    bench.worker.submit((1.0, 'go'))
    assert policy.started.wait(WAIT)
    assert not bench.worker.is_idle
    bench.worker.submit((2.0, 'go'))
    bench.worker.submit((3.0, 'go'))
    policy.gate.set()
    assert [bench.next(), bench.next()] == [('chunk', 'a', 1.0), ('chunk', 'a', 3.0)]


def test_swap_happens_between_two_inferences(bench: Bench) -> None:
    """The running inference ends on the old policy, the next one runs on the new."""
    policy = bench.policies['a']
    policy.gate.clear()
    bench.worker.submit((1.0, 'go'))
    assert policy.started.wait(WAIT)
    bench.worker.request_load('b')
    bench.worker.submit((2.0, 'go'))
    assert not policy.closed
    policy.gate.set()
    events = [bench.next() for _ in range(3)]
    assert events[0] == ('chunk', 'a', 1.0)
    assert ('policy', 'b') in events
    bench.worker.submit((3.0, 'go'))
    assert bench.next() == ('chunk', 'b', 3.0)
    assert [policy.closed for policy in bench.policies.values()] == [True, False]


def test_failed_load_keeps_the_old_policy(bench: Bench) -> None:
    """A checkpoint that cannot be loaded is reported, and the old one goes on answering."""
    bench.worker.request_load('absent')
    assert bench.next() == ('load failed', 'no such folder')
    bench.worker.submit((1.0, 'go'))
    assert bench.next() == ('chunk', 'a', 1.0)


def test_failed_inference_does_not_end_the_thread(bench: Bench) -> None:
    """An exception in a policy is reported with its text; the next request is answered."""
    bench.worker.submit((1.0, 'fail'))
    assert 'broken' in bench.next()[1]
    bench.worker.submit((2.0, 'go'))
    assert bench.next() == ('chunk', 'a', 2.0)


def test_reset_comes_before_the_next_inference(bench: Bench) -> None:
    """A new episode starts from the policy's initial noise."""
    bench.worker.request_reset()
    bench.worker.submit((1.0, 'go'))
    bench.next()
    assert bench.policies['a'].resets == 1


def test_stop_closes_the_policy() -> None:
    """After stop no thread is left and the memory is given back."""
    bench = Bench()
    bench.worker.request_load('a')
    bench.next()
    assert bench.worker.stop(WAIT)
    assert bench.policies['a'].closed
