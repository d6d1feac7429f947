# SPDX-License-Identifier: Apache-2.0
"""What processes of a pool run in the tests; they import it by name. ``folder`` is for markers."""

import os
from pathlib import Path
import signal
from typing import Any

from vla_drop_ros.errors import TaskError
from vla_drop_ros.evaluation.episodes import Job


def note(job: Job) -> dict[str, Any]:
    """Leave a line a start; return who ran it."""
    with Path(job.folder, 'starts').open('a') as file:
        file.write(f'{job.seed}\n')
    return {'seed': job.seed, 'process': os.getpid()}


def die_once(job: Job) -> dict[str, Any]:
    """Kill this process the first time that seed 2 is run."""
    result = note(job)
    marker = Path(job.folder, 'died')
    if job.seed == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def die_always(job: Job) -> dict[str, Any]:
    """Kill this process whenever seed 2 is run."""
    result = note(job)
    if job.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def refuse(job: Job) -> dict[str, Any]:
    """Raise what a user can mend."""
    raise TaskError(f'no task in scene {job.seed}')


def stumble(job: Job) -> dict[str, Any]:
    """Raise what nobody expected."""
    raise KeyError(job.seed)
