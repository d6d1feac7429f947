# SPDX-License-Identifier: Apache-2.0
"""What happened in trials beside their outcome, by arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vla_drop_ros.report.comparison import Duo
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.incident_rates import count_difference, CountDifference, poisson_rate
from vla_drop_ros.trials.incidents import INCIDENTS
from vla_drop_ros.trials.statistics import Interval

ANY = 'any'


@dataclass(frozen=True, slots=True)
class ArmIncidents:
    """Incidents of one arm in the trials that count.

    Attributes:
        arm: name.
        trials: that count.
        affected: of these, trials with an incident.
        rates: kind, and ``ANY`` -> incidents a trial, exact Poisson interval of 95 %.
        counts: kind, and ``ANY`` -> incidents.
        left_out: incidents in trials that do not count.

    """

    arm: str
    trials: int
    affected: int
    rates: Mapping[str, Interval]
    counts: Mapping[str, int]
    left_out: int


@dataclass(frozen=True, slots=True)
class Told:
    """One incident that somebody said something about.

    Attributes:
        arm: that ran.
        robot: that ran it.
        trial: what people called it.
        kind: of incident.
        seconds: after the start; nan where that is not known.
        note: what was said.

    """

    arm: str
    robot: str
    trial: str
    kind: str
    seconds: float
    note: str


@dataclass(frozen=True, slots=True)
class Incidents:
    """Incidents of a study.

    Attributes:
        arms: the baseline first.
        comparisons: candidate -> kind, and ``ANY`` -> comparison with the baseline on pairs.
        told: those with a note, in the order of the schedule.

    """

    arms: tuple[ArmIncidents, ...]
    comparisons: Mapping[str, Mapping[str, CountDifference]]
    told: tuple[Told, ...]

    @property
    def all(self) -> int:
        """Return how many there were, in all trials."""
        return sum(one.counts[ANY] + one.left_out for one in self.arms)


def incidents_of(rows: Sequence[TrialRow], arms: Sequence[str],
                 duos: Mapping[str, Sequence[Duo]]) -> Incidents:
    """Return the incidents of every arm.

    Args:
        rows: of the study.
        arms: the baseline first.
        duos: candidate -> its pairs with the baseline.

    """
    kinds = (ANY, *INCIDENTS)
    comparisons = {name: {kind: count_difference([number_of(one, kind) for one, _ in pairs],
                                                 [number_of(other, kind) for _, other in pairs])
                          for kind in kinds} for name, pairs in duos.items()}
    told = tuple(Told(row.arm, row.robot, row.code, one.kind, one.seconds_after_start, one.note)
                 for row in rows for one in row.incidents if one.note)
    return Incidents(tuple(_arm(arm, rows) for arm in arms), comparisons, told)


def number_of(row: TrialRow, kind: str) -> int:
    """Return how many incidents of a kind, or of ``ANY``, a trial had."""
    return sum(kind in (one.kind, ANY) for one in row.incidents)


def _arm(arm: str, rows: Sequence[TrialRow]) -> ArmIncidents:
    mine = [row for row in rows if row.arm == arm]
    counted = [row for row in mine if row.counted]
    counts = {kind: sum(number_of(row, kind) for row in counted) for kind in (ANY, *INCIDENTS)}
    return ArmIncidents(
        arm, len(counted), sum(bool(row.incidents) for row in counted),
        {kind: poisson_rate(number, len(counted)) for kind, number in counts.items()}, counts,
        sum(len(row.incidents) for row in mine if not row.counted))
