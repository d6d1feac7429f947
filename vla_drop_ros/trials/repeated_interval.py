# SPDX-License-Identifier: Apache-2.0
"""An interval for the difference that holds at every look of an exact paired boundary.

It is made of the differences that are not rejected at any look so far, each by the boundary of
its own margin. It agrees with the verdict: it excludes minus the margin where the verdict is
non-inferior, and zero where it is better or worse.
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from vla_drop_ros.trials.boundary import Boundary, Calibration, Spending
from vla_drop_ros.trials.statistics import Interval

Counts = tuple[int, int, int]  # b, c, n after a look
RESOLUTION = 0.002
NUISANCES = 32  # points of the coarse grid; its hair of extra error is below the resolution
EDGE = 0.99
# The region of rejected differences is searched by halving; as nothing proves that it has no
# gaps, the bound is tried again so far further out.
BEYOND = (0.01, 0.03)
Step = Callable[[float], None]


@lru_cache(maxsize=256)
def _boundary(horizon: int, margin: float, alpha: float, spending: Spending,
              calibration: Calibration, looks: tuple[int, ...], until: int) -> Boundary:
    return Boundary.build(horizon, margin, alpha, spending, calibration=calibration, looks=looks,
                          until=until, nuisances=NUISANCES)


def repeated_interval(path: Sequence[Counts], horizon: int, alpha: float,
                      spending: Spending = 'linear', *, calibration: Calibration = 'iid',
                      looks: tuple[int, ...] = (), step: Step | None = None) -> Interval:
    """Return the difference of success rates with an interval of confidence 1 - 2 alpha.

    Args:
        path: counts at the looks so far, ascending; the last is the estimate's.
        horizon: of the study; this and the next as in ``Boundary.build``.
        alpha: error of each bound.
        spending: of alpha.
        calibration: of the boundary.
        looks: numbers of pairs at which one may look.
        step: called with every difference that was tried, about 25 of them.

    """
    if not path:
        return Interval(float('nan'), -1.0, 1.0, 1 - 2 * alpha)
    b, c, n = path[-1]
    estimate = (b - c) / n

    def below(difference: float) -> bool:
        """Say whether 'the difference is at most this' is rejected."""
        return _rejected(path, -difference)

    def above(difference: float) -> bool:
        return _rejected([(c, b, n) for b, c, n in path], difference)

    def _rejected(counts: Sequence[Counts], margin: float) -> bool:
        boundary = _boundary(horizon, round(margin, 6), alpha, spending, calibration, looks, n)
        if step is not None:
            step(-margin)
        return any(boundary.crossed(*look) for look in counts)

    low = _bound(below, -EDGE, max(-EDGE, min(estimate, EDGE)))
    high = -_bound(lambda value: above(-value), -EDGE, max(-EDGE, min(-estimate, EDGE)))
    return Interval(estimate, min(low, estimate), max(high, estimate), 1 - 2 * alpha)


def _bound(rejected: Callable[[float], bool], outer: float, inner: float) -> float:
    """Return the end of what is rejected, from outside in; -1 where not even ``outer`` is."""
    if not rejected(outer):
        return -1.0
    low, high = outer, inner
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        if rejected(middle):
            low = middle
        else:
            high = middle
    for further in BEYOND:
        if low - further > outer and not rejected(low - further):
            return _bound(rejected, outer, low - further)
    return low


def agreeing(interval: Interval, rejected: Collection[str], margin: float) -> Interval:
    """Return the interval with its resolution taken out where a verdict is exact.

    Args:
        interval: to within ``RESOLUTION``.
        rejected: names of the hypotheses that were.
        margin: of the study.

    """
    low, high = interval.low, interval.high
    for name, edge in (('non_inferior', -margin), ('better', 0.0)):
        if name in rejected:
            low = max(low, edge)
    for name, edge in (('worse', 0.0), ('inferior', -margin)):
        if name in rejected:
            high = min(high, edge)
    return Interval(interval.estimate, low, high, interval.confidence)
