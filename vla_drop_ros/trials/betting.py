# SPDX-License-Identifier: Apache-2.0
"""A bet against the null hypothesis that may be settled at any time, without a horizon.

Somebody bets on every pair that the candidate loses less than the margin, at odds that would be
fair if it lost exactly that: with stake lambda the capital after differences d_i is
``M(lambda) = prod(1 + lambda (d_i + m))``. If the null 'mean difference <= -m' holds, no stake
gains on average, so the capital reaches 1 / alpha with probability alpha at most, ever (J. Ville,
1939). As nobody knows the best stake, the capital is shared evenly over all of them from 0 to
1 / (1 - m): the e-value is the mean. It does not depend on the order of the pairs.

Betting on bounded means: I. Waudby-Smith and A. Ramdas, JRSS B 86 (2024) 1-27. The even mixture
over fixed stakes, unlike their adaptive bets, stays valid if tasks differ as long as every round
holds each task once.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

from vla_drop_ros.trials.paired_walk import Array, Flags, Rule
from vla_drop_ros.trials.statistics import Interval

# Gauss points: their mean is the even mixture exactly up to 2 * STAKES - 1 pairs, since the
# capital is a polynomial in the stake; beyond, it is a mixture over these stakes, as valid.
STAKES = 256
MOST_TABLED = 900  # pairs; beyond, capital does not fit into a float
EDGE = 1.0 - 1e-9


@cache
def _gauss() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(STAKES)
    return nodes, weights


def _stakes(margin: float) -> tuple[Array, Array]:
    """Return stakes from 0 to 1 / (1 - margin) and the logarithms of their shares."""
    if not -1.0 < margin < 1.0:
        raise ValueError(f'margin is {margin}; it lies between -1 and 1')
    nodes, weights = _gauss()
    return (nodes + 1.0) / 2.0 / (1.0 - margin), np.log(weights / 2.0)


def log_e(b: npt.ArrayLike, c: npt.ArrayLike, n: npt.ArrayLike, margin: float = 0.0) -> Array:
    """Return the logarithm of the e-value against 'difference <= -margin', from counts.

    Args:
        b: pairs solved by the candidate only.
        c: pairs solved by the baseline only.
        n: pairs in all; the three broadcast.
        margin: 0 tests for 'better', negative for 'better by more than'.

    """
    b, c, n = (np.asarray(value, float)[..., None] for value in (b, c, n))
    if np.any(b < 0) or np.any(c < 0) or np.any(b + c > n):
        raise ValueError(f'{b.ravel()} + {c.ravel()} discordant among {n.ravel()} pairs')
    stake, share = _stakes(margin)
    capital = (b * np.log1p(stake * (1 + margin)) + (n - b - c) * np.log1p(stake * margin)
               + c * np.log1p(-stake * (1 - margin)))
    return np.asarray(logsumexp(capital + share, axis=-1))


def log_e_of_differences(differences: npt.ArrayLike, margin: float = 0.0) -> float:
    """Return the same for differences anywhere in -1 .. 1, for instance of rubric progress."""
    found = _checked(differences)
    stake, share = _stakes(margin)
    capital = np.log1p(stake * (found[:, None] + margin)).sum(axis=0)
    return float(logsumexp(capital + share))


def p_value(log_values: Sequence[float]) -> float:
    """Return the p value that holds at any time, from the e-values at all looks so far."""
    return float(min(1.0, np.exp(-max([0.0, *log_values]))))


def anytime_interval(b: int, c: int, n: int, alpha: float = 0.05) -> Interval:
    """Return the difference with bounds that hold at any time, each with error alpha.

    The lower bound is the largest difference with an e-value of 1 / alpha or more against it.
    Bounds of one look; to use all looks, take the highest lower and the lowest upper one.
    """
    if n == 0:
        return Interval(float('nan'), -1.0, 1.0, 1 - 2 * alpha)
    return _interval(lambda margin: float(log_e(b, c, n, margin)),
                     lambda margin: float(log_e(c, b, n, margin)), (b - c) / n, alpha)


def anytime_interval_of_differences(differences: npt.ArrayLike, alpha: float = 0.05) -> Interval:
    """Return the same for differences anywhere in -1 .. 1."""
    found = _checked(differences)
    if not len(found):
        return Interval(float('nan'), -1.0, 1.0, 1 - 2 * alpha)
    return _interval(lambda margin: log_e_of_differences(found, margin),
                     lambda margin: log_e_of_differences(-found, margin),
                     float(found.mean()), alpha)


def anytime_rule(margin: float, alpha: float) -> Rule:
    """Return where the bet has won 1 / alpha, for the walk of a study."""
    stake, share = _stakes(margin)
    tie = 1 + stake * margin
    won, lost = (1 + stake * (1 + margin)) / tie, (1 - stake * (1 - margin)) / tie

    @cache
    def region(n: int) -> Flags:
        if n > MOST_TABLED:
            raise ValueError(f'{n} pairs; the bet is tabled for at most {MOST_TABLED}')
        counts = np.arange(n + 1)[:, None]
        value = (np.exp(share) * tie ** n * won ** counts) @ (lost ** counts).T
        return (value >= 1 / alpha) & (counts + counts.T <= n)

    return region


def _checked(differences: npt.ArrayLike) -> Array:
    found = np.asarray(differences, float).ravel()
    wrong = found[~(np.abs(found) <= 1.0)]
    if wrong.size:
        raise ValueError(f'a difference of {wrong[0]}; they lie from -1 to 1')
    return found


def _interval(down: Callable[[float], float], up: Callable[[float], float], estimate: float,
              alpha: float) -> Interval:
    low, high = -_least_margin(down, alpha), _least_margin(up, alpha)
    return Interval(estimate, min(low, estimate), max(high, estimate), 1 - 2 * alpha)


def _least_margin(log_value: Callable[[float], float], alpha: float) -> float:
    """Return the smallest margin that the bet refutes; its e-value grows with the margin."""
    def excess(margin: float) -> float:
        return max(-1e6, min(1e6, log_value(margin))) + float(np.log(alpha))

    if excess(EDGE) < 0:
        return 1.0
    if excess(-EDGE) > 0:
        return -1.0
    return float(brentq(excess, -EDGE, EDGE, xtol=1e-9))
