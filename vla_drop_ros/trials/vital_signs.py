# SPDX-License-Identifier: Apache-2.0
"""Which processes beside the trial node still give signs of life.

A killed or halted process says nothing and stays in the ROS graph for many seconds, with its last
latched state. What it sends all the time, whatever happens, tells within a few.
"""

GATE, POLICY = 'command_gate', 'policy_node'
SILENT = 3.0  # [s] without a sign; the slowest of them comes once a second


class VitalSigns:
    """When each was heard last; who has never given a sign is not judged by it.

    Attributes:
        steady: time now, on a clock that never stops, [s].

    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self.steady = float('-inf')
        self._heard: dict[str, float] = {}

    def hear(self, who: str) -> None:
        """Take a sign."""
        self._heard[who] = self.steady

    def forgive(self, *who: str) -> None:
        """Count from now: nothing could be heard. Without names, for all."""
        for name in who or tuple(self._heard):
            if name in self._heard:
                self._heard[name] = self.steady

    def silent(self, who: str) -> bool:
        """Say whether somebody who gave signs gives none any more."""
        return self.steady - self._heard.get(who, self.steady) > SILENT
