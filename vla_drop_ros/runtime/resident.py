# SPDX-License-Identifier: Apache-2.0
"""Keeps the policies used last in memory, so that going back to one costs no time."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
import threading

from vla_drop_ros.runtime.memory import return_free_memory
from vla_drop_ros.runtime.policy_worker import Infers
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation


class _Loan:
    """A policy in use; closing it gives it back."""

    def __init__(self, policy: Infers, give_back: Callable[[], None]) -> None:
        """Stand in for ``policy``."""
        self.spec: ActionSpec = policy.spec
        self.cameras: Mapping[str, CameraSpec] = policy.cameras
        self.state_names: tuple[str, ...] = policy.state_names
        self.checkpoint: str = policy.checkpoint
        self._policy = policy
        self._give_back: Callable[[], None] | None = give_back

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the chunk for one observation."""
        return self._policy.infer(observation)

    def reset(self) -> None:
        """Forget the past."""
        self._policy.reset()

    def close(self) -> None:
        """Give it back, once."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class ResidentPolicies:
    """Loads policies and keeps at most ``limit`` of them; those in use are never closed.

    May be called from several threads; a load does not block giving back.
    """

    def __init__(self, load: Callable[[str], Infers], identify: Callable[[str], str],
                 limit: int = 1, weigh: Callable[[str], int] = lambda path: 0) -> None:
        """Keep policies of ``load``.

        Args:
            load: returns a verified, warmed-up policy for a path, or raises.
            identify: returns what the path holds now, so that a changed checkpoint is loaded.
            limit: policies kept; 1 keeps only those in use.
            weigh: returns the memory that the weights of a path take, [byte].

        """
        self._load = load
        self._identify = identify
        self._limit = limit
        self._weigh = weigh
        self._lock = threading.Lock()
        self._policies: OrderedDict[str, Infers] = OrderedDict()
        self._loans: dict[str, int] = {}
        self._weights: dict[str, int] = {}

    def load(self, path: str) -> Infers:
        """Return the policy at ``path``, from memory if it is there; close it to give it back."""
        identity = self._identify(path)
        with self._lock:
            loan = self._lend(identity)
        if loan is not None:
            return loan
        weight, policy = self._weigh(path), self._load(path)
        with self._lock:
            self._weights[identity] = weight
            if identity in self._policies:  # loaded twice at once: the first stays
                policy.close()
            self._policies.setdefault(identity, policy)
            loan = self._lend(identity)
            assert loan is not None
            self._close_surplus(self._limit)
        return loan

    def holds(self, path: str) -> bool:
        """Say whether going to ``path`` would load nothing."""
        identity = self._identify(path)
        with self._lock:
            return identity in self._policies

    @property
    def usage(self) -> tuple[int, int]:
        """Return how many policies are in memory, and what their weights take, [byte]."""
        with self._lock:
            return len(self._policies), sum(self._weights.values())

    def close(self) -> None:
        """Close every policy that is not in use."""
        with self._lock:
            self._close_surplus(0)

    def _lend(self, identity: str) -> Infers | None:
        policy = self._policies.get(identity)
        if policy is None:
            return None
        self._policies.move_to_end(identity)
        self._loans[identity] = self._loans.get(identity, 0) + 1
        return _Loan(policy, lambda: self._take_back(identity))

    def _take_back(self, identity: str) -> None:
        with self._lock:
            self._loans[identity] -= 1
            self._close_surplus(self._limit)

    def _close_surplus(self, limit: int) -> None:
        """Close what was used longest ago and is not in use, down to ``limit``."""
        before = len(self._policies)
        for identity in list(self._policies):
            if len(self._policies) > limit and not self._loans.get(identity):
                self._policies.pop(identity).close()
                self._loans.pop(identity, None)
                self._weights.pop(identity, None)
        if len(self._policies) < before:
            return_free_memory()
