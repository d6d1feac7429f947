# SPDX-License-Identifier: Apache-2.0
"""The verdict of a paired study: one of a few words, fixed before the first trial.

The words rest on four rejections (see ``evidence``). 'Better' counts only beside 'non-inferior',
so the two need no correction; the two directions have an error of alpha each. The verdict is a
function of the complete rounds alone: lines in another order, or logs that were merged, give the
same one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
import math
from typing import Any

from scipy.stats import beta

from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import (
    Boundaries,
    boundaries,
    check_boundaries,
    evidence,
    HYPOTHESES,
    Hypothesis,
    interval_of,
    Look,
    rejected_at,
    rule_for,
    Terms,
)
from vla_drop_ros.trials.pairs import Pair, path_of, rounds_of
from vla_drop_ros.trials.planning import Blindness, blindness, fixed_pairs, Truth
from vla_drop_ros.trials.statistics import Interval

MOST_WALKED = 400  # pairs for which it is computed what they could not have seen


class Word(Enum):
    """All that a study can say."""

    NON_INFERIOR = 'NON-INFERIOR'
    BETTER = 'BETTER'
    WORSE = 'WORSE'
    INFERIOR = 'WORSE BY MORE THAN THE MARGIN'
    WITHIN_MARGIN = 'WORSE BUT WITHIN THE MARGIN'
    INCONCLUSIVE = 'INCONCLUSIVE'
    UNINTERPRETABLE = 'UNINTERPRETABLE'
    CONTRADICTORY = 'CONTRADICTORY'


@dataclass(frozen=True, slots=True)
class Counts:
    """Pairs of the complete rounds, by who solved them.

    Attributes:
        both: solved by both.
        candidate_only: by the candidate only.
        baseline_only: by the baseline only.
        neither: by neither.

    """

    both: int
    candidate_only: int
    baseline_only: int
    neither: int

    @property
    def pairs(self) -> int:
        """Return all of them."""
        return self.both + self.candidate_only + self.baseline_only + self.neither

    @property
    def baseline(self) -> int:
        """Return the successes of the baseline."""
        return self.both + self.baseline_only

    @property
    def candidate(self) -> int:
        """Return the successes of the candidate."""
        return self.both + self.candidate_only


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a study says, and on what it rests.

    Attributes:
        word: the verdict.
        terms: margin, error and stopping rule.
        counts: of the complete rounds up to the horizon.
        left_out: pairs outside complete rounds, or beyond the horizon.
        rejections: hypothesis -> pairs at the look that rejected it first, 0: not rejected.
        interval: difference of success, confidence 1 - 2 alpha, right under the stopping rule.
        baseline_low: lower bound of the success of the baseline, one-sided, error alpha.
        looks: hypothesis -> statistic and threshold after every complete round.
        blindness: what the study could not have seen; None before the first complete round, and
            for more than ``MOST_WALKED`` pairs.
        needed: pairs of one look that would show 'non-inferior' with 80 % power if the observed
            difference and discordance were the truth; 0: no number would.

    """

    word: Word
    terms: Terms
    counts: Counts
    left_out: int
    rejections: Mapping[Hypothesis, int]
    interval: Interval
    baseline_low: float
    looks: Mapping[Hypothesis, tuple[Look, ...]]
    blindness: Blindness | None
    needed: int

    @property
    def guarded(self) -> bool:
        """Say whether the baseline is strong enough for 'no worse' to mean anything."""
        return self.baseline_low >= self.terms.minimum_baseline

    @property
    def accepted(self) -> bool:
        """Say whether the candidate was shown to be no worse than the margin allows."""
        return self.word in (Word.NON_INFERIOR, Word.BETTER, Word.WITHIN_MARGIN)

    @property
    def retained(self) -> float:
        """Return the share of the baseline's success that the margin keeps; nan without any."""
        if not self.counts.baseline:
            return math.nan
        rate = self.counts.baseline / self.counts.pairs
        return max(0.0, (rate - self.terms.margin) / rate)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what is nan or inf is null."""
        return {
            'verdict': self.word.value, 'accepted': self.accepted, 'terms': self.terms.to_dict(),
            'counts': asdict(self.counts), 'left_out': self.left_out,
            'rejections': dict(self.rejections),
            'interval': {name: _plain(value) for name, value in asdict(self.interval).items()},
            'baseline_low': self.baseline_low, 'guarded': self.guarded,
            'retained': _plain(self.retained),
            'looks': {name: [{key: _plain(value) for key, value in asdict(look).items()}
                             for look in looks] for name, looks in self.looks.items()},
            'blindness': self.blindness.to_dict() if self.blindness else None,
            'needed': self.needed}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def baseline_bound(successes: int, trials: int, alpha: float) -> float:
    """Return the lower Clopper-Pearson bound of a success rate, one-sided, error alpha.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.
    """
    return float(beta.ppf(alpha, successes, trials - successes + 1)) if successes else 0.0


def judge(pairs: Iterable[Pair], terms: Terms | Design, stored: Boundaries | None = None,
          step: Callable[[float], None] | None = None, rounds: int | None = None) -> Verdict:
    """Return the verdict on one candidate.

    Args:
        pairs: complete pairs, in any order.
        terms: of the study, or its design.
        stored: boundaries from the file of the study; built anew if None.
        step: called now and then, as horizons of hundreds of pairs take minutes.
        rounds: at most so many are looked at, as later ones miss an arm; None: all complete ones.

    Raises:
        TrialError: the pairs contradict each other, or the boundaries are of another study.

    """
    if isinstance(terms, Design):
        terms = Terms.of(terms)
    if stored is None:
        stored = boundaries(terms)
    check_boundaries(stored, terms)
    found = list(dict.fromkeys(pairs))
    looked_at = _rounds(found, terms)[:rounds]
    used = [pair for members in looked_at for pair in members]
    counts = Counts(sum(pair.candidate and pair.baseline for pair in used),
                    sum(pair.candidate and not pair.baseline for pair in used),
                    sum(pair.baseline and not pair.candidate for pair in used),
                    sum(not pair.candidate and not pair.baseline for pair in used))
    path = path_of(looked_at)
    looks = {name: evidence(path, name, terms, stored) for name in HYPOTHESES}
    rejections = {name: rejected_at(series) for name, series in looks.items()}
    low = baseline_bound(counts.baseline, counts.pairs, terms.alpha)
    return Verdict(
        _word(rejections, low >= terms.minimum_baseline), terms, counts, len(found) - len(used),
        rejections, interval_of(path, terms, rejections, step), low, looks,
        _blindness(counts, terms, stored), _needed(counts, terms))


def may_stop(pairs: Iterable[Pair], terms: Terms, stored: Boundaries) -> bool:
    """Say whether the study has its answer, quickly: all that may be told while it is blinded.

    True once the candidate is shown no worse, with a baseline that is strong enough, or worse by
    more than the margin, or the horizon is reached.
    """
    pairs = list(pairs)
    path = path_of(_rounds(pairs, terms))
    if terms.rule != 'anytime' and path and path[-1][2] + terms.conditions > terms.horizon:
        return True
    if rejected_at(evidence(path, 'inferior', terms, stored)):
        return True
    return no_worse(pairs, terms, stored)


def no_worse(pairs: Iterable[Pair], terms: Terms, stored: Boundaries) -> bool:
    """Say whether the candidate is shown no worse, with a baseline that is strong enough."""
    rounds = _rounds(pairs, terms)
    path = path_of(rounds)
    solved = sum(pair.baseline for members in rounds for pair in members)
    trials = sum(map(len, rounds))
    return (rejected_at(evidence(path, 'non_inferior', terms, stored)) > 0
            and baseline_bound(solved, trials, terms.alpha) >= terms.minimum_baseline)


def _rounds(pairs: Iterable[Pair], terms: Terms) -> list[list[Pair]]:
    rounds = rounds_of(pairs, terms.conditions)
    return rounds if terms.rule == 'anytime' else rounds[:terms.horizon // terms.conditions]


def _word(rejections: Mapping[Hypothesis, int], guarded: bool) -> Word:
    no_worse, inferior = rejections['non_inferior'], rejections['inferior']
    better, worse = rejections['better'] and no_worse, rejections['worse']
    if (no_worse and inferior) or (better and worse):
        return Word.CONTRADICTORY
    if inferior:
        return Word.INFERIOR
    if better:
        return Word.BETTER
    if no_worse and not guarded:
        return Word.UNINTERPRETABLE
    if no_worse:
        return Word.WITHIN_MARGIN if worse else Word.NON_INFERIOR
    return Word.WORSE if worse else Word.INCONCLUSIVE


def _observed(counts: Counts) -> Truth:
    """Return the observed difference, with a discordance that is not zero by luck."""
    difference = (counts.candidate_only - counts.baseline_only) / counts.pairs
    discordant = counts.candidate_only + counts.baseline_only
    return Truth(0.0, (discordant + 1) / (counts.pairs + 2)).moved(difference)


def _needed(counts: Counts, terms: Terms) -> int:
    return fixed_pairs(terms.margin, terms.alpha, _observed(counts)) if counts.pairs else 0


def _blindness(counts: Counts, terms: Terms, stored: Boundaries) -> Blindness | None:
    pairs = counts.pairs if terms.rule == 'anytime' else terms.horizon
    if not counts.pairs or pairs > MOST_WALKED:
        return None
    return blindness(rule_for('non_inferior', terms, stored, pairs),
                     rule_for('worse', terms, stored, pairs), pairs,
                     _observed(counts).discordance, terms.margin)
