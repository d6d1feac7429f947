# SPDX-License-Identifier: Apache-2.0
"""Which trials show how scenes began: the first, the worst matches, and the pairs that differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from vla_drop_ros.report.comparison import Comparison
from vla_drop_ros.report.trial_row import TrialRow

MOST_SCENES = 16
WORST_OF_ARM = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """The begin of a trial that is worth a look.

    Attributes:
        row: the trial.
        why: it was chosen.
        match: with the reference, 0..1; nan where it has none.

    """

    row: TrialRow
    why: str
    match: float


def scenes_of(rows: Sequence[TrialRow], comparisons: Sequence[Comparison]) -> tuple[Scene, ...]:
    """Return at most ``MOST_SCENES`` trials that have a picture, each once.

    Args:
        rows: of the opened study.
        comparisons: with their discordant pairs.

    """
    seen = [row for row in rows if row.counted and row.text('picture', 'uri')]
    wanted = [(row, 'first trial') for row in seen[:1]]
    arms = list(dict.fromkeys(row.arm for row in seen))
    for arm in arms:
        matched = sorted((row for row in seen if row.arm == arm
                          and isfinite(row.number('picture', 'match'))),
                         key=lambda row: row.number('picture', 'match'))
        wanted += [(row, f'worst match of {arm}') for row in matched[:WORST_OF_ARM]]
    for one in comparisons:
        for pair in one.discordant:
            both = f'only one of {one.name} and {one.baseline} solved it'
            wanted += [(row, both) for row in (pair.solved, pair.failed) if row in seen]
    found: dict[tuple[str, str], Scene] = {}
    for row, why in wanted:
        place = row.log, row.code
        known = found.get(place)
        if known is not None or len(found) < MOST_SCENES:
            why = f'{known.why}; {why}' if known is not None and why not in known.why else (
                known.why if known is not None else why)
            found[place] = Scene(row, why, row.number('picture', 'match'))
    return tuple(sorted(found.values(), key=lambda scene: (scene.row.index, scene.row.attempt)))
