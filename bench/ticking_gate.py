# SPDX-License-Identifier: Apache-2.0
"""A process with the real command gate, which notes when its control timer fires.

Settings: ``robot``, path of the contract. It tells ``ready`` once it is active. Asked
``{"report": true}`` it tells the ``ticks`` since then, [s] on the clock that all processes share,
and how many of them were ``executing`` a chunk.
"""

import time

from rclpy.parameter import Parameter

from bench.child import Bench
from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.runtime.gate import Mode


class TickingGate(CommandGateNode):
    """The gate; a tick is noted before the gate does its work of that tick."""

    def __init__(self, bench: Bench) -> None:
        """Begin like the gate itself, on the system clock."""
        super().__init__(overrides=[Parameter('robot', value=bench.settings['robot'])])
        self._bench = bench
        self._times: list[float] = []
        self._executing = 0

    def start(self) -> bool:
        """Start the gate and say so."""
        started = super().start()
        self._bench.tell(ready=started)
        return started

    @property
    def has_ended(self) -> bool:
        """Answer what was asked; say whether the end has come."""
        while self._bench.is_asked:
            if self._bench.asked() is None:
                return True
            self._bench.tell(ticks=self._times, executing=self._executing)
        return False

    def _on_time(self) -> None:
        self._times.append(time.monotonic())
        super()._on_time()
        self._executing += self._decision.mode is Mode.EXECUTING


def main() -> None:
    """Run until the end."""
    bench = Bench()
    run_node(lambda: TickingGate(bench), [], until=lambda node: node.has_ended)


if __name__ == '__main__':
    main()
