# SPDX-License-Identifier: Apache-2.0
"""What a design will say, by simulation of whole studies: also where nothing exact exists.

Every study is drawn, judged after every round, and stopped as soon as every arm has its answer,
like a real one: with the guard of the baseline, the ladder, and the error that is really spent.
Losses are compared on the same luck, so that their order is not blurred by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.fast_judge import Outcomes
from vla_drop_ros.trials.fast_ladder import FastLadder, StudyEnds
from vla_drop_ros.trials.planning import POWER, Truth

CHUNK = 500  # studies drawn at once, for the memory
SEED = 1
ROOM = 1e-9  # by which rounding may make a probability too large
Progress = Callable[[str, int, int], None]  # what, studies so far, studies in all


@dataclass(frozen=True, slots=True)
class Share:
    """A share of simulated studies, with one standard error."""

    value: float
    studies: int

    @property
    def error(self) -> float:
        """Return the standard error."""
        return math.sqrt(self.value * (1 - self.value) / self.studies)


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is assumed of the arms before the first trial.

    Given what the baseline did with a pair, pruned arms know nothing of each other's luck.

    Attributes:
        baseline: success of the baseline.
        discordance: of an equal arm with it; None: as if they had nothing in common.

    """

    baseline: float
    discordance: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no arms can do."""
        if not 0.0 < self.baseline < 1.0:
            raise TrialError(f'a baseline of {self.baseline:g}; it lies between 0 and 1')
        most = 2 * min(self.baseline, 1 - self.baseline)
        if self.discordance is not None and not 0.0 <= self.discordance <= most + ROOM:
            raise TrialError(f'a discordance of {self.discordance:g}: two arms that both succeed '
                             f'in {self.baseline:g} differ in {most:g} of the pairs at most')

    def truth(self, loss: float) -> Truth:
        """Return the truth of an arm that loses so much, as a proportion."""
        if not 0.0 <= loss <= self.baseline:
            raise TrialError(f'a loss of {loss:g} of a baseline of {self.baseline:g}; it lies '
                             'between 0 and the baseline')
        candidate = self.baseline - loss
        if self.discordance is None:
            return Truth.independent(self.baseline, candidate)
        gains = min(max(0.0, (self.discordance - loss) / 2), candidate, 1 - self.baseline)
        return Truth(-loss, loss + 2 * gains)

    def draw(self, loss: float, arms: int, studies: int, pairs: int, stream: int = 0) -> Outcomes:
        """Return outcomes of arms that lose alike; the same luck for every loss.

        Args:
            loss: of every arm.
            arms: pruned ones; more leave the luck of the first ones as it is.
            studies: to draw.
            pairs: of each.
            stream: of the random numbers.

        """
        truth = self.truth(loss)
        after_success = 1 - truth.baseline_only / self.baseline
        after_failure = truth.candidate_only / (1 - self.baseline)
        luck = [np.random.default_rng([SEED, stream, arm]).random((studies, pairs), np.float32)
                for arm in range(arms + 1)]
        baseline = luck[0] < self.baseline
        chance = np.where(baseline, np.float32(after_success), np.float32(after_failure))
        return Outcomes(baseline, np.array([one < chance for one in luck[1:]]))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What studies say in which every pruned arm loses so much.

    Attributes:
        loss: of success, as a proportion.
        all_accepted: studies that show every pruned arm to be no worse.
        any_accepted: that show it of one at least.
        each: how often each arm is accepted, in the order of the design.
        worse: how often an arm is called worse, over all arms.
        neither: how often an arm is left open, over all arms.
        answered: studies that end with an answer on every arm, not by the cap or the horizon.
        mean_pairs: at the end.
        mean_error: its standard error.
        half_by: pairs by which half of the studies have ended.
        most_by: and nine of ten.

    """

    loss: float
    all_accepted: Share
    any_accepted: Share
    each: tuple[Share, ...]
    worse: Share
    neither: Share
    answered: Share
    mean_pairs: float
    mean_error: float
    half_by: int
    most_by: int


def outlook(ladder: FastLadder, assumption: Assumption, loss: float, arms: int, studies: int,
            progress: Progress | None = None) -> Outlook:
    """Simulate studies.

    Args:
        ladder: tables of the rule.
        assumption: of the arms.
        loss: of every pruned arm, as a proportion.
        arms: pruned ones.
        studies: to simulate.
        progress: called after every few hundred studies.

    """
    found = []
    pairs, done = int(ladder.judges[0].ends[-1]), 0
    for stream, start in enumerate(range(0, studies, CHUNK)):
        size = min(CHUNK, studies - start)
        found.append(ladder.ends(assumption.draw(loss, arms, size, pairs, stream)))
        done += size
        if progress is not None:
            progress(f'a loss of {100 * loss:.3g} points', done, studies)
    return _summary(loss, found, studies)


def _summary(loss: float, found: list[StudyEnds], studies: int) -> Outlook:
    pairs, answered = (np.concatenate([getattr(one, name) for one in found])
                       for name in ('pairs', 'answered'))
    accepted, worse = (np.concatenate([getattr(one, name) for one in found], axis=1)
                       for name in ('accepted', 'worse'))

    def share(happened: object) -> Share:
        return Share(float(np.mean(np.asarray(happened))), studies)

    half, most = np.quantile(pairs, (0.5, 0.9), method='inverted_cdf')
    return Outlook(loss, share(accepted.all(axis=0)), share(accepted.any(axis=0)),
                   tuple(map(share, accepted)), share(worse), share(~accepted & ~worse),
                   share(answered), float(pairs.mean()),
                   float(pairs.std() / math.sqrt(studies)), int(half), int(most))


def seen_from(ladder: FastLadder, assumption: Assumption, arms: int, studies: int,
              progress: Progress | None = None, power: float = POWER) -> int:
    """Return the smallest loss, in whole points, that is called worse with a power; 0: none is.

    Found by halving, as a larger loss is called worse more often.
    """
    def enough(points: int) -> bool:
        return outlook(ladder, assumption, points / 100, arms, studies,
                       progress).worse.value >= power

    low, high = 0, math.floor(100 * assumption.baseline + ROOM)
    if high < 1 or not enough(high):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
