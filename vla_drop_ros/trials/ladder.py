# SPDX-License-Identifier: Apache-2.0
"""Several pruned checkpoints against one baseline: how far can one prune?

Testing each at alpha would accept some bad one too often. Two cures: a fixed sequence, by
increasing sparsity, each at full alpha, that ends at the first one not accepted; or Holm's
step-down, in which the order says nothing and every one is tested at a smaller alpha. With
e-values Holm's step works at any time. Both keep the error of accepting any bad checkpoint.

Holm: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70. Fixed sequence: W. Maurer,
L. A. Hothorn and W. Lehmacher, Biometrie in der chemisch-pharmazeutischen Industrie 6 (1995).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vla_drop_ros.errors import TrialError, unknown
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import Boundaries, boundaries, Terms
from vla_drop_ros.trials.pairs import common_rounds, Pair
from vla_drop_ros.trials.verdict import judge, may_stop, no_worse, Verdict

METHODS = ('fixed_sequence', 'holm')


@dataclass(frozen=True, slots=True)
class Rung:
    """One checkpoint of the ladder.

    Attributes:
        name: of the checkpoint.
        verdict: on this one, at the alpha at which it was judged.
        accepted: no worse than the margin allows, with all others in mind.
        reason: why not, or ''.

    """

    name: str
    verdict: Verdict
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """The verdicts on all checkpoints, in the order of the design: by increasing sparsity.

    Attributes:
        rungs: one a checkpoint.
        method: ``fixed_sequence`` or ``holm``.

    """

    rungs: tuple[Rung, ...]
    method: str

    @property
    def furthest(self) -> str:
        """Return the sparsest accepted checkpoint, '' if there is none."""
        return next((rung.name for rung in reversed(self.rungs) if rung.accepted), '')

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {'method': self.method, 'furthest': self.furthest,
                'rungs': [{'name': rung.name, 'accepted': rung.accepted, 'reason': rung.reason,
                           'verdict': rung.verdict.to_dict()} for rung in self.rungs]}


def fixed_sequence(accepted: Sequence[bool]) -> list[bool]:
    """Return what stays accepted: all before the first that was not."""
    return [all(accepted[:place + 1]) for place in range(len(accepted))]


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which nulls Holm's step-down rejects."""
    found = [False] * len(p_values)
    for step, place in enumerate(np.argsort(p_values, kind='stable')):
        if p_values[place] > alpha / (len(p_values) - step):
            break
        found[int(place)] = True
    return found


def climb(pairs: Mapping[str, Iterable[Pair]], terms: Terms | Design,
          method: str = 'fixed_sequence', stored: Boundaries | None = None,
          step: Callable[[float], None] | None = None) -> Ladder:
    """Judge all checkpoints of a study on the rounds that are complete with every one of them.

    Args:
        pairs: name of a pruned checkpoint -> its pairs with the baseline; by increasing sparsity.
        terms: of the study, or its design.
        method: ``fixed_sequence`` or ``holm``.
        stored: boundaries at the full alpha of the study, used where they fit.
        step: called now and then.

    Raises:
        TrialError: no checkpoint, or an unknown method.

    """
    if method not in METHODS:
        raise TrialError(unknown('method for several checkpoints', method, METHODS))
    if not pairs:
        raise TrialError('no pruned checkpoint to judge')
    if isinstance(terms, Design):
        terms = Terms.of(terms)
    everything = {name: list(ones) for name, ones in pairs.items()}
    ladder = _in_sequence if method == 'fixed_sequence' else _by_holm
    return ladder(everything, terms, stored, step)


def has_answers(pairs: Mapping[str, Iterable[Pair]], terms: Terms, method: str,
                stored: Boundaries) -> bool:
    """Say whether the study has its answer on every checkpoint; quickly, for a running study.

    By Holm a checkpoint is judged at a smaller error than that of the study until others are
    accepted, so it is looked for at that error: else the study would end one look too early.

    Args:
        pairs: name of a pruned checkpoint -> its pairs with the baseline.
        terms: of the study.
        method: ``fixed_sequence`` or ``holm``.
        stored: boundaries at the full alpha of the study.

    """
    left = {name: list(ones) for name, ones in pairs.items()}
    shared = common_rounds(left, terms.conditions)
    left = {name: [pair for pair in ones if pair.round < shared] for name, ones in left.items()}
    if method == 'fixed_sequence':
        return all(may_stop(ones, terms, stored) for ones in left.values())
    while left:
        strict = replace(terms, alpha=terms.alpha / len(left))
        mine = stored if len(left) == 1 else boundaries(strict)
        passed = [name for name, ones in left.items() if no_worse(ones, strict, mine)]
        if not passed:
            return all(may_stop(ones, strict, mine) for ones in left.values())
        left = {name: ones for name, ones in left.items() if name not in passed}
    return True


def _in_sequence(pairs: Mapping[str, list[Pair]], terms: Terms, stored: Boundaries | None,
                 step: Callable[[float], None] | None) -> Ladder:
    shared = common_rounds(pairs, terms.conditions)
    verdicts = {name: judge(ones, terms, stored, step, shared) for name, ones in pairs.items()}
    kept = fixed_sequence([verdict.accepted for verdict in verdicts.values()])
    first = next((name for name, verdict in verdicts.items() if not verdict.accepted), '')
    return Ladder(tuple(
        Rung(name, verdict, accepted, '' if accepted else
             f'comes after {first}, which was not accepted' if name != first else
             'was not shown to be no worse')
        for (name, verdict), accepted in zip(verdicts.items(), kept, strict=True)),
        'fixed_sequence')


def _by_holm(pairs: Mapping[str, list[Pair]], terms: Terms, stored: Boundaries | None,
             step: Callable[[float], None] | None) -> Ladder:
    """Step down: at alpha / K first; whenever some are accepted, at a larger alpha again."""
    verdicts: dict[str, Verdict] = {}
    left, shared = list(pairs), common_rounds(pairs, terms.conditions)
    while left:
        strict = replace(terms, alpha=terms.alpha / len(left))
        fitting = stored if len(left) == 1 else None
        verdicts |= {name: judge(pairs[name], strict, fitting, step, shared)
                     for name in left}
        passed = [name for name in left if verdicts[name].accepted]
        left = [name for name in left if name not in passed]
        if not passed:
            break
    return Ladder(tuple(
        Rung(name, verdicts[name], name not in left, '' if name not in left else
             f'was not shown to be no worse at an error of {verdicts[name].terms.alpha:.4g}')
        for name in pairs), 'holm')
