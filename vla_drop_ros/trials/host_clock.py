# SPDX-License-Identifier: Apache-2.0
"""Whether the wall clock of this machine is kept by a time server, as its kernel says."""

from collections.abc import Callable
from contextlib import suppress
import ctypes
from pathlib import Path
import struct
from typing import Any

from vla_drop_ros.trials.host_sensors import ROOT

KEEPERS = ('chronyd', 'ntpd', 'systemd-timesyn', 'ptp4l', 'phc2sys')  # as /proc names them
LAYOUT = struct.Struct('@Illlli')  # of struct timex: modes, offset, freq, errors [us], status
ROOM = 512  # [bytes], more than struct timex takes
UNSYNCHRONIZED = 0x40  # STA_UNSYNC

Ask = Callable[[Any], int]


def describe_clock(root: Path = ROOT, ask: Ask | None = None) -> dict[str, Any]:
    """Return ``synchronized``, ``estimated_error`` and ``max_error`` [s], ``kept_by``; as known.

    Errors are the kernel's own, of a clock that is synchronized; what keeps it names them.

    Args:
        root: folder that holds proc.
        ask: adjtimex(2), takes a buffer and returns -1 where it fails; None: the kernel's.

    """
    found = _kernel(ask)
    names = set()
    for path in root.glob('proc/[0-9]*/comm'):
        with suppress(OSError):  # it has ended since
            names.add(path.read_text(errors='replace').strip())
    keepers = [name for name in KEEPERS if name in names]
    return found | ({'kept_by': ', '.join(keepers)} if keepers else {})


def _kernel(ask: Ask | None) -> dict[str, Any]:
    buffer = ctypes.create_string_buffer(ROOM)  # modes 0: nothing is set
    try:
        if (ask or ctypes.CDLL(None).adjtimex)(buffer) < 0:
            return {}
    except (OSError, AttributeError):  # no Linux
        return {}
    _, _, _, longest, estimated, status = LAYOUT.unpack_from(buffer)
    if status & UNSYNCHRONIZED:
        return {'synchronized': False}
    return {'synchronized': True, 'estimated_error': estimated * 1e-6, 'max_error': longest * 1e-6}
