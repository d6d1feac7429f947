# SPDX-License-Identifier: Apache-2.0
"""A family's sampler as one traced graph: the same numbers without the interpreter's overhead."""

from collections.abc import Callable, Sequence
import logging
from typing import Any
import warnings

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from vla_drop_ros.families.family import Family, Inputs
from vla_drop_ros.families.guidance import Guide, guided

_LOG = logging.getLogger(__name__)
_TOLERANCE = 1e-4
# What tracing raises for a model it cannot follow; untraced it is as right, only slower.
_UNTRACEABLE = (RuntimeError, NotImplementedError, AttributeError, AssertionError, TypeError)
Tensors = Sequence[torch.Tensor]
Sampler = Callable[[Inputs, torch.Tensor], torch.Tensor]
GuidedSampler = Callable[[Inputs, torch.Tensor, Guide], torch.Tensor]


def plain(family: Family, model: Any) -> Sampler:
    """Return the sampler as the family runs it."""
    return lambda inputs, noise: family.act(model, inputs, noise)


def plain_guided(family: Family, model: Any) -> GuidedSampler:
    """Return the guided sampler as it is; not for inference mode."""
    return lambda inputs, noise, guide: guided(family.denoiser(model, inputs), noise, guide)


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

    def graph_of(tensors: Tensors) -> Any:
        return _graph(flat, tensors)

    graph = _checked('inference', graph_of, flat, row(example), row(other))
    return run if graph is None else lambda inputs, noise: graph(*row((inputs, noise)))


def traced_guided(family: Family, model: Any, example: tuple[Inputs, torch.Tensor],
                  other: tuple[Inputs, torch.Tensor]) -> GuidedSampler:
    """Return the guided sampler with its derivatives as one graph; see ``traced``.

    Takes seconds. Not for inference mode.
    """
    run, names = plain_guided(family, model), list(example[0])

    def flat(*tensors: torch.Tensor) -> torch.Tensor:
        return run(dict(zip(names, tensors[:-3], strict=True)), tensors[-3], Guide(*tensors[-2:]))

    def row(inputs: Inputs, noise: torch.Tensor, guide: Guide) -> tuple[torch.Tensor, ...]:
        return (*(inputs[name] for name in names), noise, guide.actions, guide.weights)

    def graph_of(tensors: Tensors) -> Any:
        # Derivatives are taken by an engine that only the first can follow; the second is faster.
        return _graph(make_fx(flat)(*tensors), tensors)

    rows = [row(*mine, Guide(theirs[1], theirs[1].sigmoid()))
            for mine, theirs in ((example, other), (other, example))]
    graph = _checked('the continuation of chunks', graph_of, flat, *rows)
    if graph is None:
        return run

    def sampler(inputs: Inputs, noise: torch.Tensor, guide: Guide) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = graph(*row(inputs, noise, guide))
        return found

    return sampler


def _graph(run: Callable[..., torch.Tensor], example: Tensors) -> Any:
    """Return ``run`` as a graph that is freed with its last user.

    ``torch.jit.trace`` registers every graph for the life of the process: a node that swaps
    checkpoints would grow by ten times the weights of a small one with each swap.
    """
    graph, _ = torch._C._create_graph_by_tracing(
        run, tuple(example), lambda tensor: '', True, False, None, [])
    return torch._C._create_function_from_graph('sampler', graph)


def _checked(what: str, graph_of: Callable[[Tensors], Any], run: Callable[..., torch.Tensor],
             example: Tensors, other: Tensors) -> Any:
    """Return the graph of ``example`` if it is right on ``other``, else None, with a warning."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about constants, which the comparison checks
            graph = graph_of(example)
            difference = (graph(*other) - run(*other)).abs().max().item()
    except _UNTRACEABLE as error:
        _LOG.warning('%s runs untraced, about twice as slow: %s', what, error)
        return None
    if not difference <= _TOLERANCE:
        _LOG.warning('%s runs untraced, about twice as slow: the trace differs by %g', what,
                     difference)
        return None
    return graph
