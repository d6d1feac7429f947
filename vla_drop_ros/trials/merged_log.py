# SPDX-License-Identifier: Apache-2.0
"""Logs of one study from several robots or days, read together or merged into one file.

A merged file holds the lines of every log unchanged, chain by chain, in the order in which the
logs were begun. So it is what it would be whichever of them were merged first, and it can be
merged and reported again. A log is known by the uuid in its ``opened`` event: a copy, or an older
copy, of the same log counts once.

Whoever opens the arms is written down in the copy that was read. So copies may end in openings
that others lack. All are kept: the lines of the log first, then the openings that were written
into other copies, each with the hash of the line after which it was written. Whatever else a copy
went on with, apart from the others, is refused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
import json
import os
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import Event, FIRST, parse_line, read_lines
from vla_drop_ros.trials.sealed_schedule import SealedSchedule

IDENTITY = ('log', 'study', 'commitment')
OPENING = 'unblinded'
NO_EVENT = (KeyError, TypeError, ValueError, IndexError, AttributeError, TrialError)


@dataclass(frozen=True, slots=True)
class StudyLog:
    """The log of one robot, its chain checked and its events told.

    Attributes:
        opened: data of its ``opened`` event: log, study, commitment, robot ...
        lines: as they are in the file, without newlines.
        events: one a line.
        course: the state after them.
        source: file that it was read from.
        first: its first line in this file, from 1.
        torn: bytes of a torn last line, which say nothing.
        asides: lines of openings that were written into other copies.
        openings: their events.

    """

    opened: Mapping[str, Any]
    lines: tuple[bytes, ...]
    events: tuple[Event, ...]
    course: Course
    source: Path
    first: int
    torn: int = 0
    asides: tuple[bytes, ...] = ()
    openings: tuple[Event, ...] = ()

    @property
    def told(self) -> dict[bytes, Event]:
        """Return the event of every line, of this copy and of others."""
        return dict(zip((*self.lines, *self.asides), (*self.events, *self.openings), strict=True))

    @property
    def uuid(self) -> str:
        """Return what tells this log from every other."""
        return str(self.opened['log'])

    @property
    def begun(self) -> tuple[str, str]:
        """Return what logs are ordered by: when they were begun, then the uuid."""
        return self.events[0].wall, self.uuid

    def places(self) -> dict[str, str]:
        """Return file and line where every trial was issued, by its code, for messages."""
        return {str(event.data['code']): f'{self.source}, line {self.first + event.sequence}'
                for event in self.events if event.kind == 'issued'}


def read_logs(paths: Iterable[str | Path], study: LockedStudy | None = None,
              schedule: SealedSchedule | None = None) -> dict[str, StudyLog]:
    """Read logs and merged logs, check them, and return them by uuid, in the order of begin.

    Args:
        paths: files; any order, any of them twice, or older copies of others.
        study: that they must belong to; None: any, but all to one.
        schedule: whose tokens they must hold; None: tokens are compared with each other only.

    Raises:
        TrialError: a file cannot be read; a chain is broken; two copies of a log went on
            differently, not by openings alone; the logs are of several studies, or of another
            one; a place of the schedule has two verdicts that count; a token is not that of its
            place.

    """
    found: dict[str, StudyLog] = {}
    for path in paths:
        for log in _logs_in(Path(path)):
            other = found.setdefault(log.uuid, log)
            found[log.uuid] = other if other is log else _joined(other, log)
    logs = sorted(found.values(), key=lambda log: log.begun)
    _check_study(logs, study)
    _check_places(logs)
    if schedule is not None:
        _check_tokens(logs, schedule)
    return {log.uuid: log for log in logs}


def attempts_of(logs: Mapping[str, StudyLog]) -> list[Attempt]:
    """Return the attempts of all logs, each log's in its order."""
    return [attempt for log in logs.values() for attempt in log.course.attempts]


def merged(logs: Mapping[str, StudyLog]) -> bytes:
    """Return the content of the merged file: every line of every log, in the order of begin."""
    ordered = sorted(logs.values(), key=lambda log: log.begun)
    return b''.join(line + b'\n' for log in ordered for line in (*log.lines, *log.asides))


def merge(paths: Iterable[str | Path], output: Path) -> dict[str, StudyLog]:
    """Write the merged file, whole or not at all, and return what is in it.

    Raises:
        TrialError: as ``read_logs``; or the output exists and is not this very merged file, so
            that no log is ever overwritten; or it cannot be written.

    """
    logs = read_logs(paths)
    if not logs:
        raise TrialError('nothing to merge; name the logs of one study')
    content = merged(logs)
    partial = output.with_name(output.name + '.partial')
    try:
        if output.exists():
            if output.read_bytes() == content:
                return logs
            raise TrialError(f'{output} exists and is never overwritten; choose another file '
                             f'(it can be merged itself: vla_drop trials merge {output} ...)')
        with partial.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrialError(f'cannot write {output}: {error.strerror}') from error
    return logs


def _logs_in(path: Path) -> list[StudyLog]:
    """Return the logs in a file; a line with sequence 0 begins another one."""
    *lines, torn = read_lines(path)
    starts: list[int] = []
    found: list[dict[bytes, Event]] = []
    known: dict[str, int] = {}  # hash of every line of the log so far: its sequence
    tip = FIRST
    for number, line in enumerate(lines):
        if not found or (FIRST.encode() in line and _begins(path, number + 1, line)):
            starts.append(number)
            found.append({})
            known, tip = {FIRST: -1}, FIRST
        before = tip if tip.encode() in line else _opened_after(line, known) or tip
        event = found[-1][line] = parse_line(path, number + 1, line, known[before] + 1, before)
        digest = sha256(line).hexdigest()
        known[digest] = event.sequence
        tip = digest if before == tip else tip
    if not lines:
        raise TrialError(f'{path} holds no complete line of a log; leave it out')
    logs = [_told(path, told, start + 1) for start, told in zip(starts, found, strict=True)]
    logs[-1] = replace(logs[-1], torn=len(torn))
    return logs


def _opened_after(line: bytes, known: Mapping[str, int]) -> str:
    """Return the hash after which an opening was written into another copy; '' if it is none."""
    try:
        data = json.loads(line)
        return data['previous'] if data['kind'] == OPENING and data['previous'] in known else ''
    except (ValueError, KeyError, TypeError, RecursionError):
        return ''


def _begins(path: Path, number: int, line: bytes) -> bool:
    try:
        parse_line(path, number, line, 0, FIRST)
    except TrialError:
        return False
    return True


def _told(path: Path, told: Mapping[bytes, Event], first: int) -> StudyLog:
    """Return a log with its state."""
    lines, asides = _trunk(told, lambda line: f'{path}, line {first + list(told).index(line)}')
    events = [told[line] for line in lines]
    opened = next((event.data for event in events if event.kind == 'opened'), {})
    missing = [key for key in IDENTITY if not isinstance(opened.get(key), str)]
    if missing:
        raise TrialError(f'{path}, line {first}: the log that begins here does not say '
                         f'{", ".join(missing)}; only logs of blinded studies can be merged')
    course = Course()
    for place, event in enumerate(events):
        try:
            course.apply(event.kind, event.data)
        except NO_EVENT as error:
            raise TrialError(
                f'{path}, line {first + place}: the event {event.kind!r} does not fit what was '
                f'before ({error!r}); the log was damaged or is of another version') from error
    return StudyLog(opened, tuple(lines), tuple(events), course, path, first, 0, tuple(asides),
                    tuple(told[line] for line in asides))


def _trunk(told: Mapping[bytes, Event], place: Callable[[bytes], str]
           ) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of a log in their order, and the openings that stand aside.

    Both follow from the set of lines alone, so it does not matter who was joined first.

    Args:
        told: every line of every copy, each after some other or first.
        place: tells where a line stands, for the message.

    Raises:
        TrialError: two copies were gone on with.

    """
    hashes = {line: sha256(line).hexdigest() for line in told}
    after: dict[str, list[bytes]] = {}
    for line, event in told.items():
        after.setdefault(event.previous, []).append(line)
    goes_on: dict[bytes, bool] = {}  # whether anything but openings is in a line or follows it
    for line in sorted(told, key=lambda line: -told[line].sequence):
        goes_on[line] = told[line].kind != OPENING or any(
            goes_on[other] for other in after.get(hashes[line], ()))
    lines: list[bytes] = []
    tip = FIRST
    while tip in after:
        several = [line for line in after[tip] if goes_on[line]]
        if len(several) > 1:
            raise TrialError(
                f'{place(several[0])}, and {place(several[1])}, differ, but both say that they '
                'are of one log: a copy was gone on with apart from the other. Keep the one that '
                'the robot wrote last and leave the other out; give every robot a log of its own')
        lines.append(several[0] if several else min(
            after[tip], key=lambda line: (told[line].wall, line)))
        tip = hashes[lines[-1]]
    asides = set(told).difference(lines)
    return lines, sorted(asides, key=lambda line: (told[line].sequence, line))


def _joined(one: StudyLog, other: StudyLog) -> StudyLog:
    """Return what two copies of a log hold together; raise where both were gone on with."""
    def place(line: bytes) -> str:
        log = one if line in one.lines else other
        return f'{log.source}, line {log.first + log.lines.index(line)}'

    told = one.told | other.told
    lines, asides = _trunk(told, place)
    copy = next(log for log in (one, other) if log.lines == tuple(lines))
    return replace(copy, asides=tuple(asides), openings=tuple(told[line] for line in asides))


def _check_study(logs: list[StudyLog], study: LockedStudy | None) -> None:
    for log in logs:
        expected = (logs[0].opened['study'], logs[0].opened['commitment']) if study is None else (
            study.design.digest, study.commitment)
        said = log.opened['study'], log.opened['commitment']
        if said != expected:
            where = f'of {logs[0].source}' if study is None else 'that is asked for'
            what = 'design' if said[0] != expected[0] else 'sealed schedule'
            raise TrialError(
                f'{log.source}, line {log.first}: the log is of another study, its {what} is not '
                f'the one {where} ({said[0][:12]} and {said[1][:12]}, not {expected[0][:12]} '
                f'and {expected[1][:12]}); leave it out, or report it on its own')


def _check_places(logs: list[StudyLog]) -> None:
    """Raise where a place has two verdicts that count, or an attempt two tokens."""
    counted: dict[int, str] = {}
    tokens: dict[tuple[int, int], tuple[str, str, str]] = {}
    for log in logs:
        places = log.places()
        for attempt in log.course.attempts:
            where = places[attempt.code]
            said = attempt.token, attempt.condition
            token, condition, first = tokens.setdefault(
                (attempt.index, attempt.attempt), (*said, where))
            if said != (token, condition) or not attempt.token.startswith(
                    f'{attempt.index}.{attempt.attempt}.'):
                raise TrialError(
                    f'{where}: trial {attempt.code} has a token or condition '
                    f'{attempt.condition!r} that is not that of place {attempt.index} (compare '
                    f'{first}); the log is of another study or was changed: leave it out')
            if attempt.counts and attempt.index in counted:
                raise TrialError(
                    f'{counted[attempt.index]}, and {where}: both trials are judged and have '
                    f'the same place in the schedule, {attempt.index}. Two robots ran the same '
                    'rounds, or a copy was gone on with: leave one of the logs out, and give '
                    'every robot rounds of its own')
            if attempt.counts:
                counted[attempt.index] = where


def _check_tokens(logs: list[StudyLog], schedule: SealedSchedule) -> None:
    for log in logs:
        places = log.places()
        for attempt in log.course.attempts:
            slot = schedule.slot(attempt.index)
            expected = schedule.token(attempt.index, attempt.attempt), slot.condition
            if (attempt.token, attempt.condition) != expected:
                raise TrialError(
                    f'{places[attempt.code]}: token or condition {attempt.condition!r} of '
                    f'trial {attempt.code} is not that of place {attempt.index} of the schedule; '
                    'the log is of another study or was changed: leave it out')
