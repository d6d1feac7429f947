# SPDX-License-Identifier: Apache-2.0
"""Plans reach the power they promise, by exact computation, and equal the reference table."""

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.planning import (
    blindness,
    fixed_pairs,
    fixed_power,
    robot_hours,
    sequential_pairs,
    sequential_plan,
    Truth,
)

# margin, discordance -> pairs of one look, pairs at most and on average with quadratic spending
TABLE = {(0.10, 0.08): (64, 81, 61), (0.10, 0.16): (107, 124, 88), (0.10, 0.32): (200, 224, 152),
         (0.15, 0.08): (36, 44, 34), (0.15, 0.16): (52, 60, 44), (0.15, 0.32): (90, 101, 69),
         (0.20, 0.08): (20, 27, 22), (0.20, 0.16): (30, 36, 27), (0.20, 0.32): (50, 58, 41)}


@pytest.mark.parametrize(('margin', 'discordance'), TABLE)
def test_pairs_of_one_look(margin: float, discordance: float) -> None:
    """The table's number has 80 % power, and ours is it or one of up to four before it."""
    truth, expected = Truth(0.0, discordance), TABLE[margin, discordance][0]
    assert fixed_power(expected, margin, 0.05, truth) >= 0.8
    found = fixed_pairs(margin, 0.05, truth)
    assert expected - 4 <= found <= expected
    assert fixed_power(found, margin, 0.05, truth) >= 0.8
    assert all(fixed_power(n, margin, 0.05, truth) < 0.8 for n in range(found - 5, found))


@pytest.mark.parametrize(('margin', 'discordance'),
                         [key for key, row in TABLE.items() if row[1] < 130])
def test_pairs_of_a_boundary(margin: float, discordance: float) -> None:
    """Horizon and mean of the quadratic boundary, as in the table but for the ripple."""
    _, horizon, mean = TABLE[margin, discordance]
    truth = Truth(0.0, discordance)
    exact = sequential_plan(Boundary.build(horizon, margin, 0.05, 'quadratic'), truth)
    assert exact.power >= 0.799
    assert exact.mean_pairs == pytest.approx(mean, abs=1.0)
    found = sequential_pairs(margin, 0.05, truth, spending='quadratic')
    assert found is not None
    assert found.power >= 0.8
    assert horizon - 3 <= found.horizon <= horizon


def test_linear_spending_stops_sooner_and_needs_a_longer_horizon() -> None:
    """The default spends early: fewer pairs at the same horizon, a longer one for the power."""
    truth = Truth(0.0, 0.16)
    linear = sequential_plan(Boundary.build(60, 0.15, 0.05), truth)
    quadratic = sequential_plan(Boundary.build(60, 0.15, 0.05, 'quadratic'), truth)
    assert linear.mean_pairs < quadratic.mean_pairs
    assert linear.power < quadratic.power
    found = sequential_pairs(0.15, 0.05, truth)
    assert found is not None
    assert 60 < found.horizon < 75


def test_horizons_are_whole_rounds() -> None:
    """With seven conditions the horizon is a multiple of seven, and is told while searched."""
    told: list[str] = []
    found = sequential_pairs(0.2, 0.05, Truth(0.0, 0.16), conditions=7, report=told.append)
    assert found is not None
    assert found.horizon % 7 == 0
    assert found.half_by % 7 == 0
    assert told and all(line.startswith('trying') for line in told)


def test_no_pairs_help_where_the_margin_is_lost() -> None:
    """A true loss of the margin cannot be shown to be smaller."""
    assert fixed_pairs(0.1, 0.05, Truth(-0.1, 0.3)) == 0
    assert sequential_pairs(0.1, 0.05, Truth(-0.2, 0.3)) is None


def test_far_too_many_pairs_are_estimated() -> None:
    """Beyond what is enumerated the normal approximation answers, at once."""
    assert fixed_pairs(0.02, 0.05, Truth(0.0, 0.32)) == pytest.approx(4950, rel=0.01)


def test_truth_of_independent_arms() -> None:
    """Two arms at 80 % differ in 32 % of pairs, half each way."""
    truth = Truth.independent(0.8, 0.8)
    assert (truth.candidate_only, truth.baseline_only) == pytest.approx((0.16, 0.16))
    with pytest.raises(TrialError, match='discordance'):
        Truth(-0.3, 0.2)


def test_a_hundred_pairs_take_five_hours() -> None:
    """Two trials of 60 s with 30 s of reset each."""
    assert robot_hours(100, 60.0, 30.0) == pytest.approx(5.0)
    assert robot_hours(100, 60.0, 30.0, arms=3) == pytest.approx(7.5)


def test_blindness_has_eighty_percent_at_its_edges() -> None:
    """At the named differences the power turns from below 80 % to above."""
    no_worse = Boundary.build(60, 0.15, 0.05)
    worse = Boundary.build(60, 0.0, 0.05)

    def mirrored_region(n: int) -> object:
        region = worse.region(n)
        return None if region is None else region.T

    found = blindness(no_worse.region, mirrored_region, 60, 0.16, 0.15)  # type: ignore[arg-type]
    truth = Truth(0.0, 0.16)
    for step, enough in ((0.002, True), (-0.002, False)):
        gain = sequential_plan(no_worse, truth.moved(found.shows_no_worse_from + step))
        assert (gain.power >= 0.8) == enough
        loss = sequential_plan(worse, truth.moved(found.sees_loss_from + step))
        assert (loss.power >= 0.8) == enough


def test_a_tiny_study_sees_nothing() -> None:
    """Three pairs cannot show anything: both edges are at their ends."""
    boundary = Boundary.build(3, 0.1, 0.05)
    found = blindness(boundary.region, boundary.region, 3, 0.2, 0.1)
    assert (found.shows_no_worse_from, found.sees_loss_from) == (1.0, 1.0)
