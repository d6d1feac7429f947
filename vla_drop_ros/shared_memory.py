# SPDX-License-Identifier: Apache-2.0
"""Shared-memory segments of Fast DDS that killed processes left behind.

Every segment ``NAME`` in use has a lock file ``NAME_el`` (or ``NAME_sl`` for shared locks) that
its owner keeps locked with flock(2). A lock that is absent or can be taken has no living owner:
the kernel drops the locks of a process that dies, however it dies.
"""

import fcntl
from pathlib import Path
import shutil
import time

FOLDER = Path('/dev/shm')
SETTLING_TIME = 5.0  # [s]; a younger file may belong to a process that is about to lock it


def remove_leaked_segments(folder: Path = FOLDER, settling_time: float = SETTLING_TIME) -> int:
    """Delete the segments whose owner is dead and return how many bytes that gave back.

    Args:
        folder: where the operating system keeps shared memory.
        settling_time: files younger than this are left alone, [s].

    """
    freed = 0
    for path in sorted(folder.glob('fastrtps_*')):
        try:
            if time.time() - path.stat().st_mtime >= settling_time:
                freed += _delete_unowned(folder, path.name.removesuffix('_el').removesuffix('_sl'))
        except OSError:
            continue  # another process deleted it first, or it belongs to another user
    return freed


def _is_free(lock: Path) -> bool:
    with lock.open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _delete_unowned(folder: Path, name: str) -> int:
    """Delete the files of a segment unless somebody holds one of its locks."""
    locks = [folder / f'{name}{ending}' for ending in ('_el', '_sl')]
    if not all(_is_free(lock) for lock in locks if lock.exists()):
        return 0
    freed = 0
    for path in (folder / name, folder / f'sem.{name}_mutex', *locks):
        if path.exists():
            freed += path.stat().st_size
            path.unlink()
    return freed


def available_bytes(folder: Path = FOLDER) -> int:
    """Return how much shared memory is left; 0 where there is none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
