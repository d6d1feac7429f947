# SPDX-License-Identifier: Apache-2.0
"""A family's sampler as one traced graph: the same numbers without the interpreter's overhead."""

from collections.abc import Callable
import logging
from typing import Any
import warnings

import torch

from vla_drop_ros.families.family import Family, Inputs

_LOG = logging.getLogger(__name__)
_TOLERANCE = 1e-4
Sampler = Callable[[Inputs, torch.Tensor], torch.Tensor]


def plain(family: Family, model: Any) -> Sampler:
    """Return the sampler as the family runs it."""
    return lambda inputs, noise: family.act(model, inputs, noise)


def traced(family: Family, model: Any, example: tuple[Inputs, torch.Tensor],
           other: tuple[Inputs, torch.Tensor]) -> Sampler:
    """Return the sampler traced on ``example`` if it is right on ``other``, else as it is.

    It serves inputs of the shapes of ``example`` only.
    """
    run, names = plain(family, model), list(example[0])

    def flat(*tensors: torch.Tensor) -> torch.Tensor:
        return run(dict(zip(names, tensors[:-1], strict=True)), tensors[-1])

    def row(pair: tuple[Inputs, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (*(pair[0][name] for name in names), pair[1])

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about constants, which the comparison checks
            graph = torch.jit.trace(flat, row(example), check_trace=False)
            difference = (graph(*row(other)) - run(*other)).abs().max().item()
    # What tracing raises for a model it cannot follow; untraced it is as right, only slower.
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        _LOG.warning('inference runs untraced, about twice as slow: %s', error)
        return run
    if not difference <= _TOLERANCE:
        _LOG.warning('inference runs untraced, about twice as slow: the trace differs by %g',
                     difference)
        return run
    return lambda inputs, noise: graph(*row((inputs, noise)))
