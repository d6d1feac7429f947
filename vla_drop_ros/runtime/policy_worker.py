# SPDX-License-Identifier: Apache-2.0
"""Inference and loading, each in a thread of its own, so that no callback ever waits for them.

One slot for work, newest wins; one slot for the next policy, newest wins. A policy is
loaded beside the running one and takes over between two inferences; a failed load changes
nothing. The one before stays until the new one has given a chunk that can be executed: if its
first inference fails, the old one answers again, and the same request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import threading
import time
import traceback
from typing import Generic, Protocol, TypeVar

import numpy as np

from vla_drop_ros.errors import ActionSpecMismatchError, VlaDropError
from vla_drop_ros.runtime.cadence import Stages
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

HAND_OVER = 0.002
"""Longest wait of who submits until the work has begun, [s]."""

Work = TypeVar('Work')
Heard = TypeVar('Heard', contravariant=True)


class Infers(Protocol):
    """What the worker needs of a policy."""

    spec: ActionSpec
    cameras: Mapping[str, CameraSpec]
    state_names: tuple[str, ...]
    checkpoint: str

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the chunk for one observation."""

    def reset(self) -> None:
        """Forget the past."""

    def close(self) -> None:
        """Free the memory."""


class Listener(Protocol[Heard]):
    """Who hears what the worker did; called from its threads, must not block."""

    def on_chunk(self, chunk: ActionChunk, work: Heard) -> None:
        """Take a finished chunk, all finite, and the work it was made from."""

    def on_timed(self, stages: Stages, work: Heard) -> None:
        """Hear where the time of the chunk went that ``on_chunk`` has just taken."""

    def on_policy(self, policy: Infers, path: str) -> None:
        """A newly loaded policy, or the one before it again, answers from now on."""

    def on_load_failed(self, path: str, reason: str) -> None:
        """The policy at ``path`` could not be loaded or gave no chunk; the one before stays."""

    def on_infer_failed(self, reason: str) -> None:
        """One inference failed; the next is tried as usual."""


@dataclass(frozen=True, slots=True)
class _Seated:
    """A policy and where it was loaded from."""

    policy: Infers
    path: str


class PolicyWorker(Generic[Work]):
    """Two threads: one infers, one loads."""

    def __init__(self, load: Callable[[str], Infers],
                 observe: Callable[[Infers, Work], Observation],
                 listener: Listener[Work], steps_back: bool = True) -> None:
        """Start both threads.

        Args:
            load: returns a verified, warmed-up policy, or raises.
            observe: turns submitted work into an observation; runs in the inference thread.
            listener: hears the results.
            steps_back: whether the policy before answers again when the first inference of a new
                one fails; in a blinded trial no other may.

        """
        self._load = load
        self._observe = observe
        self._listener = listener
        self._steps_back = steps_back
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._loading = False
        self._work: tuple[Work, float] | None = None
        self._path: str | None = None
        self._next: _Seated | None = None
        self._seated: _Seated | None = None
        self._before: _Seated | None = None  # while the seated one has given no chunk yet
        self._reset_wanted = False
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in (
            (self._infer_loop, 'inference'), (self._load_loop, 'checkpoint loader'))]
        for thread in self._threads:
            thread.start()

    @property
    def policy(self) -> Infers | None:
        """Return the policy that answers now, or None before the first has loaded."""
        seated = self._seated
        return seated.policy if seated else None

    @property
    def is_idle(self) -> bool:
        """Say whether work submitted now would start at once."""
        with self._wake:
            waits = not (self._steps_back or self.is_settled)  # what comes next is for the next
            return (self._seated is not None and self._work is None and not self._busy
                    and not waits)

    @property
    def is_settled(self) -> bool:
        """Say whether no other policy is being loaded or about to take over."""
        with self._wake:
            return self._path is None and self._next is None and not self._loading

    def submit(self, work: Work) -> None:
        """Put work into the slot; work that has not begun is replaced.

        Waits a moment for an idle thread to begin: it needs the interpreter, which an executor
        would keep until it has looked at all its entities.
        """
        with self._wake:
            self._work = (work, time.perf_counter())
            self._wake.notify_all()
            if self._seated is not None and not self._busy:
                self._wake.wait_for(lambda: self._work is None, HAND_OVER)

    def request_reset(self) -> None:
        """Let the policy forget the past before its next inference."""
        self._reset_wanted = True

    def request_load(self, path: str) -> None:
        """Ask for the policy at ``path``; a request that has not begun is replaced."""
        with self._wake:
            self._path = path
            self._wake.notify_all()

    def stop(self, timeout: float) -> bool:
        """End both threads and close the policies; False when one still runs after ``timeout`` s.

        A thread that is still busy then ends after what it does, closes its policies, and tells
        nobody.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _infer_loop(self) -> None:
        try:
            while True:
                with self._wake:
                    self._busy = False
                    self._wake.wait_for(lambda: self._stopping or self._next or (
                        self._seated and self._work is not None))
                    if self._stopping:
                        return
                    upcoming, self._next = self._next, None
                    work, self._work = (None, self._work) if upcoming else (self._work, None)
                    self._busy = True
                    self._wake.notify_all()
                if upcoming is not None:
                    self._take_over(upcoming)
                elif work is not None:
                    self._infer(*work)
        finally:
            with self._wake:
                left, self._next = (self._seated, self._before, self._next), None
                self._seated = self._before = None
            for seated in left:
                self._close(seated)

    def _take_over(self, upcoming: _Seated) -> None:
        if not self._steps_back:
            left = self._seated
            self._seat(upcoming)
            self._close(left)
            return
        unproven = self._seated if self._before else None  # its successor came before its chunk
        self._before = self._before or self._seated
        self._seat(upcoming)
        self._close(unproven)

    def _seat(self, seated: _Seated) -> None:
        self._seated = seated
        try:
            self._listener.on_policy(seated.policy, seated.path)
        except Exception as error:  # noqa: BLE001 - who listens must not end the inference
            self._tell_failure(error)

    def _infer(self, work: Work, submitted: float) -> None:
        assert self._seated is not None
        begun = time.perf_counter()
        try:
            observation, seen = self._observe(self._seated.policy, work), time.perf_counter()
            chunk = self._answer(self._seated.policy, observation)
        except Exception as error:  # noqa: BLE001 - a thread boundary: the gate holds, people read
            if self._before is None or self._stopping:
                self._tell_failure(error)
            else:
                self._step_back(error)
                self._infer(work, submitted)
            return
        done = time.perf_counter()
        if self._stopping:  # whoever asked may have given up waiting
            return
        try:
            self._listener.on_chunk(chunk, work)
            self._listener.on_timed(Stages(begun - submitted, seen - begun, done - seen,
                                           time.perf_counter() - done), work)
        except Exception as error:  # noqa: BLE001 - a thread boundary
            self._tell_failure(error)
        proven, self._before = self._before, None
        self._close(proven)

    def _answer(self, policy: Infers, observation: Observation) -> ActionChunk:
        """Return a chunk that can be executed, or raise."""
        if self._reset_wanted:
            self._reset_wanted = False
            policy.reset()
        chunk = policy.infer(observation)
        if chunk.spec != policy.spec:
            raise ActionSpecMismatchError(
                f'checkpoint {policy.checkpoint} answers in another action language than it says')
        if not np.isfinite(chunk.actions).all():
            raise VlaDropError(f'checkpoint {policy.checkpoint} gave a chunk that is not finite; '
                               'load one that was verified')
        return chunk

    def _step_back(self, error: Exception) -> None:
        """Let the policy before answer again, since the seated one gave no chunk."""
        assert self._seated is not None and self._before is not None
        failed, before, self._before = self._seated, self._before, None
        self._seat(before)
        self._listener.on_load_failed(failed.path, f'its first inference failed: {told(error)}')
        self._close(failed)

    def _close(self, seated: _Seated | None) -> None:
        try:
            if seated is not None:
                seated.policy.close()
        except Exception as error:  # noqa: BLE001 - it is gone either way
            self._tell_failure(error)

    def _tell_failure(self, error: Exception) -> None:
        if not self._stopping:
            self._listener.on_infer_failed(told(error))

    def _load_loop(self) -> None:
        while True:
            with self._wake:
                self._loading = False
                self._wake.wait_for(lambda: self._stopping or self._path is not None)
                if self._stopping or self._path is None:
                    return
                path, self._path = self._path, None
                self._loading = True
            try:
                policy = self._load(path)
            except Exception as error:  # noqa: BLE001 - a thread boundary: the old policy stays
                if not self._stopping:
                    self._listener.on_load_failed(path, told(error))
            else:
                self._hand_over(_Seated(policy, path))

    def _hand_over(self, loaded: _Seated) -> None:
        superseded: _Seated | None = None
        with self._wake:
            skipped, self._next = self._next, loaded
            if self._stopping or self._path is not None:  # or somebody wants another one by now
                superseded, self._next = self._next, None
            self._wake.notify_all()
        for one in (skipped, superseded):
            self._close(one)


def told(error: Exception) -> str:
    """Return what an operator reads: the sentence of a known error, the trace of any other."""
    if isinstance(error, VlaDropError | OSError | MemoryError):
        return str(error) or type(error).__name__
    return ''.join(traceback.format_exception(error))
