# SPDX-License-Identifier: Apache-2.0
"""All that a report reads: the locked study, its logs, and whether the arms may be named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.locked_study import load_study, LockedStudy, open_schedule, SECRET_FILE
from vla_drop_ros.trials.log import Event, TrialLog
from vla_drop_ros.trials.merged_log import attempts_of, OPENING, read_logs, StudyLog
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.study_log import LOG_FILE

LOGS = '*.jsonl'


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as its folder and its logs tell it.

    Attributes:
        folder: with study.json.
        study: locked.
        logs: by uuid, in the order in which they were begun.
        schedule: opened; None: the report is blinded, and nobody has read the secret.
        opening: what became of writing the opening into the log, in words; '' when blinded.
        paths: files that were read.

    """

    folder: Path
    study: LockedStudy
    logs: Mapping[str, StudyLog]
    schedule: SealedSchedule | None = None
    opening: str = ''
    paths: tuple[Path, ...] = ()

    @property
    def attempts(self) -> list[Attempt]:
        """Return the attempts of all logs."""
        return attempts_of(self.logs)

    @property
    def ended(self) -> str:
        """Return why the study ended; '' while any of its robots goes on."""
        reasons = [log.course.finished for log in self.logs.values()]
        return '; '.join(dict.fromkeys(reasons)) if reasons and all(reasons) else ''

    def events(self, *kinds: str) -> list[tuple[StudyLog, Event]]:
        """Return the events of some kinds with their logs, log by log."""
        return [(log, event) for log in self.logs.values()
                for event in (*log.events, *log.openings) if event.kind in kinds]


def read_record(folder: Path, logs: Sequence[Path] = ()) -> StudyRecord:
    """Read a study, blinded: the secret stays closed.

    Args:
        folder: of the study.
        logs: of other robots or days, or merged ones; none: all in the folder.

    Raises:
        TrialError: there is no study, something was changed, or no log is there.

    """
    study = load_study(folder)
    paths = list(logs) or sorted(folder.glob(LOGS), key=lambda path: (
        path.name != LOG_FILE, path.name))  # of equal copies the first is taken, and appended to
    paths = [path for path in paths if path.stat().st_size]
    found = read_logs(paths, study)
    if not found:
        raise TrialError(f'{folder} holds no log yet: nothing was run; start with '
                         f'ros2 launch vla_drop_ros ab_trial.launch.py study:={folder}')
    return StudyRecord(folder, study, found, paths=tuple(paths))


def unblind(record: StudyRecord, who: str, early: bool = False) -> StudyRecord:
    """Open the secret, and write into every log that it was opened.

    Args:
        record: blinded.
        who: opens it.
        early: even though the study has not ended.

    Returns:
        the record with the schedule, its logs read again.

    Raises:
        TrialError: the study goes on and ``early`` is not said; the secret is not this study's;
            a token is not the schedule's; a trial node still writes the log.

    """
    if not record.ended and not early:
        raise TrialError('the study has not ended: whoever sees the arms now cannot judge the '
                         'rest blind. Leave --unblind out for the blinded view, or give '
                         '--unblind to open it all the same')
    if not (record.folder / SECRET_FILE).exists():
        raise TrialError(f'{record.folder / SECRET_FILE} is missing: without the secret nobody '
                         'can say which arm ran; bring it from the machine that ran the study')
    schedule = open_schedule(record.folder, record.study)
    said = [_write_down(log, who, bool(record.ended)) for log in record.logs.values()]
    logs = read_logs(record.paths, record.study, schedule)
    return replace(record, logs=logs, schedule=schedule, opening='; '.join(dict.fromkeys(said)))


def _write_down(log: StudyLog, who: str, ended: bool) -> str:
    """Append the opening to a log, unless it is the last thing in it; return what was done."""
    if log.events[-1].kind == OPENING:
        return f'the opening is in the log since {log.events[-1].wall}'
    if log.first != 1 or log.torn:
        return f'the opening is not in the log: {log.source.name} is a merged or torn copy'
    try:
        with TrialLog(log.source, resume=True) as writer:
            event = writer.append(OPENING, {'who': who, 'ended': ended})
    except TrialError as error:
        if 'another process' in str(error):  # it could still take verdicts back
            raise TrialError(f'{log.source} is being written: stop the trial node first, so that '
                             'nobody judges any more who has seen the arms') from error
        return f'the opening is not in the log: {error}'
    return f'the opening is in the log, {event.wall}'
