# SPDX-License-Identifier: Apache-2.0
"""Every arm against every other, and the letters that sum it up.

Descriptive: the ladder decides which checkpoint is accepted, these say which arms one look at the
end tells apart.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase

from vla_drop_ros.trials.statistics import mcnemar_exact


@dataclass(frozen=True, slots=True)
class PairwiseTest:
    """Two arms on the same scenes.

    Attributes:
        first: name.
        second: name.
        first_only: scenes that only the first solved.
        second_only: scenes that only the second solved.
        p_value: McNemar's exact test, two-sided.
        adjusted: the same after Holm's step-down over all pairs of arms.

    """

    first: str
    second: str
    first_only: int
    second_only: int
    p_value: float
    adjusted: float


def pairwise_tests(solved: Mapping[str, Sequence[bool]]) -> tuple[PairwiseTest, ...]:
    """Test every two arms.

    Args:
        solved: arm -> success, in the same order of scenes for every arm.

    """
    if len({len(column) for column in solved.values()}) > 1:
        raise ValueError(f'arms with { {name: len(one) for name, one in solved.items()} } scenes; '
                         'all run the same ones')
    duos = list(combinations(solved, 2))
    cells = [(sum(one and not other for one, other in zip(solved[a], solved[b], strict=True)),
              sum(other and not one for one, other in zip(solved[a], solved[b], strict=True)))
             for a, b in duos]
    raw = [mcnemar_exact(*cell) for cell in cells]
    return tuple(PairwiseTest(*duo, *cell, p_value, adjusted) for duo, cell, p_value, adjusted
                 in zip(duos, cells, raw, holm_adjusted(raw), strict=True))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p values that may each be compared with the error of the whole family.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    found = [1.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = least
    return found


def letter_display(names: Sequence[str], different: Collection[tuple[str, str]]
                   ) -> dict[str, str]:
    """Return letters: two arms share one if, and only if, they were not told apart.

    Args:
        names: of the arms, best first: it gets the letter a.
        different: those that were told apart, in any order.

    Source: insert and absorb, H.-P. Piepho, Journal of Computational and Graphical Statistics 13
    (2004) 456-466.
    """
    groups = [set(names)]
    for one, other in different:
        split = [group - {out} for group in groups if {one, other} <= group
                 for out in (one, other)]
        kept = [group for group in groups if not {one, other} <= group]
        for group in split:
            if not any(group <= bigger for bigger in kept):
                kept = [smaller for smaller in kept if not smaller <= group] + [group]
        groups = kept
    groups.sort(key=lambda group: [name not in group for name in names])
    return {name: ''.join(_letter(place) for place, group in enumerate(groups) if name in group)
            for name in names}


def _letter(place: int) -> str:
    again, which = divmod(place, len(ascii_lowercase))
    return ascii_lowercase[which] + "'" * again
