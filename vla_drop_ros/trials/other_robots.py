# SPDX-License-Identifier: Apache-2.0
"""What the other robots of a study have run, as far as their logs lie in its folder."""

from collections.abc import Callable
from pathlib import Path

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.merged_log import read_logs
from vla_drop_ros.trials.sealed_schedule import SealedSchedule

OWN = ('robot', 'first_round', 'end_round')
LOGS = '*.jsonl'


class OtherRobots:
    """Reads the logs again whenever it is asked.

    Attributes:
        problem: why the logs of others could not be read, '' while they can.

    """

    def __init__(self, folder: Path, study: LockedStudy, schedule: SealedSchedule,
                 log: Path, own: tuple[str, int, int],
                 warn: Callable[[str], object] = lambda problem: None) -> None:
        """Look into ``folder``.

        Args:
            folder: of the study, into which people copy, or which robots share.
            study: that is run.
            schedule: whose places the logs must hold.
            log: of this robot.
            own: robot, first and end round of this robot, as in its log; copies are left out.
            warn: takes why the logs of others could not be read, once for each reason.

        """
        self.problem = ''
        self._folder, self._study, self._schedule = folder, study, schedule
        self._log, self._own = log.resolve(), own
        self._warn = warn
        self._known: list[Attempt] | None = None

    def attempts(self) -> list[Attempt] | None:
        """Return what others have run; None while no log of theirs is here.

        A log that is just being copied, or contradicts the others, changes nothing of what was
        known: the study is judged from whole logs, or from those of this robot.
        """
        try:
            paths = [path for path in sorted(self._folder.glob(LOGS))
                     if path.resolve() != self._log and path.stat().st_size]
            logs = read_logs(paths, self._study, self._schedule)
        except (TrialError, OSError) as error:
            if str(error) != self.problem:
                self._warn(f'the logs of other robots are not counted: {error}')
            self.problem = str(error)
            return self._known
        self.problem = ''
        others = [log for log in logs.values()
                  if tuple(log.opened.get(key) for key in OWN) != self._own]
        self._known = [attempt for log in others for attempt in log.course.attempts
                       ] if others else None
        return self._known
