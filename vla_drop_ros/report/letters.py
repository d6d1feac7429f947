# SPDX-License-Identifier: Apache-2.0
"""Which arms of a study one look at the end tells apart, as letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.pairwise import letter_display, pairwise_tests, PairwiseTest

LEAST_ARMS = 3  # two arms have one test, which stands beside the pairs
ERROR = 0.05  # of all tests together


@dataclass(frozen=True, slots=True)
class Letters:
    """Compact letter display of the arms.

    Attributes:
        of: arm -> letters; arms without one in common were told apart.
        tests: of every two arms.
        error: of all tests together, two-sided.

    """

    of: Mapping[str, str]
    tests: tuple[PairwiseTest, ...]
    error: float = ERROR


def letters_of(rows: Sequence[TrialRow], arms: Sequence[str]) -> Letters | None:
    """Return the letters of the arms in the complete rounds; None with two arms or no round."""
    counted = [row for row in rows if row.counted]
    if len(arms) < LEAST_ARMS or not counted:
        return None
    solved = {arm: [row.success for row in sorted(counted, key=lambda row: row.pair)
                    if row.arm == arm] for arm in arms}
    tests = pairwise_tests(solved)
    different = [(one.first, one.second) for one in tests if one.adjusted <= ERROR]
    best_first = sorted(arms, key=lambda arm: -sum(solved[arm]))
    return Letters(letter_display(best_first, different), tests)
