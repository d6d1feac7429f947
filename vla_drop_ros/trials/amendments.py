# SPDX-License-Identifier: Apache-2.0
"""What people add to the log of a study after the fact: amendments, corrections, second ratings.

All are events like any other, on disk and in the chain, so the report can count and show them.
They wait until no trial node writes the log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_drop_ros.errors import TrialError, unknown
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import Event, TrialLog
from vla_drop_ros.trials.merged_log import read_logs, StudyLog
from vla_drop_ros.trials.ratings import Rating

CORRECTIONS = ('success', 'partial', 'failure')
LONGEST = 4000  # characters of a text


def amend(path: Path, study: LockedStudy, text: str, who: str) -> Event:
    """Write down that something was done otherwise than planned, and why.

    Args:
        path: log of the study.
        study: that the log must belong to.
        text: what and why.
        who: pseudonym.

    Raises:
        TrialError: a text is empty or too long; or the log is missing, damaged, of another study,
            or being written by a trial node.

    """
    said = {'text': _words('text', text), 'who': _words('--who', who)}
    with _opened(path, study) as (log, _):
        return log.append('amendment', said)


def relabel(path: Path, study: LockedStudy, code: str, verdict: str, why: str, who: str,
            stage: str = '', reason: str = '') -> Event:
    """Correct a verdict after the next trial was started, when ``undo`` is not possible any more.

    Invalid trials stay invalid, and others cannot become so: an invalid trial runs again at the
    same place, which only happens while the study runs.

    Args:
        path: log of the study.
        study: that the log must belong to.
        code: of the trial.
        verdict: one of ``CORRECTIONS``.
        why: what the correction rests on, for instance the video.
        who: pseudonym.
        stage: that a partial success reached, from the rubric.
        reason: of a failure, from the design's list; '' for none.

    Raises:
        TrialError: as ``amend``; the trial is not in the log, or not judged; or a word is not in
            the design.

    """
    progress = _progress(study.design, verdict, stage, reason)
    said = {'why': _words('--why', why), 'who': _words('--who', who)}
    with _opened(path, study) as (log, known):
        _check_trial(known.course, path, code)
        return log.append('relabelled', {
            'code': code, 'verdict': verdict, 'stage': stage, 'reason': reason,
            'progress': progress, **said})


def rate(path: Path, study: LockedStudy, code: str, rating: Rating) -> Event:
    """Add what a second person says of the recording of a trial; the verdict stays.

    Args:
        path: log of the study.
        study: that the log must belong to.
        code: of the trial.
        rating: success, failure or partial; a stage with the last two, as the rubric has it.

    Raises:
        TrialError: as ``relabel``; or the rater is who judged the trial first.

    """
    staged = rating.verdict == 'failure' and rating.stage
    _progress(study.design, 'partial' if staged else rating.verdict, rating.stage, '')
    rater, note = _words('--rater', rating.rater), rating.note.strip()[:LONGEST]
    with _opened(path, study) as (log, known):
        _check_trial(known.course, path, code)
        if known.course.find(code).who == rater:
            raise TrialError(f'{rater!r} judged trial {code} at the robot; a second rating is '
                             "somebody else's")
        return log.append('rated', {'code': code, 'rater': rater, 'verdict': rating.verdict,
                                    'stage': rating.stage, 'note': note})


@contextmanager
def _opened(path: Path, study: LockedStudy) -> Iterator[tuple[TrialLog, StudyLog]]:
    """Hold a log that exists, and yield it with what is in it."""
    if not path.is_file():
        raise TrialError(f'{path} does not exist: no trial was run; the log is begun by the '
                         'trial node')
    known = read_logs([path], study)
    if len(known) != 1:
        raise TrialError(f'{path} holds the merged logs of {len(known)} robots; write into the '
                         'log of one of them, and merge again')
    with TrialLog(path, resume=True) as log:
        [found] = read_logs([path], study).values()  # once more: nobody else writes now
        yield log, found


def _check_trial(course: Course, path: Path, code: str) -> None:
    codes = [one.code for one in course.attempts if one.judged]
    if code not in codes:
        raise TrialError(f'{path}: there is no judged trial {code!r}; there are '
                         f'{codes[0]} to {codes[-1]}' if codes else
                         f'{path}: no trial is judged yet')
    if course.find(code).verdict == 'invalid':
        raise TrialError(f'trial {code} is invalid and its place was run again; it stays out. '
                         'Write down what speaks against that with vla_drop trials amend')


def _progress(design: Design, verdict: str, stage: str, reason: str) -> float:
    """Check the words of a correction and return the progress that they mean."""
    if verdict == 'invalid':
        raise TrialError('a trial cannot be made invalid afterwards: its place would stay empty '
                         'and no later round would count. Write down what happened with '
                         'vla_drop trials amend')
    if verdict not in CORRECTIONS:
        raise TrialError(unknown('verdict', verdict, CORRECTIONS))
    stages = [one.id for one in design.rubric]
    if verdict == 'partial':
        if stage not in stages:
            raise TrialError(unknown('stage', stage, stages) + '; it says how far a partial '
                             'success came (--stage)')
    elif stage:
        raise TrialError(f'a {verdict} has no stage; leave {stage!r} out')
    if reason and verdict != 'failure':
        raise TrialError(f'a {verdict} has no reason; leave {reason!r} out')
    if reason and reason not in design.failure_reasons:
        raise TrialError(unknown('reason', reason, design.failure_reasons))
    if verdict == 'partial':
        return round((stages.index(stage) + 1) / (len(stages) + 1), 6)
    return 1.0 if verdict == 'success' else 0.0


def _words(name: str, text: str) -> str:
    if not text.strip() or len(text) > LONGEST:
        raise TrialError(f'{name} has {len(text)} characters; it needs 1 to {LONGEST}, not only '
                         'spaces')
    return text.strip()
