# SPDX-License-Identifier: Apache-2.0
"""A second person is given the unsure trials, then a fair fifth of the others."""

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.rating_queue import rating_queue
from vla_drop_ros.trials.ratings import Rating


def day(count: int = 100) -> list[Attempt]:
    """Return judged trials; every tenth is unsure, every seventh invalid."""
    return [Attempt(str(code), code, 0, 'a', f'{code}.0.x', who='P1',
                    verdict='invalid' if code % 7 == 0 else 'success',
                    confidence='unsure' if code % 10 == 0 else 'sure')
            for code in range(1, count + 1)]


def test_unsure_ones_come_first() -> None:
    """All of them, then a fifth of the sure ones; none that is left out, none twice."""
    queue = rating_queue(day(), seed=7)
    unsure = [one for one in queue if one.confidence == 'unsure']
    assert queue[:9] == unsure and len(queue) == 9 + 16  # 77 sure ones count
    assert len({one.code for one in queue}) == len(queue)
    assert all(one.counts for one in queue)


def test_the_draw_is_the_seeds() -> None:
    """Everybody is given the same; another design another; the order of the day is broken."""
    codes = [one.code for one in rating_queue(day(), seed=7)]
    assert codes == [one.code for one in rating_queue(day(), seed=7, rater='R2')]
    assert codes != [one.code for one in rating_queue(day(), seed=8)]
    assert codes[9:] != sorted(codes[9:], key=int)


def test_every_trial_is_as_likely() -> None:
    """Over many seeds each sure trial is drawn about as often as any other."""
    drawn = [one.code for seed in range(400) for one in rating_queue(day(50), seed)
             if one.confidence == 'sure']
    counts = [drawn.count(one.code) for one in day(50)
              if one.counts and one.confidence == 'sure']
    assert min(counts) > 50 and max(counts) < 130  # 400 draws of 8 out of 39: 82, sd 8


def test_nobody_rates_what_is_known() -> None:
    """Who judged at the robot, or has rated already, is not asked; others are."""
    attempts = day()
    assert rating_queue(attempts, 7, 'P1') == []
    first = rating_queue(attempts, 7, 'R2')[0]
    first.ratings.append(Rating('R2', 'failure'))
    assert first not in rating_queue(attempts, 7, 'R2')
    assert first in rating_queue(attempts, 7, 'R3')
