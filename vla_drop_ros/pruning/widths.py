# SPDX-License-Identifier: Apache-2.0
"""Choose channels and heads: by rank over all blocks of a stack, or as many from each block."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Unit, WIDTH_UNITS
from vla_drop_ros.types import FloatArray

Direction = Literal['low', 'high']
Widths = dict[str, dict[int, tuple[int, ...]]]
NAMES: dict[Unit, str] = {'channel': 'channels', 'head': 'heads'}


def narrow(layout: Layout, unit: Unit, importance: Mapping[str, list[FloatArray]], stack: str,
           ratio: float, direction: Direction = 'low', *, even: bool = False) -> Widths:
    """Return which channels or heads of a stack go.

    Args:
        layout: of the checkpoint.
        unit: ``channel`` or ``head``.
        importance: stack -> by block, a high one means keep; also of the stacks that must lose
            the same heads.
        stack: where they go; stacks that share its heads lose the same.
        ratio: share of the stack's units that go, in (0, 1).
        direction: ``low``: the least important go; ``high``: the most important, as for modules
            in which what adaptation moved most is what the policy does not need.
        even: the same number from every block, so that a stock loader can open it.

    Returns:
        Stack -> block -> units; every block keeps at least one.

    Raises:
        PlanError: no share, or the criterion has no scores for it.

    """
    if unit not in WIDTH_UNITS:
        raise ValueError(unit)
    if not 0 < ratio < 1:
        raise PlanError(f'{NAMES[unit]} {stack}={ratio:g}: must be a share between 0 and 1, such '
                        'as 25%')
    joint = unit == 'head' and stack in layout.same_heads
    if joint:
        return _narrow_joint(layout, importance, stack, ratio, direction)
    if stack not in importance:
        raise PlanError(f'the criterion has no scores for the {NAMES[unit]} of {stack}; it has '
                        f'{sorted(importance)}')
    gone = _pick(importance[stack], ratio, direction, even=even)
    return {stack: gone} if gone else {}


def _narrow_joint(layout: Layout, importance: Mapping[str, list[FloatArray]], stack: str,
                  ratio: float, direction: Direction) -> Widths:
    """Take the same heads from paired blocks of stacks whose heads meet in one attention."""
    first, *others = layout.same_heads
    missing = [name for name in layout.same_heads if name not in importance]
    if missing:
        raise PlanError(f'{stack} shares its heads with {missing}, for which the criterion has no '
                        'scores')
    together = []
    for index, scores in enumerate(importance[first]):
        total = scores.copy()
        for other in others:
            partner = layout[first].pairs.get(index, index)
            total = total + importance[other][partner]
        together.append(total)
    gone = _pick(together, ratio, direction, even=layout.even_heads)
    result: Widths = {first: gone}
    for other in others:
        result[other] = {layout[first].pairs.get(index, index): units
                         for index, units in gone.items()}
    return result


def _pick(blocks: list[FloatArray], ratio: float, direction: Direction, *, even: bool,
          ) -> dict[int, tuple[int, ...]]:
    sign = 1.0 if direction == 'low' else -1.0
    ordered = [np.argsort(sign * scores, kind='stable') for scores in blocks]
    if even:
        sizes = [len(scores) for scores in blocks if len(scores)]
        number = min(int(round(ratio * min(sizes))), min(sizes) - 1) if sizes else 0
        return {index: tuple(sorted(int(unit) for unit in order[:number]))
                for index, order in enumerate(ordered) if len(order) and number}
    rows = sorted((sign * float(blocks[index][unit]), index, int(unit))
                  for index, order in enumerate(ordered) for unit in order[:-1])
    number = round(ratio * sum(map(len, blocks)))
    gone: dict[int, list[int]] = {}
    for _, index, unit in rows[:number]:
        gone.setdefault(index, []).append(unit)
    return {index: tuple(sorted(units)) for index, units in gone.items()}
