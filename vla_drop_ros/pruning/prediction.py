# SPDX-License-Identifier: Apache-2.0
"""What a model will cost after a plan, from what each of its units costs."""

from collections.abc import Mapping
from typing import Any

from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan, UNIT_OF_MODE


def predict(costs: Mapping[str, Any], layout: Layout, plan: Plan) -> dict[str, float]:
    """Return the cost of a model after a plan: ``parameters``, ``flops`` and ``latency`` [s].

    Args:
        costs: as ``cost.py`` measures them; ``latency`` may be absent.
        layout: of the checkpoint.
        plan: what goes.

    """
    left = {name: float(found['total']) for name, found in costs.items() if found}
    for stack, modes in plan.blocks.items():
        for mode, indices in modes.items():
            for name in left:
                left[name] -= sum(_saved(costs[name], stack, UNIT_OF_MODE[mode], index)
                                  for index in indices)
    for unit, widths in (('channel', plan.channels), ('head', plan.heads)):
        for stack, blocks in widths.items():
            gone = blocks_gone(layout, plan, stack)
            for index, units in blocks.items():
                if index not in gone:
                    for name in left:
                        left[name] -= len(units) * _saved(costs[name], stack, unit, index)
    return left


def blocks_gone(layout: Layout, plan: Plan, name: str) -> set[int]:
    """Return the blocks of a stack that go altogether, with those that are tied to others."""
    modes = plan.blocks.get(name, {})
    return _tied_to(layout, plan, name).union(modes.get('whole', ()), modes.get('tied', ()))


def blocks_twice(layout: Layout, plan: Plan, name: str) -> set[int]:
    """Return the blocks of a stack that are named, and go with one that they are tied to too."""
    named = {index for found in plan.blocks.get(name, {}).values() for index in found}
    return named & _tied_to(layout, plan, name)


def _tied_to(layout: Layout, plan: Plan, name: str) -> set[int]:
    """Return the blocks of a stack whose ties to blocks of another one take them along."""
    return {facts.pairs[index] for other, facts in layout.stacks.items() if facts.reader == name
            for index in plan.blocks.get(other, {}).get('tied', ()) if index in facts.pairs}


def _saved(cost: Mapping[str, Any], stack: str, unit: str, index: int) -> float:
    found = cost['units'].get(stack, {}).get(unit, 0.0)
    return float(found[index]) if isinstance(found, list) else float(found)
