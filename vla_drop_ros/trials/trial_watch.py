# SPDX-License-Identifier: Apache-2.0
"""Why a trial that runs has to end, and whether the arm that ran is to blame for it.

Only a policy that lives, sees and says nothing has failed, or one whose time is up. Whatever else
breaks, an operator leaves the trial out and it is run again.
"""

import math

from vla_drop_ros.trials.clock_jump import ClockJump
from vla_drop_ros.trials.preparation import Preparation, Waits
from vla_drop_ros.trials.vital_signs import GATE, POLICY, VitalSigns

LONG = 1.0  # [s] of silence that a policy may have a reason for when time is up
STANDING = 1.0  # [s] after which a clock that does not move stands


class TrialWatch:
    """Reads the clocks, and says why a trial ends.

    Attributes:
        now: node clock, [s].
        steady: a clock that never stops, [s].
        signs: of the life of policy node and gate.

    """

    def __init__(self, machines: Preparation, waits: Waits, timeout: float) -> None:
        """Take who knows how policy and gate are, and the longest time of a trial, [s]."""
        self.signs = VitalSigns()
        self.now = self.steady = self._before = self._moved = self._heard = float('-inf')
        self._clock, self._jumped = ClockJump(), 0.0
        self._machines, self._waits, self._timeout = machines, waits, timeout

    def read(self, now: float, steady: float) -> None:
        """Take the time; of what this process missed while it stood still nobody is guilty."""
        self.signs.steady = steady
        self._before, self._jumped = self.now, self._clock.read(now, steady)
        if now != self.now:
            stood = steady - self._moved
            self._heard += stood if self._waits.again < stood < math.inf else 0.0
            self.now, self._moved = now, steady
        elif steady - self._moved > STANDING:
            self.signs.forgive(POLICY)  # it beats on the node clock
        if steady - self.steady > self._waits.again:
            self._heard = steady
            self.signs.forgive()
        self.steady = steady

    def begin(self) -> None:
        """Count from now: a trial begins."""
        self._heard = self._moved = self.steady
        self.signs.answered()

    def answered(self) -> None:
        """Take that a chunk came."""
        self._heard = self.steady
        self.signs.answered()

    def end(self, started: float, chunks: int) -> tuple[str, float] | None:
        """Return why a trial ends now, and when it ended, node clock; None while it goes on.

        Args:
            started: node clock, [s].
            chunks: that came.

        """
        silent = self._moved - self._heard  # while time stands still no policy can speak
        allowed = self._waits.silence if chunks else self._waits.first_chunk
        reason, stamp = '', self.now
        if self._machines.estopped:
            reason = 'safety_stop'
        elif self._jumped:  # the time before is the last that belongs to this trial
            reason, stamp = 'robot_fault', max(self._before, started)
        elif self._robot_is_lost():
            reason = 'robot_fault'
        elif not self._machines.policy_ready:
            reason = 'policy_lost'  # it was started anew, or somebody set another token
        elif silent > allowed:
            reason = self._excuse() or 'policy_fault'
        elif self.now - started >= self._timeout:
            self.signs.call_roll()
            reason = (silent > LONG and self._excuse()) or 'timeout'
        return (reason, stamp) if reason else None

    def settled(self, reason: str) -> str:
        """Return why a trial ended as far as it is known by now, '' while it is not.

        When time is up gate and policy are awaited: who died just before it gives no sign.
        """
        if reason != 'timeout' or not self.signs.awaited:
            return reason
        if self._robot_is_lost():
            return 'robot_fault'
        gone = self.signs.silent(POLICY) or not self._machines.policy_ready
        return 'policy_lost' if gone else ''

    def _robot_is_lost(self) -> bool:
        return (self.steady - self._moved > self._waits.stall or bool(self._machines.idle)
                or self.signs.silent(GATE))

    def _excuse(self) -> str:
        """Return the end of a trial whose silent policy is not to blame, '' where it is."""
        if self.signs.silent(POLICY):
            return 'policy_lost'
        return 'robot_fault' if self.signs.blind else ''
