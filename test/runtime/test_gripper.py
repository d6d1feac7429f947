# SPDX-License-Identifier: Apache-2.0
"""A gripper hears of changes that matter, one at a time where it answers."""

from vla_drop_ros.runtime.gripper import GripperFilter


def test_small_changes_are_not_sent_but_do_not_add_up_unseen() -> None:
    """A width that creeps is sent as soon as it is a hysteresis away from the one sent last."""
    gripper = GripperFilter(hysteresis=0.005)
    sent = [width for width in (0.04, 0.042, 0.044, 0.046, 0.046, 0.04) if gripper.admit(width)]
    assert sent == [0.04, 0.046, 0.04]


def test_without_hysteresis_every_change_is_sent_once() -> None:
    """The same width twice is no command."""
    gripper = GripperFilter(hysteresis=0.0)
    assert [gripper.admit(width) for width in (0.04, 0.04, 0.0401)] == [True, False, True]


def test_one_goal_at_a_time_and_the_newest_afterwards() -> None:
    """While a goal is on its way nothing is sent; afterwards the newest width goes."""
    gripper = GripperFilter(hysteresis=0.001, one_at_a_time=True)
    assert gripper.admit(0.08) and not gripper.admit(0.0)
    gripper.answered(accepted=True)
    assert not gripper.admit(0.08)
    assert gripper.admit(0.0)


def test_a_refused_goal_is_tried_again() -> None:
    """A driver that refuses gets the same width again, else the gripper would stay wrong."""
    gripper = GripperFilter(hysteresis=0.001, one_at_a_time=True)
    assert gripper.admit(0.08)
    gripper.answered(accepted=False)
    assert gripper.admit(0.08)


def test_a_lost_answer_does_not_block_for_ever() -> None:
    """After a reset the same width is sent again, answered or not."""
    gripper = GripperFilter(hysteresis=0.001, one_at_a_time=True)
    assert gripper.admit(0.08) and not gripper.admit(0.08)
    gripper.reset()
    assert gripper.admit(0.08)
