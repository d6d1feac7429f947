# SPDX-License-Identifier: Apache-2.0
"""The emergency stop latches."""

from vla_drop_ros.runtime.estop import EstopLatch


def test_releasing_the_button_does_not_release_the_latch() -> None:
    """After true then false the robot still may not move."""
    latch = EstopLatch()
    latch.update(True)
    latch.update(False)
    assert latch.latched


def test_reset_is_refused_while_pressed() -> None:
    """Reset releases only when the last value of the topic was false."""
    latch = EstopLatch()
    latch.update(True)
    assert latch.reset() == (False, 'refused: the estop topic still says true; release it first')
    assert latch.latched
    latch.update(False)
    assert latch.reset()[0] and not latch.latched


def test_reset_without_need_is_harmless() -> None:
    """Resetting what was not engaged succeeds and says so."""
    assert EstopLatch().reset() == (True, 'e-stop was not engaged')
