# SPDX-License-Identifier: Apache-2.0
"""How much memory a checkpoint will take, how much there is, and how much this process uses."""

from collections.abc import Mapping
from contextlib import suppress
import ctypes
import os
from pathlib import Path

from vla_drop_ros.errors import CheckpointError

BYTES_A_PARAMETER = 4
"""Policies compute in float32, whatever dtype the file has."""
LOAD_FACTOR = 1.5
"""Memory needed to load and warm up, as a multiple of the weights: activations and buffers."""
LOAD_EXTRA = 256_000_000
"""Memory needed whatever the weights take, [byte]: the graph of the sampler; 110 MB measured."""
MEGABYTE = 1e6
_PROC, _CGROUP = Path('/proc'), Path('/sys/fs/cgroup')


def weights_bytes(parameters: Mapping[str, int]) -> int:
    """Return what the weights take in memory, [byte].

    Args:
        parameters: parameter count by stack, as in the manifest.

    """
    return BYTES_A_PARAMETER * sum(parameters.values())


def refuse_what_does_not_fit(path: str, weights: int, free: Mapping[str, int]) -> None:
    """Raise CheckpointError unless a checkpoint can be loaded beside the one that runs.

    Args:
        path: of the checkpoint, for the message.
        weights: what its weights take, [byte].
        free: name of a memory -> what is free there, [byte].

    """
    needed = int(LOAD_FACTOR * weights) + LOAD_EXTRA
    for name, found in free.items():
        if needed > found:
            raise CheckpointError(
                f'checkpoint {path!r} does not fit beside the one that runs: it needs '
                f'{needed / MEGABYTE:.0f} MB of {name} ({LOAD_FACTOR} times its weights and '
                f'{LOAD_EXTRA / MEGABYTE:.0f} MB), {found / MEGABYTE:.0f} MB are free. Choose a '
                'smaller checkpoint, lower the parameter resident, or clean the node up and '
                'configure it with this one')


def available_memory(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Return the memory that can still be taken without swapping, [byte]; None if unknown.

    The smaller of what the machine has and what the container may use.
    """
    found = []
    for line in _read(proc / 'meminfo').splitlines():
        if line.startswith('MemAvailable:'):
            found.append(1024 * int(line.split()[1]))
    for limit, used in (('memory.max', 'memory.current'),
                        ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes')):
        allowed, taken = _read(cgroup / limit).strip(), _read(cgroup / used).strip()
        if allowed.isdigit() and taken.isdigit():  # 'max' where there is no limit
            found.append(max(0, int(allowed) - int(taken)))
    return min(found) if found else None


def process_memory(proc: Path = _PROC) -> int | None:
    """Return the resident memory of this process, [byte]; None if unknown."""
    fields = _read(proc / 'self' / 'statm').split()
    return int(fields[1]) * os.sysconf('SC_PAGE_SIZE') if len(fields) > 1 else None


def return_free_memory() -> None:
    """Give what the allocator of glibc keeps of freed blocks back to the operating system.

    Between the blocks that stay, it keeps most of what the weights of a checkpoint took.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ''
