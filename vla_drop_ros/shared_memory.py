# SPDX-License-Identifier: Apache-2.0
"""Shared memory of Fast DDS: its profile, and segments that killed processes left behind.

Every segment ``NAME`` in use has a lock file ``NAME_el`` (or ``NAME_sl`` for shared locks) that
its owner keeps locked with flock(2). A lock that is absent or can be taken has no living owner:
the kernel drops the locks of a process that dies, however it dies.

Ports (``fastrtps_portN``) are left alone: they are small, the next participant takes them over,
and even a look at their lock can make that one fail to open the port, so that it hears nothing.
"""

from collections.abc import Mapping
import fcntl
import os
from pathlib import Path
import shutil
import time

FOLDER = Path('/dev/shm')
OLD_NAMES = ('', 'humble', 'iron', 'jazzy')  # with Fast DDS 2; '' are the wheels of Jazzy
SETTLING_TIME = 5.0  # [s]; a younger file may belong to a process that is about to lock it


def remove_leaked_segments(folder: Path = FOLDER, settling_time: float = SETTLING_TIME) -> int:
    """Delete the segments whose owner is dead and return how many bytes that gave back.

    Args:
        folder: where the operating system keeps shared memory.
        settling_time: files younger than this are left alone, [s].

    """
    freed = 0
    for path in leaked_files(folder, settling_time):
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError:
            continue  # another process deleted it first, or it belongs to another user
        freed += size
    return freed


def leaked_bytes(folder: Path = FOLDER, settling_time: float = SETTLING_TIME) -> int:
    """Return how many bytes ``remove_leaked_segments`` would give back."""
    return sum(path.stat().st_size for path in leaked_files(folder, settling_time)
               if path.exists())


def leaked_files(folder: Path, settling_time: float) -> list[Path]:
    """Return the files of the segments whose owner is dead, see ``remove_leaked_segments``."""
    found: dict[Path, None] = {}
    for path in sorted(folder.glob('fastrtps_*')):
        if path.name.startswith('fastrtps_port'):
            continue
        try:
            if time.time() - path.stat().st_mtime >= settling_time:
                found.update(dict.fromkeys(_unowned_files(
                    folder, path.name.removesuffix('_el').removesuffix('_sl'))))
        except OSError:
            continue
    return list(found)


def transport_warning(environment: Mapping[str, str]) -> str:
    """Return what becomes of raw images between processes with these variables; '' if all's well.

    Args:
        environment: what the processes get beside what is set here.

    """
    if not uses_fast_dds() or profile_variable() in {**os.environ, **environment}:
        return ''
    return ('no profile, for want of shared memory (in a container: --shm-size=1g); raw images '
            'above 0.5 MB get lost')


def _is_free(lock: Path) -> bool:
    with lock.open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _unowned_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a segment unless somebody holds one of its locks."""
    locks = [folder / f'{name}{ending}' for ending in ('_el', '_sl')]
    if not all(_is_free(lock) for lock in locks if lock.exists()):
        return []
    return [path for path in (folder / name, folder / f'sem.{name}_mutex', *locks)
            if path.exists()]


def available_bytes(folder: Path = FOLDER) -> int:
    """Return how much shared memory is left; 0 where there is none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def uses_fast_dds() -> bool:
    """Say whether profiles of Fast DDS mean anything to the middleware that is chosen."""
    return 'fastrtps' in (os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp')


def profile_variable() -> str:
    """Return the variable in which this ROS distribution's Fast DDS looks for its profiles."""
    old = os.environ.get('ROS_DISTRO', '') in OLD_NAMES
    return f'FAST{"RTPS" if old else "DDS"}_DEFAULT_PROFILES_FILE'
