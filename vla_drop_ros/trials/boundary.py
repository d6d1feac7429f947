# SPDX-License-Identifier: Apache-2.0
"""An exact boundary for looking at a paired study as often as one likes, up to a horizon.

Tango's score of the pairs so far is compared with a threshold of its own after every look. The
thresholds are the smallest ones for which the probability of a false rejection by pair n stays
within ``alpha * s(n / horizon)`` for every nuisance probability, by following the walk of the
discordant counts exactly. Stopping for any other reason, or not stopping, costs nothing.

Assumption: pairs are independent and alike, which the random order of conditions in every round
provides. ``calibration='adversarial'`` drops it: then the error also holds if the probability of
discordant pairs reacts to what came before, at the price of power.

Ingredients: alpha spending after K. K. G. Lan and D. L. DeMets, Biometrika 70 (1983) 659-663;
score after T. Tango, Statistics in Medicine 17 (1998) 891-908.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
import math
from typing import Any, get_args, Literal

import numpy as np

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.paired_walk import (
    Array,
    crossing,
    Flags,
    scores,
    TIE,
    Walk,
    worst_adversary,
)
from vla_drop_ros.trials.statistics import tango_z

Spending = Literal['linear', 'quadratic']
Calibration = Literal['iid', 'adversarial']
Progress = Callable[[int, int], None]  # pairs followed so far, pairs in all

NUISANCES = 64  # grid on which the thresholds are found
FINE = 181  # and the finer one on which they are verified, after building and after reading
CHUNK = 46  # nuisances verified at once, for the memory
ROUNDING = 5e-4  # by which the error on the way, not the one in the end, may exceed its budget
LARGEST = 1000  # horizon; more would need gigabytes
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Boundary:
    """Thresholds of Tango's score, one after every pair.

    Attributes:
        margin: the null hypothesis is 'difference <= -margin'.
        alpha: one-sided probability of a false rejection over the whole study.
        horizon: pairs at most.
        spending: ``linear``: n / horizon of alpha is spent by pair n; ``quadratic``: its square.
        calibration: ``iid`` or ``adversarial``.
        looks: numbers of pairs at which one may look, ascending.
        thresholds: of the score after pair 1, 2, ...; inf where it cannot be crossed.

    """

    margin: float
    alpha: float
    horizon: int
    spending: Spending
    calibration: Calibration
    looks: tuple[int, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def build(cls, horizon: int, margin: float, alpha: float, spending: Spending = 'linear', *,
              calibration: Calibration = 'iid', looks: Iterable[int] = (), until: int = 0,
              nuisances: int = NUISANCES, progress: Progress | None = None) -> 'Boundary':
        """Compute the thresholds.

        Args:
            horizon: pairs at most; 100 takes half a second, 300 about twenty.
            margin: success may be lower by no more than this; 0 tests for 'better', negative for
                'better by more than'.
            alpha: one-sided error.
            spending: see the class.
            calibration: see the class; ``adversarial`` takes about ten times as long.
            looks: numbers of pairs at which one may look; every pair if empty. Fewer looks give
                lower thresholds, and must be kept.
            until: stop computing here and verify nothing; the thresholds after it are inf. 0:
                at the horizon.
            nuisances: points of the grid on which the thresholds are found.
            progress: called after every pair.

        Raises:
            TrialError: an argument is out of range.

        """
        allowed = _checked(horizon, margin, alpha, spending, calibration, looks)
        last = min(until or horizon, horizon)

        def found(level: float) -> 'Boundary':
            thresholds = _thresholds(horizon, margin, level, spending, allowed, last, nuisances,
                                     progress)
            return cls(margin, alpha, horizon, spending, calibration, allowed, thresholds)

        if calibration == 'adversarial':
            return _withstanding(found, alpha)
        level = alpha
        boundary = found(level)
        while not until and (worst := float(boundary.errors()[-1])) > alpha:
            # Between two points of the coarse grid the error is larger, by a hair. The level only
            # falls, so this ends.
            level = level * alpha / worst - 1e-6
            boundary = found(level)
        return boundary

    def threshold(self, n: int) -> float:
        """Return what the score must reach after n pairs; inf where one may not look."""
        return self.thresholds[n - 1] if 1 <= n <= self.horizon else math.inf

    def crossed(self, b: int, c: int, n: int) -> bool:
        """Say whether the counts after n pairs reject the null hypothesis."""
        bound = self.threshold(n)
        return math.isfinite(bound) and tango_z(b, c, n, self.margin) >= bound - TIE

    def region(self, n: int) -> Flags | None:
        """Return where it is crossed after n pairs, (b, c) table; the ``Rule`` of the walk."""
        bound = self.threshold(n)
        return scores(n, self.margin) >= bound - TIE if math.isfinite(bound) else None

    def errors(self, nuisances: int = FINE) -> Array:
        """Return the false rejections by pair 1, 2, ..., the worst over a grid of nuisances."""
        grid = nuisance_grid(self.margin, nuisances)
        worst = np.zeros(self.horizon)
        for start in range(0, nuisances, CHUNK):
            p = grid[start:start + CHUNK]
            found = crossing(self.region, self.horizon, p, p + self.margin)
            worst = np.maximum(worst, found.by_pair.max(axis=1))
        return worst

    def adversarial_error(self) -> float:
        """Return the false rejections if the truth may react to every outcome."""
        return worst_adversary(self.region, self.horizon, self.margin)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; a threshold of inf is null."""
        return {'format': FORMAT, 'margin': self.margin, 'alpha': self.alpha,
                'horizon': self.horizon, 'spending': self.spending,
                'calibration': self.calibration, 'looks': list(self.looks),
                'thresholds': [value if math.isfinite(value) else None
                               for value in self.thresholds]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Boundary':
        """Read a boundary and verify that it keeps the error it promises.

        The walk is followed again, with the stored thresholds and a finer grid.

        Raises:
            TrialError: a value is missing or impossible, or a threshold was lowered.

        """
        try:
            if data['format'] != FORMAT:
                raise TrialError(f'boundary of format {data["format"]}; this version reads '
                                 f'{FORMAT}')
            looks = _checked(data['horizon'], data['margin'], data['alpha'], data['spending'],
                             data['calibration'], data['looks'])
            thresholds = tuple(math.inf if value is None else float(value)
                               for value in data['thresholds'])
            boundary = cls(float(data['margin']), float(data['alpha']), data['horizon'],
                           data['spending'], data['calibration'], looks, thresholds)
        except (KeyError, TypeError, ValueError) as error:
            raise TrialError(f'not a boundary: {error!r}; lock the study again') from error
        boundary._verify()
        return boundary

    def _verify(self) -> None:
        if len(self.thresholds) != self.horizon:
            raise TrialError(f'boundary with {len(self.thresholds)} thresholds for a horizon of '
                             f'{self.horizon}; lock the study again')
        outside = [n for n in range(1, self.horizon + 1)
                   if math.isfinite(self.threshold(n)) and n not in self.looks]
        if outside:
            raise TrialError(f'boundary with thresholds at {outside[:5]}, which are no looks')
        budget = self.alpha * spent(np.arange(1, self.horizon + 1) / self.horizon, self.spending)
        budget[:-1] += ROUNDING
        errors = self.errors()
        over = np.flatnonzero(errors > budget + 1e-9)
        if over.size:
            raise TrialError(f'a boundary that promises {self.alpha:g} spends '
                             f'{errors[over[0]]:.4f} of error by pair {over[0] + 1}; its '
                             'thresholds were changed: lock the study again')
        if self.calibration == 'adversarial' and self.adversarial_error() > self.alpha + ROUNDING:
            raise TrialError(f'a boundary against adversaries has an error of '
                             f'{self.adversarial_error():.4f}, not {self.alpha:g}')


def spent(share: Array, spending: Spending) -> Array:
    """Return which part of alpha may be spent when this share of the horizon is over."""
    return share if spending == 'linear' else share * share


def nuisance_grid(margin: float, points: int) -> Array:
    """Return probabilities of 'candidate only' at the edge of the null, dense where they matter.

    They run over all that is possible with 'baseline only' = 'candidate only' + margin; the
    square spacing puts most of them where few pairs are discordant.
    """
    low, high = max(0.0, -margin), (1.0 - margin) / 2
    return low + (high - low) * np.linspace(0.0, 1.0, points) ** 2


def _checked(horizon: int, margin: float, alpha: float, spending: str, calibration: str,
             looks: Iterable[int]) -> tuple[int, ...]:
    """Return the looks; raise TrialError where an argument is out of range."""
    if not isinstance(horizon, int) or not 1 <= horizon <= LARGEST:
        raise TrialError(f'a horizon of {horizon!r} pairs; it is a whole number from 1 to '
                         f'{LARGEST}; choose the rule anytime for more')
    if not -1.0 < margin < 1.0:
        raise TrialError(f'a margin of {margin}; it lies between -1 and 1, for instance 0.15')
    if not 0.0 < alpha < 0.5:
        raise TrialError(f'an alpha of {alpha}; it lies between 0 and 0.5, for instance 0.05')
    for kind, value, valid in (('spending', spending, get_args(Spending)),
                               ('calibration', calibration, get_args(Calibration))):
        if value not in valid:
            raise TrialError(f'{kind} {value!r}; valid: {", ".join(valid)}')
    allowed = tuple(sorted(set(looks))) or tuple(range(1, horizon + 1))
    if allowed[0] < 1 or allowed[-1] > horizon:
        raise TrialError(f'looks from {allowed[0]} to {allowed[-1]}; they lie within 1 and the '
                         f'horizon of {horizon}')
    return allowed


def _thresholds(horizon: int, margin: float, alpha: float, spending: Spending,
                looks: tuple[int, ...], last: int, nuisances: int,
                progress: Progress | None) -> tuple[float, ...]:
    """Return the smallest thresholds that keep within the budget; inf where none does."""
    p = nuisance_grid(margin, nuisances)
    walk, found = Walk(last, nuisances), [math.inf] * horizon
    total = np.zeros(nuisances)
    budget = alpha * spent(np.arange(horizon + 1) / horizon, spending)
    allowed = set(looks)
    for n in range(1, last + 1):
        walk.step(p, p + margin)
        if n in allowed:
            score = scores(n, margin)
            found[n - 1] = _smallest(walk, score, budget[n] - total)
            if math.isfinite(found[n - 1]):
                total = total + walk.absorb(score >= found[n - 1] - TIE)
        if progress is not None:
            progress(n, last)
    return tuple(found)


def _smallest(walk: Walk, score: Array, left: Array) -> float:
    """Return the smallest score that may be the threshold; inf if not even the highest may.

    Args:
        walk: after n pairs.
        score: (n + 1, n + 1).
        left: budget per nuisance.

    """
    size = walk.n + 1
    for floor in (1.6, 0.8, 0.0):  # most states lie below, and seldom is anything there needed
        rows, columns = np.nonzero((score > floor) & walk.reachable[:size, :size])
        order = np.argsort(-score[rows, columns], kind='stable')
        rows, columns = rows[order], columns[order]
        fits = (np.cumsum(walk.mass[rows, columns], axis=0) <= left).all(axis=1)
        if not fits.all():
            floor = float(score[rows, columns][fits.argmin()]) + TIE
            break
    higher = score[score > floor]
    return float(higher.min()) if higher.size else math.inf


def _withstanding(found: Callable[[float], Boundary], alpha: float) -> Boundary:
    """Return the boundary of the largest level whose adversarial error is at most alpha."""
    low, high = 0.2 * alpha, alpha
    best = found(low)
    while best.adversarial_error() > alpha:
        low, high = low / 2, low
        best = found(low)
    for _ in range(7):
        middle = (low + high) / 2
        boundary = found(middle)
        if boundary.adversarial_error() <= alpha:
            low, best = middle, boundary
        else:
            high = middle
    return best
