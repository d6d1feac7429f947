# SPDX-License-Identifier: Apache-2.0
"""What the policy sends is what the gate receives."""

import numpy as np
import pytest

from vla_drop_ros.nodes import messages
from vla_drop_ros.runtime.latency import LatencySummary
from vla_drop_ros.runtime.robot_inputs import pose_values, seconds
from vla_drop_ros.types import ActionChunk, ActionSpec

pytestmark = pytest.mark.ros

SPEC = ActionSpec(('x', 'gripper'), 'base_link', 'delta', 0.1, 3, 1)


@pytest.mark.parametrize('stamp', [0.0, 0.999999999, 1.7e9 + 0.123456])
def test_stamps_survive(stamp: float) -> None:
    """A stamp comes back within a microsecond, with nanoseconds in range."""
    message = messages.time_message(stamp)
    assert seconds(message) == pytest.approx(stamp, abs=1e-6)


def test_chunk_survives() -> None:
    """Names, frame, stamp, times and actions arrive unchanged."""
    actions = np.arange(6.0).reshape(3, 2)
    incoming = messages.incoming_chunk(messages.chunk_message(ActionChunk(5.5, actions, SPEC)))
    assert (incoming.names, incoming.frame, incoming.stamp) == (SPEC.names, 'base_link', 5.5)
    assert incoming.times == pytest.approx([0.1, 0.2, 0.3])
    assert np.array(incoming.actions) == pytest.approx(actions)


def test_pause_is_an_empty_chunk() -> None:
    """The gate recognises a pause by its missing steps."""
    assert messages.incoming_chunk(messages.pause_message(1.0, 'base_link')).actions == []


def test_pose_survives() -> None:
    """Position and quaternion keep their order."""
    sent = messages.pose_message(1.0, 'base_link', np.array([1.0, 2.0, 3.0]),
                                 np.array([0.1, 0.2, 0.3, 0.4]))
    assert pose_values(sent) == ([1.0, 2.0, 3.0], [0.1, 0.2, 0.3, 0.4])


def test_unmeasured_latency_is_not_shown_as_a_number() -> None:
    """An empty window reads as a dash."""
    nothing = LatencySummary(0, float('nan'), float('nan'), float('nan'))
    assert set(messages.latency_values('inference', nothing).values()) == {'-'}
