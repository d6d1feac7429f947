# SPDX-License-Identifier: Apache-2.0
"""Where the recordings of a study lie, and how a trial is named."""

from dataclasses import dataclass
from pathlib import Path

from vla_drop_ros.report.document import Cell, Link
from vla_drop_ros.report.trial_row import TrialRow


@dataclass(frozen=True, slots=True)
class Recordings:
    """Bags and pictures of a study.

    Attributes:
        study: folder of the study.
        home: the same, as seen from the report.
        robots: there are several logs, each with a trial 17: the robot is named as well.

    """

    study: Path
    home: str
    robots: bool

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

    def link(self, row: TrialRow) -> Cell:
        """Return the trial, with links to its bag and picture where they are in the folder."""
        trial = self.name(row.robot, row.code)
        links: list[Link] = []
        for name in ('bag', 'picture'):
            path = self.inside(row.text(name, 'uri'))
            if path is not None:
                links.append(Link(f'{trial} {name}' if not links else name,
                                  f'{self.home}/{path.as_posix()}'))
        return tuple(links) or trial
