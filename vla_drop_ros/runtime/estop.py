# SPDX-License-Identifier: Apache-2.0
"""An emergency stop that latches: pressing is enough to stop, releasing is not enough to go."""


class EstopLatch:
    """Latched by the topic, released only by an explicit reset while the topic says released."""

    def __init__(self) -> None:
        """Start released."""
        self._pressed = False
        self._latched = False

    @property
    def latched(self) -> bool:
        """Say whether motion is forbidden."""
        return self._latched

    def update(self, pressed: bool) -> None:
        """Take the newest value of the topic."""
        self._pressed = pressed
        self._latched = self._latched or pressed

    def reset(self) -> tuple[bool, str]:
        """Try to release; return whether motion is allowed again, and a sentence."""
        if self._pressed:
            return False, 'refused: the estop topic still says true; release it first'
        was_latched, self._latched = self._latched, False
        return True, 'e-stop reset' if was_latched else 'e-stop was not engaged'
