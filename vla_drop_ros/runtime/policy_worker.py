# SPDX-License-Identifier: Apache-2.0
"""Inference and loading, each in a thread of its own, so that no callback ever waits for them.

One slot for work, newest wins; one slot for the next policy, newest wins. A policy is
loaded beside the running one and takes over between two inferences; a failed load changes
nothing.
"""

from collections.abc import Callable, Mapping
import threading
import time
import traceback
from typing import Generic, Protocol, TypeVar

from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

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
        """Take a finished chunk and the work it was made from."""

    def on_policy(self, policy: Infers, path: str) -> None:
        """A newly loaded policy answers from now on."""

    def on_load_failed(self, path: str, reason: str) -> None:
        """The policy at ``path`` could not be loaded; the one before stays."""

    def on_infer_failed(self, reason: str) -> None:
        """One inference failed; the next is tried as usual."""


class PolicyWorker(Generic[Work]):
    """Two threads: one infers, one loads."""

    def __init__(self, load: Callable[[str], Infers],
                 observe: Callable[[Infers, Work], Observation],
                 listener: Listener[Work]) -> None:
        """Start both threads.

        Args:
            load: returns a verified, warmed-up policy, or raises.
            observe: turns submitted work into an observation; runs in the inference thread.
            listener: hears the results.

        """
        self._load = load
        self._observe = observe
        self._listener = listener
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._work: Work | None = None
        self._path: str | None = None
        self._next: tuple[Infers, str] | None = None
        self._policy: Infers | None = None
        self._reset_wanted = False
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in (
            (self._infer_loop, 'inference'), (self._load_loop, 'checkpoint loader'))]
        for thread in self._threads:
            thread.start()

    @property
    def policy(self) -> Infers | None:
        """Return the policy that answers now, or None before the first has loaded."""
        return self._policy

    @property
    def is_idle(self) -> bool:
        """Say whether work submitted now would start at once."""
        with self._wake:
            return self._policy is not None and self._work is None and not self._busy

    def submit(self, work: Work) -> None:
        """Put work into the slot; work that has not begun is replaced."""
        with self._wake:
            self._work = work
            self._wake.notify_all()

    def request_reset(self) -> None:
        """Let the policy forget the past before its next inference."""
        self._reset_wanted = True

    def request_load(self, path: str) -> None:
        """Ask for the policy at ``path``; a request that has not begun is replaced."""
        with self._wake:
            self._path = path
            self._wake.notify_all()

    def stop(self, timeout: float) -> bool:
        """End both threads and close the policy; False when one still runs after ``timeout`` s."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended:
            for policy in (self._policy, self._next[0] if self._next else None):
                if policy is not None:
                    policy.close()
            self._policy = self._next = None
        return ended

    def _infer_loop(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.wait_for(lambda: self._stopping or self._next or (
                    self._policy and self._work is not None))
                if self._stopping:
                    return
                upcoming, self._next = self._next, None
                work, self._work = (None, self._work) if upcoming else (self._work, None)
                self._busy = True
            if upcoming is not None:
                self._take_over(*upcoming)
            elif work is not None and self._policy is not None:
                self._infer(self._policy, work)

    def _take_over(self, policy: Infers, path: str) -> None:
        previous, self._policy = self._policy, policy
        self._listener.on_policy(policy, path)
        if previous is not None:
            previous.close()

    def _infer(self, policy: Infers, work: Work) -> None:
        try:
            observation = self._observe(policy, work)
            if self._reset_wanted:
                self._reset_wanted = False
                policy.reset()
            self._listener.on_chunk(policy.infer(observation), work)
        except VlaDropError as error:
            self._listener.on_infer_failed(str(error))
        except Exception:  # noqa: BLE001 - a thread boundary: the gate holds, the operator reads
            self._listener.on_infer_failed(traceback.format_exc())

    def _load_loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._path is not None)
                if self._stopping or self._path is None:
                    return
                path, self._path = self._path, None
            try:
                policy = self._load(path)
            except VlaDropError as error:
                self._listener.on_load_failed(path, str(error))
            except Exception:  # noqa: BLE001 - a thread boundary: the old policy stays
                self._listener.on_load_failed(path, traceback.format_exc())
            else:
                self._hand_over(policy, path)

    def _hand_over(self, policy: Infers, path: str) -> None:
        with self._wake:
            skipped, self._next = self._next, (policy, path)
            if self._stopping:
                skipped, self._next = self._next, None
            self._wake.notify_all()
        if skipped is not None:
            skipped[0].close()
