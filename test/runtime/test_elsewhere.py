# SPDX-License-Identifier: Apache-2.0
"""An arm counts as moved when measurements in a row agree that it is."""

import numpy as np

from vla_drop_ros.robot_contract import CartesianLimits, Limits
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.elsewhere import CONFIRMATIONS, Elsewhere
from vla_drop_ros.runtime.pose import Pose

LIMITS = Limits(CartesianLimits(((0.0, 1.0),) * 3, 0.5, 1.0, 5.0, 5.0, 0.05), {}, None)
HOLD = Pose(np.array([0.5, 0.0, 0.3]), rotation.IDENTITY)


def at(x: float) -> Pose:
    """Return an unrotated pose."""
    return Pose(np.array([x, 0.0, 0.3]), rotation.IDENTITY)


def test_three_that_agree_confirm() -> None:
    """The same stamp twice is one measurement; the third new one confirms."""
    elsewhere = Elsewhere(LIMITS)
    answers = [elsewhere.confirms(HOLD, at(0.7), stamp) for stamp in (1.0, 1.0, 1.1, 1.1, 1.2)]
    assert answers == [False, False, False, False, True] and CONFIRMATIONS == 3


def test_outliers_that_do_not_agree_confirm_nothing() -> None:
    """Measurements that jump about are no move, nor are those near the held pose."""
    elsewhere = Elsewhere(LIMITS)
    assert not any(elsewhere.confirms(HOLD, at(0.1 * (step % 5)), float(step))
                   for step in range(50) if step % 5 != 4)
    assert not any(elsewhere.confirms(HOLD, at(0.53), float(step)) for step in range(9))
