# SPDX-License-Identifier: Apache-2.0
"""An incident knows when it was, as far as anybody does."""

import math

import pytest

from vla_drop_ros.trials.incidents import Incident

SAID = {'code': '1', 'kind': 'near_miss', 'stamp': 12.5, 'source': 'web', 'who': 'ann',
        'note': 'brushed the bin'}


def test_what_is_said_while_it_runs_has_a_time() -> None:
    """Seconds count from the start; a clock that was set back makes no negative ones."""
    assert Incident.said(SAID, 10.0, math.nan) == Incident(
        'near_miss', 2.5, 'brushed the bin', 'web')
    assert Incident.said(SAID, 13.0, math.nan).seconds_after_start == 0.0


@pytest.mark.parametrize('ended', [12.0, 0.0])  # 0: the node crashed in the middle
def test_what_is_said_after_the_end_has_none(ended: float) -> None:
    """Who remembers it while judging has not looked at a clock."""
    assert math.isnan(Incident.said(SAID, 10.0, ended).seconds_after_start)
