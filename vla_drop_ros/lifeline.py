# SPDX-License-Identifier: Apache-2.0
"""Run a module that must not outlive the process that started it.

``python -m vla_drop_ros.lifeline FD GRACE MODULE ARGUMENT...``: FD is the reading end of a pipe
whose writing end only the parent holds. The kernel closes it when the parent dies, even of
SIGKILL; then the module gets SIGTERM, and GRACE seconds later its process group gets SIGKILL.
"""

from collections.abc import Sequence
import os
import runpy
import signal
import sys
import threading


def watch(descriptor: int, grace: float) -> None:
    """Wait for the parent's end of the pipe to close, then end this process group.

    Args:
        descriptor: reading end of the pipe; nothing is ever written to it.
        grace: time between SIGTERM to this process and SIGKILL to its group, [s].

    """
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace)
    if os.getpgid(0) == os.getpid():  # else the group is not ours to end
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Start the watch and become MODULE."""
    descriptor, grace, module, *rest = arguments
    threading.Thread(target=watch, args=(int(descriptor), float(grace)), daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main(sys.argv[1:])
