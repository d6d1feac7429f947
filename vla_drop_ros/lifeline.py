# SPDX-License-Identifier: Apache-2.0
"""Run a module that must not outlive the process that started it, nor stop before its turn.

``python -m vla_drop_ros.lifeline PARENT GRACE NAME AFTER MODULE ARGUMENT...``: when the process
PARENT (0: whoever started this) ends, even by SIGKILL, MODULE gets SIGTERM, and GRACE seconds
later what is left of it and of its process group gets SIGKILL.

SIGINT and SIGTERM, whoever sends them, reach MODULE only once no process of this machine lives
that has a name in AFTER (comma-separated; '' waits for nobody), or when each of them has had GRACE
seconds. So Ctrl-C, which a terminal sends to all processes at once, stops them in order. SIGHUP,
which a closed terminal or a lost ssh connection sends, becomes SIGTERM: nothing ends unsafely.
"""

from collections.abc import Sequence
import errno
import os
import runpy
import signal
import socket
import sys
import threading
import time

PERIOD = 0.2  # [s] between two looks at the parent
TURN = 0.02   # [s] between two looks at who is to end before us
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NUDGE = signal.SIGURG  # wakes the main thread from a system call; ignored by default


def watch(parent: int, grace: float) -> None:
    """Wait until another process has become our parent, then end.

    Args:
        parent: process that has to live.
        grace: time between SIGTERM to this process and SIGKILL to its group, [s].

    """
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(PERIOD)
    os.kill(os.getpid(), signal.SIGTERM)
    pause.wait(grace)
    if os.getpgid(0) == os.getpid():  # else the group is not ours to end
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def claim(name: str) -> socket.socket | None:
    """Return a socket that holds a name on this machine until we end; None: somebody holds it.

    The name lies in Linux' abstract namespace: the kernel frees it with the process, however that
    ends, and no file stays behind.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f'\0{name}')
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return held


def lives(name: str) -> bool:
    """Return whether a process holds a name."""
    held = claim(name)
    if held is not None:
        held.close()
    return held is None


def pass_on_in_turn(names: Sequence[str], patience: float) -> None:
    """Hand stop signals on to the handlers of this process, from when it is our turn.

    Runs in a thread; all threads have the signals blocked. (Else the kernel may give two signals
    that come at once to a thread in which Python runs no handlers, and the main one sleeps on.)

    Args:
        names: who is to end first.
        patience: the longest wait, [s].

    """
    pause, limit = threading.Event(), None
    while True:
        number = signal.sigwait(STOP_SIGNALS)
        limit = limit or time.monotonic() + patience
        while any(map(lives, names)) and time.monotonic() < limit:
            pause.wait(TURN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        signal.raise_signal(signal.SIGTERM if number == signal.SIGHUP else number)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        signal.pthread_kill(threading.main_thread().ident or 0, NUDGE)


def main(arguments: Sequence[str]) -> None:
    """Start the watches and become MODULE."""
    parent, grace, name, after, module, *rest = arguments
    names = after.split(',') if after else []
    patience = float(grace) * len(names)
    held = claim(name) if name else None
    if held is not None:
        held.detach()  # the kernel frees the name when this process has ended, not a moment before
    signal.signal(NUDGE, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # every later thread inherits it
    threading.Thread(target=pass_on_in_turn, args=(names, patience), daemon=True).start()
    threading.Thread(target=watch, args=(
        int(parent) or os.getppid(), patience + float(grace)), daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main(sys.argv[1:])
