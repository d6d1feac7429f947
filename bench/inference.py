# SPDX-License-Identifier: Apache-2.0
"""A policy whose forward pass lasts as long as wanted, and a process that runs nothing else.

The shipped policy answers in some 10 ms on a CPU core, policies of full size need 50 ms to 1 s
where they run. So that a benchmark meets such a load, its real forward pass is run several times
over: the same operations of torch, the same traffic with the interpreter's lock, for longer.

As a process (settings ``checkpoint``, ``forward`` [s], ``loop``) it tells ``ready``, then either
infers without a pause, or runs one bare forward pass whenever asked and tells its ``seconds``.
"""

from collections.abc import Callable
import math
import time
from typing import Any

import numpy as np

from bench.child import Bench
from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.policies.registry import load_policy
from vla_drop_ros.types import Observation

INSTRUCTION = 'put the red cube in the left bin'
CALIBRATION = 30  # forward passes; the shortest is what one takes on a quiet machine


class Inference:
    """A loaded policy with a repeated forward pass.

    Attributes:
        policy: a real policy; its ``infer`` runs the repeated forward pass.
        repeats: how often the model runs in one forward pass.
        passes: begin and end of every forward pass, [s] on the monotonic clock.

    """

    def __init__(self, checkpoint: str, forward: float, repeats: int = 0) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: folder or name of one in models.
            forward: how long the forward pass is to last at least, [s].
            repeats: how often it runs instead; 0: as ``forward`` asks for.

        """
        policy: Any = load_policy(find_checkpoint(checkpoint), 'cpu', 1)
        self.policy = policy
        self.repeats = 1
        self.passes: list[tuple[float, float]] = []
        rng = np.random.default_rng(0)
        self.observation = Observation(
            0.0, {key: rng.integers(0, 256, (480, 640, 3), np.uint8)
                  for key in self.policy.cameras},
            np.zeros(len(self.policy.state_names)), INSTRUCTION)
        samplers = self.policy._traced  # what the forward pass is
        samplers.update({key: self._repeated(one) for key, one in samplers.items()})
        for _ in range(CALIBRATION):
            self.infer()
        one = min(end - begin for begin, end in self.passes)
        self.repeats = repeats or max(1, math.ceil(forward / one))
        self.passes.clear()

    def infer(self) -> None:
        """Answer one observation of random pictures, 640x480."""
        self.policy.infer(self.observation)

    def bare(self) -> float:
        """Return how long the forward pass alone takes, [s]: no preparation, no message."""
        self.infer()
        begin, end = self.passes[-1]
        return end - begin

    def _repeated(self, sampler: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            begin = time.monotonic()
            for _ in range(self.repeats):
                result = sampler(*inputs)
            self.passes.append((begin, time.monotonic()))
            return result

        return run


def main() -> None:
    """Load, then run until the end."""
    bench = Bench()
    inference = Inference(bench.settings['checkpoint'], bench.settings['forward'])
    bench.tell(ready=True, repeats=inference.repeats, forward=inference.bare())
    if bench.settings['loop']:
        while not bench.ended.is_set():
            inference.infer()
            inference.passes.clear()
        return
    while bench.asked() is not None:
        bench.tell(seconds=inference.bare())


if __name__ == '__main__':
    main()
