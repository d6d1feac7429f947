# SPDX-License-Identifier: Apache-2.0
"""Where the recordings of a study lie, and how a trial is named."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
import os
from pathlib import Path

from vla_drop_ros.report.document import Cell, Link
from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.bag_entries import BLOCK
from vla_drop_ros.trials.merged_log import StudyLog


@dataclass(frozen=True, slots=True)
class Recordings:
    """Bags and pictures of a study.

    Attributes:
        study: folder of the study.
        home: the same, as seen from the report.
        robots: there are several logs, which may each have a trial 17: the robot is named too.
        places: log, path in it -> where that lies; None: not here. Others are in the folder.

    """

    study: Path
    home: str
    robots: bool
    places: Mapping[tuple[str, str], Path | None] = field(default_factory=dict)

    def name(self, robot: str, code: str) -> str:
        """Return how a trial is called, without the word trial."""
        return f'{robot} {code}' if self.robots else code

    def inside(self, uri: str) -> Path | None:
        """Return a path in the folder of the study; None where it leads out of it."""
        path, study = Path(uri), self.study.resolve()
        if path.is_absolute() and path.is_relative_to(study):
            path = path.relative_to(study)
        fits = uri and not path.is_absolute() and '..' not in path.parts and ':' not in uri
        return path if fits else None

    def place(self, log: str, uri: str) -> Path | None:
        """Return where a recording of a log lies; None where it is not here, or of another."""
        inside = self.inside(uri)
        return inside if inside is None else self.places.get((log, uri), self.study / inside)

    def link(self, row: TrialRow) -> Cell:
        """Return the trial, with links to its bag and picture where they are in the folder."""
        trial = self.name(row.robot, row.code)
        links: list[Link] = []
        for name in ('bag', 'picture'):
            path = self.place(row.log, row.text(name, 'uri'))
            if path is not None:
                way = Path(os.path.relpath(path.absolute(), self.study.absolute())).as_posix()
                links.append(Link(f'{trial} {name}' if not links else name,
                                  f'{self.home}/{way}'))
        return tuple(links) or trial


def recordings_of(record: StudyRecord, home: str) -> Recordings:
    """Return where the recordings of all logs lie.

    They are looked for beside the log that names them, then in the folder of the study. Where
    two logs name the same files, those have to have the hash that the log gives.

    Args:
        record: of the study.
        home: its folder as seen from the report.

    """
    found = Recordings(record.folder, home, len(record.logs) > 1)
    if not found.robots:
        return found
    places: dict[tuple[str, str], Path | None] = {}
    claims: dict[Path, list[tuple[str, str, str]]] = {}
    for log in record.logs.values():
        for uri, digest in _named(log):
            inside = found.inside(uri)
            if inside is not None:
                own = log.source.parent / inside
                path = own if own.exists() else record.folder / inside
                places[log.uuid, uri] = path
                claims.setdefault(path.resolve(), []).append((log.uuid, uri, digest))
    for path, several in claims.items():
        if len({uuid for uuid, _, _ in several}) > 1:
            content = _digest(path)
            places |= {(uuid, uri): None for uuid, uri, digest in several if digest != content}
    return replace(found, places=places)


def _named(log: StudyLog) -> Iterator[tuple[str, str]]:
    """Yield path and hash of every recording that a log names."""
    for attempt in log.course.attempts:
        values = attempt.values
        for one in (values.get('bag'), values.get('picture'), *values.get('further_bags', ())):
            if isinstance(one, Mapping) and one.get('uri'):
                yield str(one['uri']), str(one.get('sha256', ''))


def _digest(path: Path) -> str:
    """Return the hash of a picture or of a bag's file; '' where it cannot be read."""
    digest = sha256()
    try:
        with (path / f'{path.name}.mcap' if path.is_dir() else path).open('rb') as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return ''
    return digest.hexdigest()
