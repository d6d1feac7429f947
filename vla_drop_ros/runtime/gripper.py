# SPDX-License-Identifier: Apache-2.0
"""When a gripper command is worth sending: grippers dislike a stream of tiny changes."""


class GripperFilter:
    """Lets a width through when it differs enough from the one sent last.

    For actions at most one goal is on its way: the newest width waits until the goal before was
    accepted or refused, so that a slow driver is never flooded and never gets an old width.
    """

    def __init__(self, hysteresis: float, one_at_a_time: bool = False) -> None:
        """Set the rule.

        Args:
            hysteresis: smallest change that is sent, [m]; 0 sends every change.
            one_at_a_time: whether ``answered`` must be called before the next is sent.

        """
        self._hysteresis = hysteresis
        self._one_at_a_time = one_at_a_time
        self._waiting = False
        self._sent: float | None = None

    def admit(self, width: float) -> bool:
        """Say whether ``width`` [m] is to be sent now; if so, it counts as sent."""
        if self._waiting:
            return False
        if self._sent is not None:
            change = abs(width - self._sent)
            if change == 0.0 or change < self._hysteresis:
                return False
        self._sent = width
        self._waiting = self._one_at_a_time
        return True

    def reset(self) -> None:
        """Forget what was sent and what is awaited: somebody else may have moved the gripper."""
        self._waiting, self._sent = False, None

    def answered(self, accepted: bool) -> None:
        """Take the answer to the goal on its way; a refused one is tried again."""
        self._waiting = False
        if not accepted:
            self._sent = None
