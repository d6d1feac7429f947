# SPDX-License-Identifier: Apache-2.0
"""Everything that a report says, as numbers; words and pictures are made of nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
import math
from typing import Any

from vla_drop_ros.report.arms import arm_result, ArmResult, CheckpointFacts
from vla_drop_ros.report.comparison import compare, Comparison, duos_of
from vla_drop_ros.report.incidents import Incidents, incidents_of
from vla_drop_ros.report.letters import Letters, letters_of
from vla_drop_ros.report.measurements import (
    Measured,
    measured,
    MOTION,
    PREPARATION,
    RUNNING,
)
from vla_drop_ros.report.next_study import next_studies, NextStudy
from vla_drop_ros.report.protocol import Protocol, protocol_of
from vla_drop_ros.report.scenes import Scene, scenes_of
from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.report.trial_row import complete_rounds_of, rows_of, TrialRow
from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.ladder import climb
from vla_drop_ros.trials.pairs import Outcome, pairs_of
from vla_drop_ros.trials.unblinding import outcomes_of
from vla_drop_ros.trials.verdict import Verdict

UNKNOWN = CheckpointFacts(note='the checkpoint is not on this machine')
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Results:
    """A study, reported.

    Attributes:
        record: what it was read from.
        ended: why it ended; '' while it goes on.
        rounds: complete ones, with all arms.
        pairs_planned: 0 without a horizon.
        rows: every judged attempt.
        protocol: what happened beside the trials.
        arms: the baseline first; empty while blinded, as is all that follows.
        method: how several pruned checkpoints are judged.
        furthest: the sparsest accepted checkpoint, '' if there is none.
        comparisons: one a pruned checkpoint.
        next_studies: what other studies would take.
        letters: which arms one look tells apart; None with two.
        incidents: by arm; None while blinded.
        motion: of trials that succeeded, and of pairs that both solved.
        running: the computer and the stream of commands, by arm.
        preparation: times around the trials, by arm.
        scenes: trials whose begin is worth a look.

    """

    record: StudyRecord
    ended: str
    rounds: int
    pairs_planned: int
    rows: tuple[TrialRow, ...]
    protocol: Protocol
    arms: tuple[ArmResult, ...] = ()
    method: str = ''
    furthest: str = ''
    comparisons: tuple[Comparison, ...] = ()
    next_studies: tuple[NextStudy, ...] = ()
    letters: Letters | None = None
    incidents: Incidents | None = None
    motion: tuple[Measured, ...] = ()
    running: tuple[Measured, ...] = ()
    preparation: tuple[Measured, ...] = ()
    scenes: tuple[Scene, ...] = ()

    @property
    def blinded(self) -> bool:
        """Say whether nobody may see which arm ran."""
        return self.record.schedule is None

    @property
    def pairs_done(self) -> int:
        """Return the conditions of the complete rounds, each run with every arm."""
        return self.rounds * len(self.record.study.design.conditions)

    @property
    def may_stop(self) -> bool:
        """Say whether the rule allowed to end at the last look of every log."""
        return all(log.course.may_stop for log in self.record.logs.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what is nan or infinite is null."""
        study = self.record.study
        found = {
            'format': 1, 'title': study.design.title, 'question': study.design.question,
            'blinded': self.blinded, 'ended': self.ended, 'rounds': self.rounds,
            'pairs_done': self.pairs_done, 'pairs_planned': self.pairs_planned,
            'digest': study.design.digest, 'commitment': study.commitment,
            'tool_version': study.tool_version,
            'logs': [{'log': log.uuid, 'robot': log.opened.get('robot', ''),
                      'events': len(log.events), 'ended': log.course.finished}
                     for log in self.record.logs.values()],
            'protocol': plain(self.protocol), 'trials': len(self.rows)}
        if not self.blinded:
            found |= {'arms': plain(self.arms), 'method': self.method, 'furthest': self.furthest,
                      'comparisons': plain(self.comparisons),
                      'next_studies': plain(self.next_studies),
                      'letters': plain(self.letters), 'incidents': plain(self.incidents),
                      'motion': plain(self.motion), 'running': plain(self.running),
                      'preparation': plain(self.preparation),
                      'scenes': [{'code': one.row.code, 'log': one.row.log, 'why': one.why,
                                  'match': plain(one.match)} for one in self.scenes]}
        return found


def results_of(record: StudyRecord, facts: Mapping[str, CheckpointFacts] | None = None,
               say: Report | None = None) -> Results:
    """Return everything a report says.

    Args:
        record: blinded or unblinded.
        facts: arm -> what the manifest of its checkpoint says.
        say: called with a line before everything that may take seconds.

    Raises:
        TrialError: the log and the schedule contradict each other.

    """
    design, schedule = record.study.design, record.schedule
    tell = say or (lambda line: None)
    rows = rows_of(record)
    rounds = complete_rounds_of(rows)
    outcomes: list[Outcome] = [] if schedule is None else outcomes_of(
        record.attempts, schedule, design)
    protocol = protocol_of(record, rows, outcomes)
    if schedule is None:
        return Results(record, record.ended, rounds, _planned(record), rows, protocol)
    baseline, *candidates = [arm.name for arm in design.arms]
    tell('verdict and its interval')
    ladder = climb({name: pairs_of(outcomes, baseline, name) for name in candidates},
                   Terms.of(design), design.several, record.study.boundaries)
    comparisons = []
    for rung in ladder.rungs:
        tell(f'{rung.name}: analyses beside the verdict')
        comparisons.append(compare(rung, baseline, rows, outcomes, design))
    arms = [arm.name for arm in design.arms]
    duos = {name: duos_of(rows, name, baseline) for name in candidates}
    tell('studies that would decide')
    return Results(
        record, record.ended, rounds, _planned(record), rows, protocol,
        tuple(arm_result(arm, rows, design, (facts or {}).get(arm.name, UNKNOWN))
              for arm in design.arms),
        ladder.method, ladder.furthest, tuple(comparisons),
        next_studies([rung.verdict for rung in ladder.rungs], rows, design, tell),
        letters_of(rows, arms), incidents_of(rows, arms, duos),
        measured(MOTION, arms, rows, [*duos.values()], both_solved=True),
        measured(RUNNING, arms, rows, [*duos.values()]),
        measured(PREPARATION, arms, rows, [*duos.values()]), scenes_of(rows, comparisons))


def _planned(record: StudyRecord) -> int:
    stopping = record.study.design.stopping
    return 0 if stopping.rule == 'anytime' else stopping.horizon


def plain(value: Any) -> Any:
    """Return plain JSON types of dataclasses, enums and numbers; nan and infinite are null."""
    if isinstance(value, Verdict):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
