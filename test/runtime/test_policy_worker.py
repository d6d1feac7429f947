# SPDX-License-Identifier: Apache-2.0
"""Inference and loading never wait for each other, and a failure changes nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
import queue
import threading
import time
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.runtime.cadence import Stages
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
        self.checkpoint, self.closed, self.resets, self.mood = name, False, 0, ''
        self.gate, self.started = threading.Event(), threading.Event()
        self.gate.set()

    def infer(self, observation: Observation) -> ActionChunk:
        self.started.set()
        assert self.gate.wait(WAIT)
        if self.mood == 'raises' or observation.instruction == 'fail':
            raise RuntimeError('broken')
        action = np.nan if self.mood == 'nan' else 0.0
        spec = replace(SPEC, period=0.2) if self.mood == 'foreign' else SPEC
        return ActionChunk(observation.stamp, np.full((1, 1), action), spec, 0.0, self.checkpoint)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Bench:
    """A worker whose events arrive in one queue."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.policies = {name: FakePolicy(name) for name in ('a', 'b', 'c')}
        self.stages: list[Stages] = []
        self.loading, self.may_load = threading.Event(), threading.Event()
        self.may_load.set()
        self.worker: PolicyWorker[tuple[float, str]] = PolicyWorker(self.load, self.observe, self)

    def load(self, path: str) -> FakePolicy:
        self.loading.set()
        assert self.may_load.wait(WAIT)
        if path not in self.policies:
            raise CheckpointError('no such folder')
        return self.policies[path]

    def observe(self, policy: Any, work: tuple[float, str]) -> Observation:
        return Observation(work[0], {}, np.zeros(1), work[1])

    def on_chunk(self, chunk: ActionChunk, work: tuple[float, str]) -> None:
        self.events.put(('chunk', chunk.checkpoint, work[0]))

    def on_timed(self, stages: Stages, work: tuple[float, str]) -> None:
        self.stages.append(stages)

    def on_policy(self, policy: Any, path: str) -> None:
        self.events.put(('policy', path))

    def on_load_failed(self, path: str, reason: str) -> None:
        self.events.put(('load failed', reason))

    def on_infer_failed(self, reason: str) -> None:
        self.events.put(('infer failed', reason))

    def next(self) -> tuple[Any, ...]:
        return self.events.get(timeout=WAIT)

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.001)


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


def test_submit_waits_until_an_idle_thread_has_begun(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was submitted to an idle thread has begun, and a busy thread is not waited for."""
    monkeypatch.setattr('vla_drop_ros.runtime.policy_worker.HAND_OVER', 100 * WAIT)
    policy = bench.policies['a']
    bench.until(lambda: bench.worker.is_idle)
    policy.gate.clear()  # an inference that waits longer than WAIT fails
    for stamp in (1.0, 2.0):
        bench.worker.submit((stamp, 'go'))
    policy.gate.set()
    assert [bench.next(), bench.next()] == [('chunk', 'a', 1.0), ('chunk', 'a', 2.0)]


def test_swap_happens_between_two_inferences(bench: Bench) -> None:
    """The running inference ends on the old policy, the next one runs on the new."""
    policy = bench.policies['a']
    policy.gate.clear()
    bench.worker.submit((1.0, 'go'))
    assert policy.started.wait(WAIT)
    bench.worker.request_load('b')
    bench.until(lambda: bench.worker._next is not None)
    bench.worker.submit((2.0, 'go'))
    policy.gate.set()
    assert [bench.next() for _ in range(3)] == [
        ('chunk', 'a', 1.0), ('policy', 'b'), ('chunk', 'b', 2.0)]
    bench.until(lambda: policy.closed)
    assert not bench.policies['b'].closed


@pytest.mark.parametrize('mood', ['raises', 'nan', 'foreign'])
def test_a_policy_without_a_good_first_chunk_steps_back(bench: Bench, mood: str) -> None:
    """The one before is kept until then; it answers the very request that the new one failed."""
    bench.policies['b'].mood = mood
    bench.worker.request_load('b')
    assert bench.next() == ('policy', 'b')
    assert not bench.policies['a'].closed
    bench.worker.submit((1.0, 'go'))
    assert bench.next() == ('policy', 'a')
    event, reason = bench.next()
    assert event == 'load failed' and 'first inference failed' in reason
    assert bench.next() == ('chunk', 'a', 1.0)
    bench.until(lambda: bench.policies['b'].closed)
    assert not bench.policies['a'].closed


def test_a_proven_policy_is_not_taken_back(bench: Bench) -> None:
    """After its first good chunk the one before is gone, and a failure is only a failure."""
    bench.worker.request_load('b')
    bench.next()
    bench.worker.submit((1.0, 'go'))
    assert bench.next() == ('chunk', 'b', 1.0)
    bench.until(lambda: bench.policies['a'].closed)
    bench.worker.submit((2.0, 'fail'))
    assert bench.next()[0] == 'infer failed'
    bench.worker.submit((3.0, 'go'))
    assert bench.next() == ('chunk', 'b', 3.0)


def test_an_unproven_policy_gives_way_to_the_next(bench: Bench) -> None:
    """Three in a row without an inference: the last steps back to the first, not to the second."""
    for name in ('b', 'c'):
        bench.worker.request_load(name)
        assert bench.next() == ('policy', name)
    bench.until(lambda: bench.policies['b'].closed)
    bench.policies['c'].mood = 'raises'
    bench.worker.submit((1.0, 'go'))
    assert bench.next() == ('policy', 'a')
    assert bench.next()[0] == 'load failed'
    assert bench.next() == ('chunk', 'a', 1.0)


def test_the_latest_request_wins(bench: Bench) -> None:
    """What was asked for while another one was loading takes over, that one never does."""
    bench.loading.clear()
    bench.may_load.clear()
    bench.worker.request_load('b')
    assert bench.loading.wait(WAIT)
    bench.worker.request_load('absent')
    bench.worker.request_load('c')
    assert not bench.worker.is_settled
    bench.may_load.set()
    assert bench.next() == ('policy', 'c')
    assert bench.policies['b'].closed
    bench.until(lambda: bench.worker.is_settled)


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


def test_stages_are_timed(bench: Bench) -> None:
    """The time that a policy takes is inference, the rest is small."""
    policy = bench.policies['a']
    policy.gate.clear()
    bench.worker.submit((1.0, 'go'))
    assert policy.started.wait(WAIT)
    begin = time.perf_counter()
    bench.until(lambda: time.perf_counter() - begin > 0.05)
    policy.gate.set()
    bench.next()
    bench.until(lambda: bench.stages)
    stages, = bench.stages
    assert stages.inference > 0.05 > 0.0 <= min(stages.queue, stages.observe, stages.publish)


def test_stop_closes_the_policies() -> None:
    """After stop no thread is left and all memory is given back, that of an unproven one too."""
    bench = Bench()
    for name in ('a', 'b'):
        bench.worker.request_load(name)
        bench.next()
    assert bench.worker.stop(WAIT)
    assert bench.policies['a'].closed and bench.policies['b'].closed


def test_a_hanging_inference_ends_unheard() -> None:
    """Who stopped waiting hears nothing of it later, and its memory is given back then."""
    bench = Bench()
    policy = bench.policies['a']
    bench.worker.request_load('a')
    bench.next()
    policy.gate.clear()
    bench.worker.submit((1.0, 'go'))
    assert policy.started.wait(WAIT)
    assert not bench.worker.stop(0.05)
    assert not policy.closed
    policy.gate.set()
    bench.until(lambda: policy.closed)
    assert bench.events.empty()
