# SPDX-License-Identifier: Apache-2.0
"""A traced sampler gives the plain one's actions, and is only trusted when it does."""

import logging
from typing import Any

import pytest
import torch

from vla_drop_ros.families.traced import plain, traced


class Family:
    """Doubles its noise; ``branch`` makes the trace depend on the example."""

    def __init__(self, branch: bool) -> None:
        """Remember."""
        self.branch = branch

    def act(self, _model: Any, inputs: dict[str, torch.Tensor], noise: torch.Tensor,
            ) -> torch.Tensor:
        """Return actions."""
        if self.branch and inputs['state'].sum() > 0:
            return noise * 3
        return noise * 2


EXAMPLES = (({'state': torch.ones(1)}, torch.ones(1, 2)),
            ({'state': -torch.ones(1)}, torch.full((1, 2), 5.0)))


def test_a_right_trace_is_used() -> None:
    """It is another callable with the same answers."""
    family: Any = Family(False)
    run = traced(family, None, *EXAMPLES)
    noise = torch.randn(1, 2)
    assert torch.equal(run(EXAMPLES[0][0], noise), plain(family, None)(EXAMPLES[0][0], noise))


def test_a_wrong_trace_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """Where the model branches on its input the plain sampler stays, and that is said."""
    family: Any = Family(True)
    with caplog.at_level(logging.WARNING):
        run = traced(family, None, *EXAMPLES)
    assert 'untraced' in caplog.text
    for inputs, noise in EXAMPLES:
        assert torch.equal(run(inputs, noise), family.act(None, inputs, noise))


def test_the_tiny_policy_is_traced(
        tiny_policy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A real sampler with a loop and a cache traces within the tolerance."""
    first, second = tiny_policy.example_inputs()
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        run = traced(tiny_policy.family, tiny_policy.model, first, second)
        found, expected = run(*second), plain(tiny_policy.family, tiny_policy.model)(*second)
    assert 'untraced' not in caplog.text
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_graph_goes_with_its_sampler() -> None:
    """Nothing is registered for the life of the process, or every swap would leave a graph."""
    registered = torch.jit._state._python_cu.get_functions
    before = len(registered())
    family: Any = Family(False)
    for _ in range(3):
        traced(family, None, *EXAMPLES)
    assert len(registered()) == before
    torch.jit.trace(lambda value: value * 2, torch.ones(1))  # the proof that the count would tell
    assert len(registered()) > before
