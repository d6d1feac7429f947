# SPDX-License-Identifier: Apache-2.0
"""Which processes beside the trial node still give signs of life.

A killed or halted process says nothing and stays in the ROS graph for many seconds, with its last
latched state. What it sends all the time, whatever happens, tells within a few.
"""

GATE, POLICY = 'command_gate', 'policy_node'
BLIND = 0.5  # share of the policy's beats since its last chunk that makes its silence no failure
SILENT = 3.0  # [s] without a sign; the slowest of them comes once a second


class VitalSigns:
    """When each was heard last; who has never given a sign is not judged by it.

    Attributes:
        steady: time now, on a clock that never stops, [s].
        awaited: who has not given a sign since ``call_roll``.

    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self.steady = float('-inf')
        self.awaited: set[str] = set()
        self._heard: dict[str, float] = {}
        self._beats = self._blind_beats = 0

    def hear(self, who: str) -> None:
        """Take a sign."""
        self._heard[who] = self.steady
        self.awaited.discard(who)

    def beat(self, blind: bool) -> None:
        """Take a sign of the policy, and whether a camera or a state of the robot is missing."""
        self.hear(POLICY)
        self._beats += 1
        self._blind_beats += blind

    def answered(self) -> None:
        """Take that the policy sent a chunk, or is asked anew: what it missed before is over."""
        self._beats = self._blind_beats = 0

    @property
    def blind(self) -> bool:
        """Say whether the policy is silent since it could not see; one late frame is no reason."""
        return self._blind_beats > BLIND * self._beats

    def call_roll(self) -> None:
        """Await a sign from now on of gate and policy, if they have ever given one."""
        self.awaited = {GATE, POLICY} & set(self._heard)

    def forgive(self, *who: str) -> None:
        """Count from now: nothing could be heard. Without names, for all."""
        for name in who or tuple(self._heard):
            if name in self._heard:
                self._heard[name] = self.steady

    def silent(self, who: str) -> bool:
        """Say whether somebody who gave signs gives none any more."""
        return self.steady - self._heard.get(who, self.steady) > SILENT
