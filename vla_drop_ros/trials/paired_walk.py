# SPDX-License-Identifier: Apache-2.0
"""The walk of the two discordant counts over the pairs of a study, followed exactly.

A pair adds one to ``b`` (solved by the candidate only) with probability p, one to ``c`` (by the
baseline only) with probability q, and nothing otherwise. A rule that stops is a set of (b, c) at
every number of pairs; the walk gives the probability that it stops by then: no simulation, so no
error but that of floating point. The cost grows with the cube of the pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# Pairs -> (b, c) table that says where the rule rejects; None where it does not look.
Rule = Callable[[int], Flags | None]
TIE = 1e-9  # scores closer than this are one score, however the processor rounds


def scores(n: int, margin: float) -> Array:
    """Return Tango's score of every (b, c) after n pairs, shape (n + 1, n + 1).

    The same as ``statistics.tango_z``; -inf where b + c > n, which cannot be.
    """
    b = np.arange(n + 1.0)[:, None]
    c = np.arange(n + 1.0)[None, :]
    linear = -b - c - (2 * n - b + c) * margin
    constant = c * margin * (1 + margin)
    q = (np.sqrt(np.maximum(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    numerator = b - c + n * margin
    variance = n * (2 * q - margin * (1 + margin))
    flat = variance <= 1e-12 * n
    with np.errstate(divide='ignore', invalid='ignore'):
        found = numerator / np.sqrt(np.where(flat, np.nan, variance))
    edge = np.where(np.abs(numerator) < TIE, 0.0, np.copysign(np.inf, numerator))
    found = np.where(flat, edge, found)
    return np.where(b + c > n, -np.inf, found)


class Walk:
    """Probabilities of the counts after n pairs, for several truths at once.

    Attributes:
        n: pairs so far.
        mass: probability of (b, c), shape (pairs + 1, pairs + 1, truths).
        reachable: where any mass can be, shape (pairs + 1, pairs + 1).

    """

    def __init__(self, pairs: int, truths: int) -> None:
        """Stand before the first pair, with room for so many pairs and truths."""
        self.n = 0
        self.mass = np.zeros((pairs + 1, pairs + 1, truths))
        self.mass[0, 0] = 1.0
        self.reachable = np.zeros((pairs + 1, pairs + 1), bool)
        self.reachable[0, 0] = True
        self._row = np.empty((pairs + 1, truths))

    def step(self, p: Array, q: Array) -> None:
        """Walk one pair; p and q, shape (truths,), are of 'candidate only', 'baseline only'."""
        n, stay = self.n, np.maximum(0.0, 1.0 - p - q)
        for b in range(n + 1, -1, -1):  # in place: row b needs the old rows b and b - 1
            here, moved = self.mass[b], self._row
            width = n - b + 1  # c may have been 0 .. n - b
            np.multiply(here[:width], q, out=moved[:width])
            here[:width] *= stay
            here[1:width + 1] += moved[:width]
            if b:
                np.multiply(self.mass[b - 1, :width + 1], p, out=moved[:width + 1])
                here[:width + 1] += moved[:width + 1]
        before = self.reachable.copy()
        self.reachable[1:] |= before[:-1]
        self.reachable[:, 1:] |= before[:, :-1]
        self.n = n + 1

    def absorb(self, region: Flags) -> Array:
        """Take what lies in a region (n + 1, n + 1) out of the walk; return it per truth."""
        size = self.n + 1
        chosen = np.nonzero(region & self.reachable[:size, :size])
        found = self.mass[chosen].sum(axis=0)
        self.mass[chosen] = 0.0
        self.reachable[chosen] = False
        return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Crossing:
    """When a rule rejects.

    Attributes:
        by_pair: probability that it has rejected by pair 1, 2, ..., shape (pairs, truths).

    """

    by_pair: Array

    @property
    def power(self) -> Array:
        """Return the probability of rejecting at all, shape (truths,)."""
        return self.by_pair[-1]

    @property
    def mean_pairs(self) -> Array:
        """Return the expected pairs of a study that stops when it rejects, shape (truths,)."""
        return 1.0 + np.asarray((1.0 - self.by_pair[:-1]).sum(axis=0))

    def quantile(self, share: float) -> npt.NDArray[np.int64]:
        """Return the pair by which this share of studies has rejected; 0 where never."""
        reached = self.by_pair >= share
        return np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, 0)


def crossing(rule: Rule, pairs: int, p: npt.ArrayLike, q: npt.ArrayLike) -> Crossing:
    """Return when a rule rejects under given truths.

    Args:
        rule: where it rejects.
        pairs: at most.
        p: probability of 'candidate only', shape (truths,) for truths that stay, (pairs, truths)
            for truths that change from pair to pair.
        q: the same of 'baseline only'.

    """
    p, q = np.atleast_1d(np.asarray(p, float)), np.atleast_1d(np.asarray(q, float))
    if p.shape != q.shape or (p.ndim == 2 and len(p) < pairs):
        raise ValueError(f'truths of shapes {p.shape} and {q.shape} for {pairs} pairs')
    walk = Walk(pairs, p.shape[-1])
    found = np.zeros((pairs, p.shape[-1]))
    total = np.zeros(p.shape[-1])
    for n in range(1, pairs + 1):
        walk.step(*((p[n - 1], q[n - 1]) if p.ndim == 2 else (p, q)))
        region = rule(n)
        if region is not None:
            total = total + walk.absorb(region)
        found[n - 1] = total
    return Crossing(np.minimum(found, 1.0))


def worst_adversary(rule: Rule, pairs: int, margin: float) -> float:
    """Return the rejection probability under the worst truth that may react to every outcome.

    Before each pair the adversary picks any p, q with p - q <= -margin, knowing the counts. What
    it can gain is linear in (p, q), so it picks a corner: backward induction over three of them.
    """
    corners = ((max(0.0, -margin), max(0.0, margin)), ((1 - margin) / 2, (1 + margin) / 2),
               (0.0, 1.0))
    value = np.zeros((pairs + 2, pairs + 2))
    for n in range(pairs, -1, -1):
        here, on_b, on_c = value[:n + 1, :n + 1], value[1:n + 2, :n + 1], value[:n + 1, 1:n + 2]
        best = np.maximum.reduce([p * on_b + q * on_c + (1 - p - q) * here for p, q in corners])
        region = rule(n) if n else None
        value[:n + 1, :n + 1] = best if region is None else np.where(region, 1.0, best)
    return float(value[0, 0])


def one_look(pairs: int, margin: float, alpha: float) -> Rule:
    """Return the rule of a single look at the end: Tango's score at its normal quantile."""
    bound = float(norm.isf(alpha))
    return lambda n: scores(n, margin) >= bound if n == pairs else None


def peeking(margin: float, alpha: float, looks: Sequence[int]) -> Rule:
    """Return the rule that must not be used: the fixed-n test at every look. A warning example."""
    bound, allowed = float(norm.isf(alpha)), set(looks)
    return lambda n: scores(n, margin) >= bound if n in allowed else None


def mirrored(rule: Rule) -> Rule:
    """Return the rule for the other direction: candidate and baseline change places."""
    def mirror(n: int) -> Flags | None:
        region = rule(n)
        return None if region is None else region.T

    return mirror
